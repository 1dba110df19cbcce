"""Command `azemu why`: asks the running host why an instance does not progress, or reads the task hub itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from emulator import exit_codes
from emulator.cli.answers import TEXT_OR_NULL
from emulator.cli.durable_access import RequestRefused, open_hub_storage
from emulator.cli.host_client import find_host_if_running, url_segment
from emulator.cli.printing import one_line, print_json
from emulator.cli.why_arguments import Why
from emulator.clock import SystemClock
from emulator.diagnosis.opening import open_diagnosis

_EXPLANATION: Final = {
    "instanceId": str,
    "name": TEXT_OR_NULL,
    "cause": str,
    "summary": str,
    "facts": [str],
    "advice": [str],
}
_ALL: Final = {"instances": [_EXPLANATION], "hasMore": bool}


def run_why(command: Why) -> int:
    """Run the command and return its exit code: 1 if there is no such instance.

    Raises ConfigurationError, HostNotRunning, InvocationFailed, RequestRefused.
    """
    members = _of_host(command) or asyncio.run(_of_storage(command))
    if command.json:
        print_json(members)
    elif command.instance_id is not None:
        _print_one(members)
    else:
        instances = members["instances"]
        if not instances:
            _print_lines(["No instance waits: all have ended."])
        for number, instance in enumerate(instances):
            # An empty line between two of them.
            _print_lines([""] * (number > 0))
            _print_one(instance)
        if members["hasMore"]:
            sys.stderr.write(f"There are more than these {len(instances)} instances. Name one: azemu why ID\n")
    # For scripts: a misspelled id is an error, an instance that waits is none.
    return exit_codes.FAILED if members.get("cause") == "does-not-exist" else exit_codes.OK


def _of_host(command: Why) -> Mapping[str, Any] | None:
    """Return what the running host answers; None if none runs, or if the command is to read storage."""
    where = command.where
    if where.storage is not None or where.hub is not None:
        return None
    host = find_host_if_running(where.app, port=where.port, key=where.key)
    if host is None:
        return None
    # Only if the user asks for it: storage does not show the line of code that waits, and the host knows it.
    advice = " To read the task hub without it, name its storage with --storage."
    path = host.dashboard_path("why", advice=advice)
    end = "" if command.instance_id is None else f"/{url_segment(command.instance_id)}"
    response = host.get(f"{path}api/why{end}")
    if response.status >= 300:
        raise RequestRefused(response.refusal())
    members: Mapping[str, Any] = response.content(_ALL if command.instance_id is None else _EXPLANATION)
    return members


async def _of_storage(command: Why) -> Mapping[str, Any]:
    async with open_hub_storage(command.where, must_exist=True) as storage:
        storage.announce(instead_of_host=command.where.storage is None and command.where.hub is None)
        diagnosis = open_diagnosis(storage.options, storage.accounts, SystemClock())
        if command.instance_id is None:
            return (await diagnosis.why_all()).json()
        return (await diagnosis.why(command.instance_id)).json()


def _print_one(members: Mapping[str, Any]) -> None:
    kind = f" ({members['name']})" if members["name"] else ""
    summary = str(members["summary"]).removeprefix("It ")
    _print_lines([f'"{members["instanceId"]}"{kind} {summary}'])
    _print_lines([f"  {fact}" for fact in members["facts"]])
    _print_lines([f"  What to do: {advice}" for advice in members["advice"]])


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        # Names and reasons come from the app, and may contain control characters.
        sys.stdout.write(f"{one_line(line)}\n")
