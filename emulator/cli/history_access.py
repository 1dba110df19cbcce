"""Histories of a task hub for commands: through the API of the running host, or with the same code on storage."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote

from emulator import bound_json as json
from emulator.cli.durable_access import HubStorage, RequestRefused, open_hub_storage
from emulator.cli.durable_choice import HubChoice
from emulator.cli.host_client import HostClient, HostNotRunning, InvocationFailed, find_host
from emulator.clock import SystemClock
from emulator.histories.transfer import ForkOptions, HistoryTransfer
from emulator.ids import new_id


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
    host = _host(where)
    if host is not None:
        yield _HostHistories(host)
        return
    async with open_hub_storage(where, must_exist=True) as storage:
        is_chosen = where.storage is not None or where.hub is not None or where.connection is not None
        reason = "" if is_chosen else "No host of this app is running. "
        sys.stderr.write(f"{reason}Using the {storage.description}.\n")
        yield _StorageHistories(storage, where)


def _host(where: HubChoice) -> HostClient | None:
    # The API of a host has the histories of its own task hub only.
    if where.storage is not None or where.hub is not None or where.connection is not None:
        return None
    try:
        host = find_host(where.app, port=where.port, key=where.key)
    except HostNotRunning:
        if where.port is not None:
            raise
        return None
    # Not the storage instead: that would change a hub beside the host that works on it, unasked.
    if host.dashboard is None:
        raise InvocationFailed(
            f"The host at port {host.port} was started with --dashboard-path none, which also ends `azemu history`. To "
            "use the task hub without it, name its storage with --storage."
        )
    return host


class _HostHistories:
    def __init__(self, host: HostClient) -> None:
        self._host = host

    async def export(self, instance_id: str) -> Any:
        return self._answer("GET", f"instances/{quote(instance_id, safe='')}/export")

    async def places(self, instance_id: str) -> Any:
        return self._answer("GET", f"instances/{quote(instance_id, safe='')}/forks")

    async def fork(self, instance_id: str, members: Mapping[str, Any]) -> Any:
        return self._answer("POST", f"instances/{quote(instance_id, safe='')}/forks", members)

    async def import_file(self, content: Any, instance_id: str | None, *, force: bool) -> Any:
        return self._answer("POST", "imports", {"file": content, "id": instance_id, "force": force})

    def _answer(self, method: str, path: str, members: Mapping[str, Any] | None = None) -> Any:
        body = None if members is None else json.dumps(members).encode()
        headers = {"Content-Type": "application/json"} if body else {}
        response = self._host.send(method, f"/{self._host.dashboard}/api/{path}", body, headers)
        content = response.json()
        if response.status >= 300 or not isinstance(content, dict):
            message = content.get("error", {}).get("message") if isinstance(content, dict) else None
            # The API's advice is for its pages; a command has an option for the same.
            if response.status == 403 and message:
                message = message.replace("start azemu with --dashboard-writes", "repeat the command with --force")
            raise RequestRefused(message or f"The host at port {self._host.port} answered {response.status}.")
        return content


class _StorageHistories:
    def __init__(self, storage: HubStorage, where: HubChoice) -> None:
        self._storage = storage
        self._connection = where.connection or storage.options.storage_provider.connection_name
        hub = storage.hubs.select(where.hub, where.connection).client.hub
        self._transfer = HistoryTransfer(hub, SystemClock(), new_id)

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
        if not force and not self._storage.accounts.is_emulated(self._connection):
            raise RequestRefused(
                f"The {self._storage.description} is not on this machine. To write to it, repeat the command with "
                "--force."
            )
