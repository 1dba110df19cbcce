"""Arguments of `azemu history …`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.cli.durable_choice import HubChoice, add_named_hub_options, hub_choice
from emulator.cli.parsing import MOST, Parser, whole_number

_SOURCE: Final = """\
The command asks the running host of the app. If none runs, or with --hub, --connection or --storage, it uses storage
itself.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportHistory:
    """Options of `azemu history export`. `output` None: the standard output."""

    where: HubChoice
    instance_id: str
    output: Path | None
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportHistory:
    """Options of `azemu history import`. `force`: also into an account in Azure."""

    where: HubChoice
    file: Path
    instance_id: str | None
    force: bool
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkHistory:
    """Options of `azemu history fork`. `at` None: list the places. Inputs are as on the command line."""

    where: HubChoice
    instance_id: str
    at: int | None
    new_id: str | None
    input: str | None
    event_input: str | None
    reruns: bool
    with_events: bool
    force: bool
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayHistory:
    """Options of `azemu history replay`. `source`: a file or an instance id."""

    where: HubChoice
    source: str
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeTests:
    """Options of `azemu history pytest`. `source`: a file or an instance id. `output`: the test file."""

    where: HubChoice
    source: str
    output: Path | None
    json: bool


def parse_export(words: Sequence[str]) -> ExportHistory:
    """Parse the arguments of `azemu history export`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "export",
        "Save the history of an instance and of its sub-orchestrations, with all payloads, as one JSON document.",
        """\
  azemu history export order-17 -o order-17.json
  azemu history export order-17 --storage azurite > order-17.json
""",
    )
    parser.add_argument("instance_id", metavar="ID", help="the instance")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the file (default: the standard output)")
    options = parser.parse(words)
    return ExportHistory(
        where=hub_choice(parser, options), instance_id=options.instance_id, output=options.output, json=options.json
    )


def parse_import(words: Sequence[str]) -> ImportHistory:
    """Parse the arguments of `azemu history import`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "import",
        "Create an instance, and its sub-orchestrations, from a file of `azemu history export`. One that has ended is "
        "stored as it is. One that was running continues: what it waits for is sent again, or runs again.",
        """\
  azemu history import order-17.json
  azemu history import order-17.json --id copy-of-17      under another id
""",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the file")
    parser.add_argument("--id", metavar="NEW", help="id of the new instance (default: the recorded one)")
    _add_force(parser)
    options = parser.parse(words)
    return ImportHistory(
        where=hub_choice(parser, options),
        file=options.file,
        instance_id=options.id,
        force=options.force,
        json=options.json,
    )


def parse_fork(words: Sequence[str]) -> ForkHistory:
    """Parse the arguments of `azemu history fork`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "fork",
        "Start a new instance that has the history of another one up to an event, and continues with the present code. "
        "The other instance stays as it is.",
        """\
  azemu history fork order-17                             the events at which it can be forked
  azemu history fork order-17 --at 12                     repeat the episode that begins at event 12
  azemu history fork order-17 --at 13 --event-input '{"approved": false}'
  azemu history fork order-17 --at 0 --input @order.json  from the beginning, with another input

Results that are recorded before the cut are used again. Activities after it run again. What was open at the cut gets
its recorded result, or runs again with --rerun. docs/history.md explains timers, events and entities.
""",
    )
    add = parser.add_argument
    add("instance_id", metavar="ID", help="the instance to fork")
    add("--at", metavar="N", help="number of the event (default: list the possible ones)")
    add("--id", metavar="NEW", help="id of the new instance (default: made from ID)")
    add("--input", metavar="DATA", help="another input of the orchestration, as JSON; @FILE: from a file")
    add("--event-input", metavar="DATA", help="another value of the event or result at event N, as JSON")
    add("--rerun", action="store_true", help="run open activities again, although their results are recorded")
    add("--with-events", action="store_true", help="raise the external events again that came after the cut")
    _add_force(parser)
    options = parser.parse(words)
    at = None if options.at is None else whole_number(options.at, 0, MOST)
    if options.at is not None and at is None:
        parser.error(f"--at: '{options.at}' is not the number of an event. `azemu history fork ID` lists them.")
    given = [options.id, options.input, options.event_input, options.rerun or None, options.with_events or None]
    if options.at is None and any(value is not None for value in given):
        parser.error("--at is missing: the number of the event. `azemu history fork ID` lists them.")
    return ForkHistory(
        where=hub_choice(parser, options),
        instance_id=options.instance_id,
        at=at,
        new_id=options.id,
        input=options.input,
        event_input=options.event_input,
        reruns=options.rerun,
        with_events=options.with_events,
        force=options.force,
        json=options.json,
    )


def parse_replay(words: Sequence[str]) -> ReplayHistory:
    """Parse the arguments of `azemu history replay`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "replay",
        "Run the present code of the app with a recorded history, and show the first decision that differs. Nothing is "
        "stored, and no activity runs. Exit code 1 if there is a difference.",
        """\
  azemu history replay order-17
  azemu history replay order-17.json                      also files of `azemu storage export` and rows of the table
""",
    )
    _add_source(parser)
    options = parser.parse(words)
    return ReplayHistory(where=hub_choice(parser, options), source=options.source, json=options.json)


def parse_pytest(words: Sequence[str]) -> MakeTests:
    """Parse the arguments of `azemu history pytest`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "pytest",
        "Make two tests of a run: one replays its history, the other one repeats the run in virtual time with the "
        "recorded results of activities and the recorded events, and compares the output.",
        """\
  azemu history pytest order-17                           writes tests/test_order_17.py and its history
  azemu history pytest order-17 -o tests/test_refund.py
""",
    )
    _add_source(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the test file, in the app (default: tests/test_ID.py)"
    )
    options = parser.parse(words)
    output: Path | None = options.output
    if output is not None and not (output.name.startswith("test_") and output.suffix == ".py"):
        parser.error(f"-o: pytest does not find '{output.name}'. The name of the file must be test_….py.")
    return MakeTests(where=hub_choice(parser, options), source=options.source, output=output, json=options.json)


def _parser(name: str, description: str, examples: str) -> Parser:
    parser = Parser(
        f"azemu history {name}",
        description=description,
        epilog=f"examples:\n{examples}\n{_SOURCE}",
    )
    parser.add_host_options()
    add_named_hub_options(parser, verb="use")
    parser.add_json_option()
    return parser


def _add_source(parser: Parser) -> None:
    parser.add_argument("source", metavar="FILE|ID", help="a recorded history, or the id of an instance")


def _add_force(parser: Parser) -> None:
    parser.add_argument("--force", action="store_true", help="also write to an account that is not on this machine")
