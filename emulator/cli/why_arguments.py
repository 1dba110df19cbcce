"""Arguments of `azemu why`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emulator.cli.durable_choice import HubChoice, add_named_hub_options, hub_choice
from emulator.cli.parsing import Parser

_DEFAULT_TOP: Final = 100
_EXAMPLES: Final = """\
examples:
  azemu why order-17         why the instance order-17 does not progress
  azemu why                  all instances that have not ended, problems first
  azemu why --problems       only those that cannot progress without you, of all instances of the hub
  azemu why order-17 --json

The command asks the running host of the app, which knows the line of code that waits. If none runs, it reads the
storage that the app's settings name, or that of --storage. Nothing is changed: messages are only looked at.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Options of `azemu why`. `instance_id` None: all instances that have not ended.

    `top`: at most so many, 0 for all. `problems`: only those whose cause is a problem.
    """

    where: HubChoice
    instance_id: str | None
    top: int
    problems: bool
    json: bool


def parse_why(words: Sequence[str]) -> Why:
    """Parse the arguments of `azemu why`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser(
        "azemu why",
        description="Explain why an orchestration does not progress.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("instance_id", metavar="ID", nargs="?", help="the instance (default: all that have not ended)")
    add(
        "-n",
        "--top",
        metavar="N",
        help=f"without ID: show at most N instances (default: {_DEFAULT_TOP}; 0, and the default with --problems: all)",
    )
    add("--problems", action="store_true", help="without ID: only instances that cannot progress as things are")
    parser.add_host_options()
    add_named_hub_options(parser, verb="read")
    parser.add_json_option()
    options = parser.parse(words)
    top = parser.number_of("--top", options.top or ("0" if options.problems else str(_DEFAULT_TOP)))
    return Why(
        where=hub_choice(parser, options),
        instance_id=options.instance_id,
        top=top,
        problems=options.problems,
        json=options.json,
    )
