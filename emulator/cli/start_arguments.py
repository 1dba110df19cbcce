"""Arguments of `azemu start`."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from emulator.chaos.plan import new_seed
from emulator.cli.parsing import Parser, whole_number

# The second name is that of `func start`.
_PYTHON_ARGUMENTS: Final = ("--python-arguments", "--language-worker")
# The levels of .NET, as in host.json and in `func start --user-log-level`.
LEVELS: Final = ("Trace", "Debug", "Information", "Warning", "Error", "Critical", "None")

_HIGHEST_SEED: Final = 10**18

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Options of `azemu start`. None: not given, so local.settings.json or the default applies.

    `chaos`: the seed of faults. `otlp`: the URL of a collector; empty: the option has no URL.
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
    otlp: str | None = None


def parse_start(words: Sequence[str]) -> Start:
    """Parse the arguments after `azemu start`. Ends the process (SystemExit) after --help and for wrong arguments."""
    parser = Parser(
        "azemu start",
        description="Run the function app in the current folder, or in the nearest folder above it that has one.",
        epilog=_START_EXAMPLES,
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
    group = parser.add_argument_group("app")
    # Editors and scripts pass the names that the option has in `func start`.
    parser.add_app_option("--script-root", "--prefix", group=group)
    add = group.add_argument
    add("--functions", nargs="+", default=(), metavar="NAME", help="run only these functions")
    add(
        "--storage",
        metavar="STORAGE",
        help="use this storage instead of AzureWebJobsStorage: azurite, builtin, builtin:PATH, builtin:memory or a "
        "connection string",
    )
    parser.suggest("--storage", ("azurite", "builtin", "builtin:memory"))
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
    parser.suggest("--user-log-level", LEVELS)
    add("--log-format", choices=("text", "json"), default="text", help="json: one JSON object per line")
    add("--enable-json-output", dest="log_format", action="store_const", const="json", help=argparse.SUPPRESS)
    add(
        "--otlp",
        nargs="?",
        const="",
        metavar="URL",
        help="send OpenTelemetry traces to a collector, over HTTP (default URL: OTEL_EXPORTER_OTLP_ENDPOINT, or "
        "http://localhost:4318; docs/observability.md)",
    )
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
        otlp=options.otlp,
    )


def _seed_of(parser: Parser, text: str | None) -> int | None:
    """Return the seed of --chaos: a random one if only the option is given, None without the option."""
    if text is None:
        return None
    if not text:
        return new_seed()
    if (seed := whole_number(text, 0, _HIGHEST_SEED)) is None:
        parser.error(f"--chaos: '{text}' is not a seed. Use a number such as 17, or leave it out for a random one.")
    return seed


def split_arguments(text: str) -> list[str]:
    """Split the text of --python-arguments into words, as a shell does. Raises ValueError for an open quote."""
    # Not shlex.split: there a backslash protects the next character, but on Windows it is part of a path.
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    lexer.escape = "" if sys.platform == "win32" else "\\"
    return list(lexer)
