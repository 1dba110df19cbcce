"""Command `azemu why`: asks the running host why an instance does not progress, or reads the task hub itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Any, Final

from emulator import exit_codes
from emulator.cli.answers import TEXT_OR_NULL
from emulator.cli.durable_access import RequestRefused, open_hub_storage
from emulator.cli.finding_hosts import find_host_if_running
from emulator.cli.host_client import HostClient, url_segment
from emulator.cli.printing import ProgressLine, one_line, print_json
from emulator.cli.why_arguments import Why
from emulator.clock import SystemClock
from emulator.diagnosis.diagnosis import Diagnosis
from emulator.diagnosis.finding import Cause, Severity
from emulator.diagnosis.opening import open_diagnosis

_EXPLANATION: Final = {
    "instanceId": str,
    "name": TEXT_OR_NULL,
    "severity": str,
    "cause": str,
    "summary": str,
    "facts": [str],
    "advice": [str],
}
_PROBLEM: Final = Severity.PROBLEM.name.lower()
_URGENCY: Final = [severity.name.lower() for severity in Severity]

Members = Mapping[str, Any]
"""An explanation, as the host's API and the diagnosis have it."""


def run_why(command: Why) -> int:
    """Run the command and return its exit code: 1 if there is no such instance.

    Raises ConfigurationError, HostNotRunning, InvocationFailed, RequestRefused, and what the storage raises.
    """
    return asyncio.run(_run(command))


async def _run(command: Why) -> int:
    where = command.where
    # Storage alone does not show the line of code that waits, and the host knows it.
    host = None if where.names_hub else find_host_if_running(where.app, port=where.port, key=where.key, needs_app=False)
    async with AsyncExitStack() as stack:
        source: HostClient | Diagnosis
        if host is not None:
            source = host
        else:
            storage = await stack.enter_async_context(open_hub_storage(where, must_exist=True))
            storage.announce(instead_of_host=not where.names_hub)
            source = open_diagnosis(storage.options, storage.accounts, SystemClock())
        if command.instance_id is None:
            await _print_all(await stack.enter_async_context(aclosing(_all(source))), command)
            return exit_codes.OK
        members: Members
        if isinstance(source, HostClient):
            response = source.get(f"{_api_path(source)}/{url_segment(command.instance_id)}")
            if response.status >= 300:
                raise RequestRefused(response.refusal())
            members = response.content(_EXPLANATION)
        else:
            members = (await source.why(command.instance_id)).json()
    if command.json:
        print_json(members)
    else:
        _print_one(members)
    # For scripts: a misspelled id is an error, an instance that waits is none.
    return exit_codes.FAILED if members["cause"] == Cause.NOT_FOUND.value else exit_codes.OK


def _api_path(host: HostClient) -> str:
    # The storage instead only if the user asks for it.
    advice = " To read the task hub without it, name its storage with --storage."
    return f"{host.dashboard_path('why', advice=advice)}api/why"


async def _all(source: HostClient | Diagnosis) -> AsyncGenerator[Members]:
    if isinstance(source, HostClient):
        for members in source.events(f"{_api_path(source)}?stream=true", _EXPLANATION):
            yield members
        return
    async for group in source.groups():
        for explanation in group:
            yield explanation.json()


async def _print_all(explanations: AsyncIterator[Members], command: Why) -> None:
    """Print explanations as they come, the problems of each group first; as JSON all at once, all problems first."""
    shown: list[Members] = []
    seen, has_more = 0, False
    with ProgressLine() as progress:
        async for members in explanations:
            seen += 1
            progress.show(f"Explaining the instances that have not ended: {seen} …")
            if command.problems and members["severity"] != _PROBLEM:
                continue
            if command.top and len(shown) == command.top:
                has_more = True
                break
            shown.append(members)
            if not command.json:
                progress.clear()
                # An empty line between two of them.
                _print_lines([""] * (len(shown) > 1))
                _print_one(members)
                sys.stdout.flush()
    if command.json:
        shown.sort(key=lambda one: (_URGENCY.index(one["severity"]), one["instanceId"]))
        print_json({"instances": shown, "hasMore": has_more})
    elif has_more:
        sys.stderr.write(
            f"There are more than {command.top}. Show more with --top N, all with --top 0, only the problems with "
            "--problems, or one with azemu why ID.\n"
        )
    elif not shown:
        waits = f"None of the {seen} instances that have not ended has a problem: they wait or are worked on."
        _print_lines([waits if seen else "No instance waits: all have ended."])


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
