"""Endpoints for the histories of instances: export, import, fork, replay with the present code, and tests of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiohttp import web

from emulator import bound_json as json
from emulator.clock import SystemClock, within
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, body_members, check_writable, endpoint
from emulator.durable.core.fork import ForkRefused
from emulator.histories.document import UnreadableHistory
from emulator.histories.generated_tests import generated_tests
from emulator.histories.transfer import ForkOptions, HistoryTransfer, TransferRefused
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import Handler, HttpCall, Route
from emulator.subprocesses import kill_process_tree, python_command, start_detached, without_debugger

_REPLAY_SECONDS: Final = 120.0


def transfer_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints for the histories of instances."""
    api = _Transfer(parts)
    path = "instances/{instanceId}"
    return [
        endpoint("GET", f"{path}/export", _refusing(api.export)),
        endpoint("GET", f"{path}/forks", _refusing(api.places)),
        endpoint("POST", f"{path}/forks", _refusing(api.fork)),
        endpoint("POST", f"{path}/replay", _refusing(api.replay)),
        endpoint("GET", f"{path}/tests", _refusing(api.tests)),
        endpoint("POST", "imports", _refusing(api.import_file)),
    ]


def _refusing(handler: Handler) -> Handler:
    async def answered(call: HttpCall) -> web.StreamResponse:
        try:
            return await handler(call)
        except TransferRefused as error:
            raise ApiError(error.status, str(error)) from None
        except (ForkRefused, UnreadableHistory) as error:
            raise ApiError(400, str(error)) from None

    return answered


class _Transfer:
    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts

    def _histories(self) -> HistoryTransfer:
        parts = self._parts
        if not parts.is_durable:
            raise ApiError(404, "The app has no durable functions.")
        return HistoryTransfer(parts.hubs.own().hub, parts.clock, parts.new_id)

    async def export(self, call: HttpCall) -> web.Response:
        """Return the history file of the instance."""
        return json_response(await self._histories().export(call.values["instanceId"]))

    async def places(self, call: HttpCall) -> web.Response:
        """Return the events at which the instance can be forked."""
        return json_response(await self._histories().places(call.values["instanceId"]))

    async def fork(self, call: HttpCall) -> web.Response:
        """Fork the instance. Members of the body: `at`, and optionally those of `ForkOptions.of`, and `force`."""
        members = await body_members(call, self._parts)
        self._check_writable(members)
        options = ForkOptions.of(members)
        return json_response(await self._histories().fork(call.values["instanceId"], options), status=201)

    async def import_file(self, call: HttpCall) -> web.Response:
        """Create the instances of a history file. Members of the body: `file`, and optionally `id` and `force`."""
        members = await body_members(call, self._parts)
        self._check_writable(members)
        instance_id = members.get("id")
        if instance_id is not None and not isinstance(instance_id, str):
            raise ApiError(400, 'The member "id" must be a text.')
        created = await self._histories().import_file(members.get("file"), instance_id=instance_id or None)
        return json_response(created, status=201)

    async def replay(self, call: HttpCall) -> web.Response:
        """Replay the instance with the files of the app as they are now. Returns what `azemu history replay` prints."""
        document = await self._histories().export(call.values["instanceId"])
        return json_response(await _replayed(document, self._parts.configuration.root))

    async def tests(self, call: HttpCall) -> web.Response:
        """Return the files of tests that are made from the instance, as `azemu history pytest` writes them."""
        document = await self._histories().export(call.values["instanceId"])
        tests = generated_tests(document, name=None, levels_to_app=1)
        return json_response(
            {
                "test": {"name": tests.test_name, "text": tests.test},
                "history": {"name": tests.history_name, "file": document},
            }
        )

    def _check_writable(self, members: Mapping[str, Any]) -> None:
        # The dashboard never forces; the command does after --force.
        if members.get("force") is not True:
            check_writable(self._parts, self._parts.durable_options.storage_provider.connection_name)


async def _replayed(document: Mapping[str, Any], root: Path) -> Any:
    # In a process of its own: this one has imported the app already, perhaps an older version of it.
    # As a file, because a history may be longer than a command line.
    with TemporaryDirectory(prefix="azemu-replay-") as folder:
        file = Path(folder) / "history.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        command = python_command("emulator.histories.report", str(root), str(file))
        pipe = asyncio.subprocess.PIPE
        with without_debugger():
            process = await start_detached(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        try:
            # In real time, in which the process runs, also for an app in virtual time.
            out, errors = await within(SystemClock(), _REPLAY_SECONDS, process.communicate())
        except TimeoutError:
            raise ApiError(500, f"The replay has not ended after {_REPLAY_SECONDS:g} seconds.") from None
        finally:
            if process.returncode is None:
                await kill_process_tree(process)
    try:
        members = json.loads(out)
    except ValueError:
        text = errors.decode("utf-8", "replace").strip()
        raise ApiError(500, text[-2000:] or f"The replay ended with exit code {process.returncode}.") from None
    if "error" in members:
        raise ApiError(400, members["error"])
    return members
