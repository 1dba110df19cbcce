"""Histories of a task hub for commands: through the API of the running host, or with the same code on storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.parse import quote

from emulator import bound_json as json
from emulator.cli.answers import TEXT_OR_NULL, Shape
from emulator.cli.durable_access import HubStorage, RequestRefused, open_hub_storage
from emulator.cli.durable_choice import HubChoice
from emulator.cli.finding_hosts import find_host_if_running
from emulator.cli.host_client import HostClient
from emulator.clock import SystemClock
from emulator.histories.transfer import ForkOptions, HistoryTransfer
from emulator.ids import new_id

_DOCUMENT: Final = {"instances": [{"instanceId": str, "history": [{}]}]}
_PLACES: Final = {"places": [{"at": int, "time": str, "received": [{"at": int, "type": str, "name": TEXT_OR_NULL}]}]}
_FORKED: Final = {
    "instanceId": str,
    "source": str,
    "cut": int,
    "reusedEvents": int,
    "rerun": [str],
    "eventsLeftOut": [str],
    "fixedChildren": [str],
}
_IMPORTED: Final = {"instanceId": str, "instances": [{"instanceId": str, "name": str, "continues": bool}]}


class Histories(Protocol):
    """What commands do with the histories of a task hub. Raises RequestRefused, or what `HistoryTransfer` raises."""

    async def export(self, instance_id: str) -> Any:
        """Return the history file of an instance."""

    async def places(self, instance_id: str) -> Any:
        """Return the events at which an instance can be forked."""

    async def fork(self, instance_id: str, members: Mapping[str, Any]) -> Any:
        """Fork an instance. `members`: see `ForkOptions.of`, and `force`."""

    async def import_file(self, content: Any, instance_id: str | None, *, force: bool) -> Any:
        """Create the instances of a history file."""


@asynccontextmanager
async def open_histories(where: HubChoice) -> AsyncIterator[Histories]:
    """Open the histories of the running host's task hub, or those in storage if no host runs or a hub was chosen.

    Raises ConfigurationError, HostNotRunning, InvocationFailed, RequestRefused.
    """
    # The API of a host has the histories of its own task hub only.
    host = None if where.names_hub else find_host_if_running(where.app, port=where.port, key=where.key, needs_app=False)
    if host is not None:
        # Not the storage instead: that would change a hub beside the host that works on it, unasked.
        advice = " To use the task hub without it, name its storage with --storage."
        yield _HostHistories(host, f"{host.dashboard_path('history', advice=advice)}api/")
        return
    async with open_hub_storage(where, must_exist=True) as storage:
        storage.announce(instead_of_host=not where.names_hub)
        yield _StorageHistories(storage)


class _HostHistories:
    def __init__(self, host: HostClient, path: str) -> None:
        self._host = host
        self._path = path

    async def export(self, instance_id: str) -> Any:
        return self._answer("GET", f"instances/{quote(instance_id, safe='')}/export", _DOCUMENT)

    async def places(self, instance_id: str) -> Any:
        return self._answer("GET", f"instances/{quote(instance_id, safe='')}/forks", _PLACES)

    async def fork(self, instance_id: str, members: Mapping[str, Any]) -> Any:
        return self._answer("POST", f"instances/{quote(instance_id, safe='')}/forks", _FORKED, members)

    async def import_file(self, content: Any, instance_id: str | None, *, force: bool) -> Any:
        return self._answer("POST", "imports", _IMPORTED, {"file": content, "id": instance_id, "force": force})

    def _answer(self, method: str, path: str, shape: Shape, members: Mapping[str, Any] | None = None) -> Any:
        body = None if members is None else json.dumps(members).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        response = self._host.send(method, f"{self._path}{path}", body, headers)
        if response.status >= 300:
            # The API's advice is for its pages; a command has an option for the same.
            advice = "start azemu with --dashboard-writes"
            raise RequestRefused(response.refusal().replace(advice, "repeat the command with --force"))
        return response.content(shape)


class _StorageHistories:
    def __init__(self, storage: HubStorage) -> None:
        self._storage = storage
        self._transfer = HistoryTransfer(storage.hubs.own().hub, SystemClock(), new_id)

    async def export(self, instance_id: str) -> Any:
        return await self._transfer.export(instance_id)

    async def places(self, instance_id: str) -> Any:
        return await self._transfer.places(instance_id)

    async def fork(self, instance_id: str, members: Mapping[str, Any]) -> Any:
        self._check_writable(force=bool(members.get("force")))
        return await self._transfer.fork(instance_id, ForkOptions.of(members))

    async def import_file(self, content: Any, instance_id: str | None, *, force: bool) -> Any:
        self._check_writable(force=force)
        return await self._transfer.import_file(content, instance_id=instance_id)

    def _check_writable(self, *, force: bool) -> None:
        # The rule of the host's API, which this way does not pass.
        if not force and not self._storage.is_emulated:
            raise RequestRefused(
                f"The {self._storage.description} is not on this machine. To write to it, repeat the command with "
                "--force."
            )
