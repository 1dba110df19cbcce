"""Command `azemu logs`: the log of the running host, from the dashboard's API."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlencode

from emulator import exit_codes
from emulator.cli.finding_hosts import find_host
from emulator.cli.host_client import HostClient, HostNotRunning, InvocationFailed, url_segment
from emulator.cli.logs_arguments import Logs
from emulator.cli.printing import json_text, print_json, shown_lines
from emulator.dotnet.failure_text import readable_failure
from emulator.host.console.output import use_colour

_COLOURS: Final = {"Warning": "\x1b[33m", "Error": "\x1b[91m", "Critical": "\x1b[91m"}
_PLAIN: Final = "\x1b[0m"
_LINE: Final = {"time": str, "level": str, "message": str}
_LAST_OF_ALL: Final = 2**53
# A host that is stopping still answers, and ends each response at once.
_PAUSE_SECONDS: Final = 0.5


def run_logs(command: Logs) -> int:
    """Run the command and return its exit code. Raises HostNotRunning, InvocationFailed."""
    host = find_host(command.app, port=command.port, key=command.key, needs_app=False)
    if command.function is not None and host.get(f"/admin/functions/{url_segment(command.function)}").status == 404:
        raise InvocationFailed(f"The app at port {host.port} has no function '{command.function}'.")
    if not command.follow:
        lines = list(host.events(_path(host, command, last=command.last), _LINE))
        if command.json:
            print_json({"lines": lines})
            return exit_codes.OK
        _print(lines, as_json=False)
        if not lines:
            sys.stderr.write("The host keeps no such lines.\n")
        return exit_codes.OK
    last, shown, before = command.last, "", ""
    while True:
        # The connection ends when the host stops or restarts.
        with suppress(HostNotRunning):
            for line in host.events(_path(host, command, last=last), _LINE):
                # A restarted host process numbers its lines from 1, so that only their times tell which ones are new.
                if line["time"] > before:
                    _print([line], as_json=command.json)
                    shown = line["time"]
        # After a reconnection all lines are wanted that were not shown yet, not only the last ones.
        last, before = _LAST_OF_ALL, shown
        try:
            time.sleep(_PAUSE_SECONDS)
            host.wait_until_started()
        except HostNotRunning:
            sys.stderr.write("The host has stopped.\n")
            return exit_codes.OK


def _path(host: HostClient, command: Logs, *, last: int) -> str:
    query = {
        "last": str(last),
        "follow": "true" if command.follow else "",
        "function": command.function or "",
        "instance": command.instance or "",
        "level": command.level.value if command.level else "",
        "replay": "" if command.replay else "false",
    }
    return f"{host.dashboard_path('logs')}api/logs?{urlencode({name: value for name, value in query.items() if value})}"


def _print(lines: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    colours = _COLOURS if use_colour(sys.stdout, os.environ) else {}
    for line in lines:
        if as_json:
            sys.stdout.write(f"{json_text(line)}\n")
            continue
        colour = colours.get(line["level"], "")
        # As on the console of the host. Lines of a traceback stay lines; other control characters must not reach the
        # terminal.
        message = shown_lines(readable_failure(line["message"]))
        sys.stdout.write(f"{colour}[{line['time']}] {message}{_PLAIN if colour else ''}\n")
    sys.stdout.flush()
