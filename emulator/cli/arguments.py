"""The command line of `azemu`: words → what is wanted. No command does anything here."""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from emulator import __version__, exit_codes

_PYTHON_ARGUMENTS: Final = ("--python-arguments", "--language-worker")
LEVELS: Final = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")

_OVERVIEW: Final = """\
azemu {version}: run Azure Functions and Durable Functions on your machine

Usage: azemu <command> [options]

Commands:
  start             run the function app of the current folder (also: azemu host start)
  storage export    save queues, tables and blobs of an account to a file
  storage import    put a saved file into an account
  storage copy      copy everything from one account to another
  help [command]    more about a command

Examples:
  azemu start                                  serve the app on http://localhost:7071
  azemu start --port 8080 --app samples/hello  another port, another folder
  azemu start --storage builtin                no Azurite, no Node.js: storage in a file of the app folder
  azemu start --functions greet orders         only these two functions
  azemu start --no-reload                      one process, for a debugger

azemu <command> --help shows all options.
"""

_START_EXAMPLES: Final = """\
examples:
  azemu start
  azemu start -p 8080 --verbose
  azemu start --app samples/hello --storage builtin:memory
  azemu start --cors http://localhost:3000 --cors-credentials
  azemu start --python-arguments "-m debugpy --listen 127.0.0.1:5678"

Settings come from local.settings.json, options from host.json; both are optional. Files ending in .py and host.json
are watched: a change restarts the host. Ctrl-C stops it in good order, a second Ctrl-C at once.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """`azemu start`. None: not given."""

    app: Path
    port: int | None
    address: str | None
    functions: Sequence[str]
    enable_auth: bool
    cors: str | None
    cors_credentials: bool | None
    storage: str | None
    verbose: bool
    user_log_level: str | None
    reload: bool
    python_arguments: str | None
    log_format: Literal["text", "json"]
    no_color: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """`azemu storage …`. `source` and `target`: a connection value or the name of a connection setting.

    `hub`: only what belongs to this task hub. `force`: overwrite what is there.
    """

    action: Literal["export", "import", "copy"]
    app: Path
    source: str | None
    target: str | None
    file: Path | None
    hub: str | None = None
    force: bool = False


class _Parser(argparse.ArgumentParser):
    """Says what the user may have meant. Ends the process with code 2 for a wrong line."""

    known: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"azemu: {message}\nTry '{self.prog} --help'.\n")
        raise SystemExit(exit_codes.USAGE)


def parse(words: Sequence[str]) -> Start | Transfer | int:
    """What is wanted; a number: everything is said, end with this exit code."""
    try:
        return _parse(list(words))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.USAGE


def _parse(words: list[str]) -> Start | Transfer | int:
    if not words or words[0] in ("-h", "--help") or words in (["help"], ["help", "help"]):
        sys.stdout.write(_OVERVIEW.format(version=__version__))
        return exit_codes.OK
    if words[0] in ("--version", "-v", "-V", "version"):
        sys.stdout.write(f"azemu {__version__}\n")
        return exit_codes.OK
    if words[0] == "help":
        words = [*words[1:], "--help"]
    match words:
        case ["start", *rest] | ["host", "start", *rest]:
            return _parse_start(rest)
        case ["storage", ("export" | "import" | "copy") as action, *rest]:
            return _parse_transfer(action, rest)
        case [option, *_] if option.startswith("-"):
            return _no_command(words)
        case ["host", *rest]:
            return _unknown(rest, after="host", known=("start",))
        case ["storage", *rest]:
            return _unknown(rest, after="storage", known=("export", "import", "copy"))
        case _:
            return _unknown(words, after="", known=("start", "host", "storage", "help", "version"))


def _no_command(words: Sequence[str]) -> int:
    """Most likely the word `start` was forgotten."""
    near = difflib.get_close_matches(words[0], ("--version", "--help"), n=1)
    meant = f"azemu {near[0]}" if near else f"azemu start {shlex.join(words)}"
    sys.stderr.write(f"azemu: '{words[0]}' is no command. Did you mean '{meant}'?\n")
    return exit_codes.USAGE


def _unknown(words: Sequence[str], *, after: str, known: Sequence[str]) -> int:
    prefix = f"azemu {after}".strip()
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write("".join(f"{prefix} {word} --help\n" for word in known))
        return exit_codes.OK if words else exit_codes.USAGE
    sys.stderr.write(f"azemu: unknown command '{prefix[6:]} {words[0]}'.".replace("' ", "'"))
    near = difflib.get_close_matches(words[0], known, n=1)
    sys.stderr.write(f" Did you mean '{prefix} {near[0]}'?\n" if near else f" Known: {', '.join(known)}.\n")
    return exit_codes.USAGE


def _parse_start(words: list[str]) -> Start:
    parser = _Parser(
        prog="azemu start",
        description="Run the function app of the current folder, or of a folder above it.",
        epilog=_START_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_serving(parser)
    _add_running(parser)
    _add_ignored(parser)
    given = _parse_known(parser, list(_joined(words)))
    return Start(
        app=given.app,
        port=given.port,
        address=given.address,
        functions=tuple(name for word in given.functions for name in word.replace(",", " ").split()),
        enable_auth=given.enable_auth,
        cors=given.cors,
        cors_credentials=given.cors_credentials,
        storage=given.storage,
        verbose=given.verbose,
        user_log_level=given.user_log_level,
        reload=given.reload,
        python_arguments=given.python_arguments,
        log_format=given.log_format,
        no_color=given.no_color,
    )


def _joined(words: Sequence[str]) -> Iterator[str]:
    """The arguments of the interpreter begin with a dash, which argparse would take for an option of ours."""
    rest = iter(words)
    for word in rest:
        if word in _PYTHON_ARGUMENTS and (value := next(rest, None)) is not None:
            yield f"{word}={value}"
        else:
            yield word


def _add_serving(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("serving").add_argument
    add("-p", "--port", type=_port, metavar="N", help="port (default: 7071, or LocalHttpPort of local.settings.json)")
    add("--address", metavar="A", help="address to listen on (default: 127.0.0.1)")
    add("--cors", metavar="ORIGINS", help="origins that may call from a browser, separated by commas, or *")
    add("--cors-credentials", action="store_true", default=None, help="let these origins send cookies")
    add("--enable-auth", "--enableAuth", action="store_true", help="ask for keys, as in Azure")


def _add_running(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("the app").add_argument
    add(
        *("--app", "--script-root", "--prefix"),
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder of the app (default: the current one)",
    )
    add("--functions", nargs="+", default=(), metavar="NAME", help="run only these functions")
    add(
        "--storage",
        metavar="WHERE",
        help="azurite, builtin[:PATH], builtin:memory or a connection string, in place of AzureWebJobsStorage",
    )
    add("--no-reload", dest="reload", action="store_false", help="one process, no restart on changes: for debuggers")
    add(
        *_PYTHON_ARGUMENTS,
        metavar="ARGS",
        help='for the interpreter that runs the app, e.g. "-m debugpy --listen 5678"',
    )
    add = parser.add_argument_group("output").add_argument
    add("--verbose", action="store_true", help="show what the host itself does")
    add(
        "--user-log-level",
        type=_level,
        default=os.environ.get("FUNCTIONS_USER_LOG_LEVEL"),
        metavar="LEVEL",
        help=f"what functions log is shown from here on: {', '.join(LEVELS)}",
    )
    add("--log-format", choices=("text", "json"), default="text", help="json: one object a line")
    add("--enable-json-output", dest="log_format", action="store_const", const="json", help=argparse.SUPPRESS)
    add("--no-color", "--no-colour", action="store_true", help="no colours (also: the variable NO_COLOR)")


def _add_ignored(parser: argparse.ArgumentParser) -> None:
    """Options of `func start` that editors and scripts pass and that mean nothing here."""
    parser.add_argument("-t", "--timeout", help=argparse.SUPPRESS)
    parser.add_argument("--runtime", help=argparse.SUPPRESS)
    for flag in ("--no-build", "--python", "--dotnet-isolated"):
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)


def _parse_transfer(action: str, words: list[str]) -> Transfer:
    kinds: dict[str, Literal["export", "import", "copy"]] = {"export": "export", "import": "import", "copy": "copy"}
    parser = _Parser(prog=f"azemu storage {action}", description=_TRANSFERS[action], allow_abbrev=False)
    parser.add_argument("--app", type=Path, default=Path(), metavar="DIR", help="folder of the app, for its settings")
    where = "a connection setting of the app (default: AzureWebJobsStorage), a connection string, builtin:PATH"
    if action != "import":
        parser.add_argument("--from", dest="source", metavar="CONNECTION", required=action == "copy", help=where)
    if action != "export":
        parser.add_argument("--to", dest="target", metavar="CONNECTION", required=action == "copy", help=where)
    if action != "copy":
        parser.add_argument("file", type=Path, metavar="FILE")
    if action != "import":
        parser.add_argument("--hub", metavar="NAME", help="only the queues, tables and containers of this task hub")
    parser.add_argument("--force", action="store_true", help="overwrite what is there already")
    given = _parse_known(parser, words)
    return Transfer(
        action=kinds[action],
        app=given.app,
        source=getattr(given, "source", None),
        target=getattr(given, "target", None),
        file=getattr(given, "file", None),
        hub=getattr(given, "hub", None),
        force=given.force,
    )


_TRANSFERS: Final = {
    "export": "Save all queues, tables and blobs of an account to one file. Stop the hosts that use it first.",
    "import": "Import a saved file into an account. Repeat the command if it was interrupted.",
    "copy": "Copy all queues, tables and blobs from one account to another. Repeat the command if it was interrupted.",
}


def _parse_known(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    given, unknown = parser.parse_known_args(words)
    if unknown:
        options = [
            option for action in parser._actions if action.help != argparse.SUPPRESS for option in action.option_strings
        ]
        near = difflib.get_close_matches(unknown[0].split("=")[0], options, n=1)
        parser.error(f"unknown argument '{unknown[0]}'." + (f" Did you mean '{near[0]}'?" if near else ""))
    return given


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is no port: 0 to 65535 (0: any free one)")


def _level(text: str) -> str:
    for level in LEVELS:
        if level.lower() == text.lower():
            return level
    raise argparse.ArgumentTypeError(f"'{text}' is no level: {', '.join(LEVELS)}")
