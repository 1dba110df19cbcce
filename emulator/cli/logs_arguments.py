"""Arguments of `azemu logs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.cli.parsing import Parser
from emulator.config.hostjson import LogLevel

_DEFAULT_LAST: Final = 100
_EXAMPLES: Final = """\
examples:
  azemu logs                                   the last 100 lines
  azemu logs --follow --level Warning          warnings and errors, also new ones; Ctrl-C ends it
  azemu logs --instance order-17 --no-replay   what the functions of an instance have logged
  azemu logs --function charge --last 20

The host keeps its last lines in memory, also those that its console does not show.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Options of `azemu logs`. `last`: of the kept lines, only so many. `replay`: also lines of replays."""

    app: Path
    port: int | None
    key: str | None
    follow: bool
    last: int
    function: str | None
    instance: str | None
    level: LogLevel | None
    replay: bool
    json: bool


def parse_logs(words: Sequence[str]) -> Logs:
    """Parse the arguments of `azemu logs`. Raises SystemExit after --help and for wrong arguments."""
    parser = Parser(
        "azemu logs",
        description="Show the log of the running host.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("-f", "--follow", action="store_true", help="also show new lines, until Ctrl-C")
    add("-n", "--last", metavar="N", default=str(_DEFAULT_LAST), help=f"at most the last N (default: {_DEFAULT_LAST})")
    add("--function", metavar="NAME", help="only lines of this function")
    add("--instance", metavar="ID", help="only lines about this orchestration instance")
    levels = [level.value for level in LogLevel if level is not LogLevel.NONE]
    add("--level", metavar="LEVEL", help=f"only lines of this level or higher: {', '.join(levels)}")
    parser.suggest("--level", levels)
    add("--no-replay", dest="replay", action="store_false", help="no lines that an orchestrator logs again in a replay")
    parser.add_host_options()
    add("--json", action="store_true", help="print one JSON document; with --follow, one JSON object per line")
    options = parser.parse(words)
    level = next((name for name in levels if name.lower() == (options.level or "").lower()), None)
    if options.level and level is None:
        parser.error(f"--level: '{options.level}' is not a log level. Use one of: {', '.join(levels)}.")
    return Logs(
        app=options.app,
        port=parser.port_of(options.port, lowest=1),
        key=options.key,
        follow=options.follow,
        last=parser.number_of("--last", options.last),
        function=options.function,
        instance=options.instance,
        level=LogLevel(level) if level else None,
        replay=options.replay,
        json=options.json,
    )
