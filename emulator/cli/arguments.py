"""Command line arguments of `azemu`: parse them into a record for each command. Nothing is run here."""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from emulator import __version__, exit_codes
from emulator.chaos.plan import new_seed
from emulator.cli.invoke_arguments import Invoke, parse_invoke
from emulator.cli.parsing import Parser
from emulator.cli.send_arguments import Send, parse_send

# The second name is that of `func start`.
_PYTHON_ARGUMENTS: Final = ("--python-arguments", "--language-worker")
# The levels of .NET, as in host.json and in `func start --user-log-level`.
LEVELS: Final = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")

_OVERVIEW: Final = """\
azemu {version}: run Azure Functions and Durable Functions on your machine

Usage: azemu <command> [options]

Commands:
  start             run the function app in the current folder (also: azemu host start)
  invoke            run one function of a host that is running, with data of your choice
  send queue        put a message into a queue of the app's storage
  send blob         write a blob into the app's storage
  send eventgrid    run a function of a running host for an event
  storage export    save queues, tables and blobs of a storage account to a file
  storage import    load a saved file into a storage account
  storage copy      copy queues, tables and blobs from one storage account to another
  help [command]    show the options of a command

Examples:
  azemu start                                  serve the app on http://localhost:7071
  azemu start --port 8080 --app path/to/app    use another port and another folder
  azemu start --storage builtin                keep storage in a file of the app folder; needs no Azurite or Node.js
  azemu start --functions greet orders         run only these two functions
  azemu start --no-reload                      run in one process, for a debugger
  azemu invoke consume "message text"          run the function consume as if this message had arrived

`azemu <command> --help` shows all options of a command.
"""

_START_EXAMPLES: Final = """\
examples:
  azemu start
  azemu start -p 8080 --verbose
  azemu start --app path/to/app --storage builtin:memory
  azemu start --cors http://localhost:3000 --cors-credentials
  azemu start --python-arguments "-m debugpy --listen 127.0.0.1:5678"

App settings are read from local.settings.json and host options from host.json; both files are optional. A change of
host.json or of a .py file restarts the host. Ctrl-C stops the host when running functions have finished; a second
Ctrl-C stops it at once.
"""

_TRANSFER_DESCRIPTIONS: Final = {
    "export": "Save all queues, tables and blobs of a storage account to one file. Stop the hosts that use it first.",
    "import": "Load a saved file into a storage account. If an import was interrupted, run it again to complete it.",
    "copy": "Copy all queues, tables and blobs from one storage account to another. If a copy was interrupted, run it "
    "again to complete it.",
}

_COMMANDS: Final = ("start", "invoke", "send", "host", "storage", "help", "version")

# By group and word, for the list of a group's commands.
_GROUP_COMMANDS: Final = {
    ("host", "start"): "run the function app in the current folder",
    ("send", "queue"): "put a message into a queue of the app's storage",
    ("send", "blob"): "write a blob into the app's storage",
    ("send", "eventgrid"): "run a function of a running host for an event",
    ("storage", "export"): "save queues, tables and blobs of a storage account to a file",
    ("storage", "import"): "load a saved file into a storage account",
    ("storage", "copy"): "copy queues, tables and blobs from one storage account to another",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Options of `azemu start`. None: not given, so local.settings.json or the default applies.

    `chaos`: the seed of faults.
    """

    app: Path
    port: int | None
    address: str | None
    functions: Sequence[str]
    enable_auth: bool
    cors: str | None
    cors_credentials: bool | None
    host_names: str | None
    storage: str | None
    verbose: bool
    user_log_level: str | None
    reload: bool
    python_arguments: str | None
    log_format: Literal["text", "json"]
    no_color: bool
    chaos: int | None = None
    dashboard_path: str | None = None
    dashboard_writes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Options of `azemu storage export`, `import` and `copy`.

    `source` and `target`: a connection string, or the name of a connection setting of the app. `hub`: transfer only
    what belongs to this task hub. `force`: overwrite existing data.
    """

    action: Literal["export", "import", "copy"]
    app: Path
    source: str | None
    target: str | None
    file: Path | None
    hub: str | None = None
    force: bool = False


def parse(words: Sequence[str]) -> Start | Invoke | Send | Transfer | int:
    """Parse the arguments after `azemu`. Return an exit code if the help or an error message was printed instead."""
    rest = list(words)
    if not rest or rest[0] in ("-h", "--help") or rest in (["help"], ["help", "help"]):
        sys.stdout.write(_OVERVIEW.format(version=__version__))
        return exit_codes.OK
    # As in Core Tools, -v is the version and not --verbose.
    if rest[0] in ("--version", "-v", "-V", "version"):
        sys.stdout.write(f"azemu {__version__}\n")
        return exit_codes.OK
    if rest[0] == "help":
        rest = [*rest[1:], "--help"]
    try:
        match rest:
            case ["start", *options] | ["host", "start", *options]:
                return _parse_start(options)
            case ["invoke", *options]:
                return parse_invoke(options)
            case ["send", ("queue" | "blob" | "eventgrid") as kind, *options]:
                return parse_send(kind, options)
            case ["storage", ("export" | "import" | "copy") as action, *options]:
                return _parse_transfer(action, options)
            case [("host" | "send" | "storage") as group, *others]:
                known = [word for of_group, word in _GROUP_COMMANDS if of_group == group]
                return _unknown_command(others, group=group, known=known)
            case [option, *_] if option.startswith("-"):
                # Either a misspelt option of azemu itself, or the word `start` was forgotten.
                near = difflib.get_close_matches(option, ("--version", "--help"), n=1)
                suggestion = f"azemu {near[0]}" if near else f"azemu start {shlex.join(rest)}"
                sys.stderr.write(f"azemu: expected a command, not '{option}'. Did you mean '{suggestion}'?\n")
                return exit_codes.USAGE
            case _:
                return _unknown_command(rest, group="", known=_COMMANDS)
    except SystemExit as end:
        # argparse ends the process after --help and after an error. Callers in this process need the code instead.
        return end.code if isinstance(end.code, int) else exit_codes.USAGE


def _unknown_command(words: Sequence[str], *, group: str, known: Sequence[str]) -> int:
    prefix = f"azemu {group}".strip()
    if not words or words[0] in ("-h", "--help"):
        # `azemu storage` alone is an error for scripts (exit code 2), but a person gets the list of commands.
        stream = sys.stdout if words else sys.stderr
        if not words:
            stream.write(f"azemu: '{prefix}' needs one more word. ")
        width = max(map(len, known)) + 2
        commands = "".join(f"  {prefix} {word:{width}}{_GROUP_COMMANDS[group, word]}\n" for word in known)
        stream.write(f"Commands:\n{commands}`{prefix} {known[0]} --help` shows the options of a command.\n")
        return exit_codes.OK if words else exit_codes.USAGE
    near = difflib.get_close_matches(words[0], known, n=1)
    advice = f"Did you mean '{prefix} {near[0]}'?" if near else f"Known commands: {', '.join(known)}."
    sys.stderr.write(f"azemu: unknown command '{f'{group} {words[0]}'.strip()}'. {advice}\n")
    return exit_codes.USAGE


def _parse_start(words: Sequence[str]) -> Start:
    parser = Parser(
        prog="azemu start",
        description="Run the function app in the current folder, or in the nearest folder above it that has one.",
        epilog=_START_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # An abbreviation that works today would become ambiguous with the next new option.
        allow_abbrev=False,
    )
    add = parser.add_argument_group("HTTP").add_argument
    add("-p", "--port", metavar="N", help="port (default: LocalHttpPort of local.settings.json, or 7071)")
    add("--address", metavar="IP", help="IP address to listen on (default: localhost, i.e. 127.0.0.1 and ::1)")
    add("--cors", metavar="ORIGINS", help="origins that browsers may call from, separated by commas, or *")
    # The default is None and not False, which would override CORSCredentials of local.settings.json.
    add("--cors-credentials", action="store_true", default=None, help="allow these origins to send cookies")
    add("--host-names", metavar="NAMES", help="other names of this host, separated by commas (docs/security.md)")
    add("--enable-auth", "--enableAuth", action="store_true", help="require function and host keys, as Azure does")
    add = parser.add_argument_group("dashboard").add_argument
    add("--dashboard-path", metavar="NAME", help="path of the dashboard (default: azemu), or none for no dashboard")
    add("--dashboard-writes", action="store_true", help="let it change storage accounts in Azure, too")
    add = parser.add_argument_group("app").add_argument
    # The second and third name are those of `func start`, which editors and scripts pass.
    add(
        *("--app", "--script-root", "--prefix"),
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder of the app (default: the current folder)",
    )
    add("--functions", nargs="+", default=(), metavar="NAME", help="run only these functions")
    add(
        "--storage",
        metavar="STORAGE",
        help="use this storage instead of AzureWebJobsStorage: azurite, builtin, builtin:PATH, builtin:memory or a "
        "connection string",
    )
    add("--no-reload", dest="reload", action="store_false", help="run in one process, without restarts: for debuggers")
    add(
        *_PYTHON_ARGUMENTS,
        metavar="ARGS",
        help='arguments of the Python that runs the app, such as "-m debugpy --listen 5678"',
    )
    add(
        "--chaos",
        nargs="?",
        const="",
        metavar="SEED",
        help="let storage calls fail and the host crash, as the seed decides (default: any), and check the task hub at "
        "the end; for local storage only",
    )
    add = parser.add_argument_group("output").add_argument
    add("--verbose", action="store_true", help="also show the log of the host")
    add(
        "--user-log-level",
        default=os.environ.get("FUNCTIONS_USER_LOG_LEVEL"),
        metavar="LEVEL",
        help=f"lowest level of the functions' own log lines to show: {', '.join(LEVELS)} "
        "(default: the environment variable FUNCTIONS_USER_LOG_LEVEL)",
    )
    add("--log-format", choices=("text", "json"), default="text", help="json: one JSON object per line")
    add("--enable-json-output", dest="log_format", action="store_const", const="json", help=argparse.SUPPRESS)
    add("--no-color", "--no-colour", action="store_true", help="no colours (also: the environment variable NO_COLOR)")
    # Options of `func start` that editors and scripts pass. They have no effect here, but must not be errors.
    add("-t", "--timeout", help=argparse.SUPPRESS)
    add("--runtime", help=argparse.SUPPRESS)
    for flag in ("--no-build", "--python", "--dotnet-isolated"):
        add(flag, action="store_true", help=argparse.SUPPRESS)

    # Arguments of the interpreter begin with a dash, so argparse would take them for options of azemu. Written as
    # `--python-arguments=-X dev` it takes them for a value.
    joined: list[str] = []
    rest = iter(words)
    for word in rest:
        value = next(rest, None) if word in _PYTHON_ARGUMENTS else None
        joined.append(word if value is None else f"{word}={value}")
    options = parser.parse(joined)
    port = parser.port_of(options.port, lowest=0)
    levels = {level.lower(): level for level in LEVELS}
    if options.user_log_level and options.user_log_level.lower() not in levels:
        parser.error(
            f"--user-log-level: '{options.user_log_level}' is not a log level. Use one of: {', '.join(LEVELS)}."
        )
    return Start(
        app=options.app,
        port=port,
        address=options.address,
        # Core Tools separates the names by spaces; commas are easier to write in configuration files of editors.
        functions=tuple(name for word in options.functions for name in word.replace(",", " ").split()),
        enable_auth=options.enable_auth,
        cors=options.cors,
        cors_credentials=options.cors_credentials,
        host_names=options.host_names,
        storage=options.storage,
        verbose=options.verbose,
        user_log_level=levels[options.user_log_level.lower()] if options.user_log_level else None,
        reload=options.reload,
        python_arguments=options.python_arguments,
        log_format=options.log_format,
        no_color=options.no_color,
        chaos=_seed_of(parser, options.chaos),
        dashboard_path=options.dashboard_path,
        dashboard_writes=options.dashboard_writes,
    )


def _seed_of(parser: Parser, text: str | None) -> int | None:
    """Return the seed of --chaos: a random one if only the option is given, None without the option."""
    if text is None:
        return None
    if not text:
        return new_seed()
    if not text.isdecimal():
        parser.error(f"--chaos: '{text}' is not a seed. Use a number such as 17, or leave it out for a random one.")
    return int(text)


def _parse_transfer(action: Literal["export", "import", "copy"], words: Sequence[str]) -> Transfer:
    parser = Parser(prog=f"azemu storage {action}", description=_TRANSFER_DESCRIPTIONS[action], allow_abbrev=False)
    parser.add_argument("--app", type=Path, default=Path(), metavar="DIR", help="folder of the app, for its settings")
    connection = "name of a connection setting of the app, a connection string, azurite or builtin:PATH"
    # A copy has no default on either side: source and target would be the same account.
    connection += "" if action == "copy" else " (default: AzureWebJobsStorage)"
    if action != "import":
        parser.add_argument("--from", dest="source", metavar="CONNECTION", required=action == "copy", help=connection)
    if action != "export":
        parser.add_argument("--to", dest="target", metavar="CONNECTION", required=action == "copy", help=connection)
    if action != "copy":
        parser.add_argument("file", type=Path, metavar="FILE")
    if action != "import":
        parser.add_argument("--hub", metavar="NAME", help="only the queues, tables and containers of this task hub")
    parser.add_argument("--force", action="store_true", help="overwrite existing data")
    options = parser.parse(words)
    return Transfer(
        action=action,
        app=options.app,
        source=getattr(options, "source", None),
        target=getattr(options, "target", None),
        file=getattr(options, "file", None),
        hub=getattr(options, "hub", None),
        force=options.force,
    )


def split_arguments(text: str) -> list[str]:
    """Split the text of --python-arguments into words, as a shell does. Raises ValueError for an open quote."""
    # Not shlex.split: there a backslash protects the next character, but on Windows it is part of a path.
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = "" if sys.platform == "win32" else "\\"
    return list(lexer)
