"""The durable HTTP API for commands: that of the running host, or the same handlers on storage if no host runs."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Final, Protocol
from urllib.parse import quote, urlencode

from emulator.accounts import open_accounts
from emulator.cli.answers import Response
from emulator.cli.app_configuration import with_storage
from emulator.cli.durable_choice import HubChoice
from emulator.cli.finding_hosts import find_host_if_running
from emulator.cli.host_client import HostClient
from emulator.clock import SystemClock
from emulator.config.connections import BuiltinConnection, resolve_connection
from emulator.config.start import Configuration
from emulator.durable.azurestorage.names import hub_names
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.durable.tracing import hub_log
from emulator.errors import EmulatorError
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.hubs import HubDirectory
from emulator.extensions.durable.management.api_request import ApiRequest, Query
from emulator.extensions.durable.management.http_api import HttpApi
from emulator.extensions.durable.management.profiles import DEFAULT
from emulator.host.http.callers import CallerRules
from emulator.ids import new_id
from emulator.logs import get_logger
from emulator.storage.accounts import StorageAccounts

_BASE: Final = "/runtime/webhooks/durabletask"
# A host that restarts answers when it has loaded the app again. Histories of large instances take some seconds.
_LONGEST_SECONDS: Final = 300.0


class RequestRefused(EmulatorError):
    """The durable API has refused a request."""


class DurableApi(Protocol):
    """The durable HTTP API of one task hub. `description`: the hub, for users.

    `note`: what to add to the report of a message that was sent to an instance.
    """

    @property
    def description(self) -> str: ...

    @property
    def note(self) -> str: ...

    async def send(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response:
        """Send a request, whose path begins below the base path of the API. Return the response of any status."""


@asynccontextmanager
async def open_durable_api(choice: HubChoice, *, needs_hub: bool = True) -> AsyncIterator[DurableApi]:
    """Open the API of the running host, or of the storage that the app's settings name if no host runs.

    `needs_hub`: refuse a task hub that does not exist; requests to storage would create it.
    Raises ConfigurationError, InvocationFailed, RequestRefused; HostNotRunning for a port that was given.
    """
    # A running host is preferred: it knows the app's functions, and processes at once what is sent.
    chosen = choice.storage is not None
    host = None if chosen else find_host_if_running(choice.app, port=choice.port, key=choice.key, needs_app=False)
    if host is not None:
        yield _HostApi(host, choice)
        return
    async with open_hub_storage(choice, must_exist=needs_hub) as storage:
        storage.announce(instead_of_host=not chosen)
        yield storage


async def call(
    api: DurableApi,
    method: str,
    path: Sequence[str],
    query: Mapping[str, str | None] | None = None,
    *,
    body: bytes = b"",
    continuation: str = "",
    instance_id: str = "",
) -> Response:
    """Send a request to the durable API. `path`: segments, as they are. A query parameter None is left out.

    `instance_id`: for the message of status 410. Raises RequestRefused for a status above 299 other than 404.
    """
    # The API decodes a path twice: management/routing.py. A dot would make an id such as ".." a folder.
    encoded = "".join("/" + quote(quote(segment, safe="").replace(".", "%2E"), safe="") for segment in path)
    headers = {"Content-Type": "application/json"} if body else {}
    headers |= {"x-ms-continuation-token": continuation} if continuation else {}
    parameters = {name: value for name, value in (query or {}).items() if value is not None}
    response = await api.send(method, encoded, parameters, headers, body)
    # What 404 means depends on the request: no instance, no function, or an empty entity.
    if response.status == 404 or response.status < 300:
        return response
    if response.status == 410:
        raise RequestRefused(f"Instance '{instance_id}' has ended. `azemu durable show {instance_id}` shows how.")
    raise RequestRefused(response.refusal())


class _HostApi:
    def __init__(self, host: HostClient, choice: HubChoice) -> None:
        self._host = host
        self._choice = {"taskHub": choice.hub, "connection": choice.connection}

    @property
    def description(self) -> str:
        return f"host at port {self._host.port}"

    @property
    def note(self) -> str:
        return ""

    async def send(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response:
        chosen = {name: value for name, value in self._choice.items() if value is not None}
        text = urlencode({**query, **chosen})
        # Nothing else runs in the event loop of a command, so it may wait here.
        target = f"{_BASE}{path}{f'?{text}' if text else ''}"
        response = self._host.send(method, target, body or None, headers, seconds=_LONGEST_SECONDS)
        # Without durable functions the API does not exist, as on Azure. An empty page always does.
        if response.status == 404 and self._host.send("GET", f"{_BASE}/instances?top=0").status == 404:
            raise RequestRefused(f"The app of the {self.description} has no durable functions.")
        return response


class HubStorage:
    """A task hub in storage that no host serves. Implements `DurableApi`. `options`: with its name and connection."""

    def __init__(
        self, api: HttpApi, hubs: HubDirectory, accounts: StorageAccounts, options: DurableTaskOptions
    ) -> None:
        self.hubs = hubs
        self.accounts = accounts
        self.account = accounts(options.storage_provider.connection_name)
        self.options = options
        self.hub = options.stored_hub_name
        self._api = api

    @property
    def description(self) -> str:
        return f'task hub "{self.hub}" in {self.account.description}'

    @property
    def note(self) -> str:
        """See `DurableApi`."""
        return " It takes effect when a host of this task hub runs."

    @property
    def is_emulated(self) -> bool:
        """Whether the storage is on this machine, so that commands may write to it without --force."""
        return self.accounts.is_emulated(self.options.storage_provider.connection_name)

    def announce(self, *, instead_of_host: bool) -> None:
        """Tell the user that this storage is used. `instead_of_host`: because no host of the app runs."""
        reason = "No host of this app is running. " if instead_of_host else ""
        sys.stderr.write(f"{reason}Using the {self.description}.\n")

    async def send(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Response:
        """See `DurableApi`."""
        request = ApiRequest(
            method=method,
            path=path,
            # The web server does the same for requests over HTTP.
            query=Query([(name.lower(), value) for name, value in query.items()]),
            headers=headers,
            # Only for the URLs in responses, which no command shows.
            origin="http://localhost",
            url="http://localhost" + path,
            text=body.decode(),
        )
        response = await self._api.respond(request)
        content = response.body if isinstance(response.body, bytes) else b""
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status, content, headers, f"{method} {path} for the {self.description}")


@asynccontextmanager
async def open_hub_storage(choice: HubChoice, *, must_exist: bool) -> AsyncIterator[HubStorage]:
    """Open the storage of a task hub, as a start of the app would.

    `must_exist`: raise RequestRefused if the hub does not exist. Otherwise requests create it.
    Raises ConfigurationError, and errors of storage.
    """
    clock = SystemClock()
    async with with_storage(choice.app, clock, storage=choice.storage) as configuration:
        settings = configuration.settings
        durable = resolve_options(configuration.host.section(DurableTaskOptions), settings)
        connection = choice.connection or durable.storage_provider.connection_name
        provider = replace(durable.storage_provider, connection_name=connection)
        durable = replace(durable, hub_name=choice.hub or durable.hub_name, storage_provider=provider)
        builtin = resolve_connection(settings, connection)
        # Opening would create the file.
        if must_exist and isinstance(builtin, BuiltinConnection) and builtin.path and not builtin.path.exists():
            raise RequestRefused(
                f"There is no built-in store at {builtin.path}. A host creates it at its start. For another one add "
                "--storage STORAGE."
            )
        async with open_accounts(settings, clock) as accounts:
            hubs = HubDirectory(durable, accounts, clock=clock, new_id=new_id)
            api = _api(durable, hubs, configuration)
            hub = HubStorage(api, hubs, accounts, durable)
            if must_exist and not await _exists(durable, accounts):
                raise RequestRefused(
                    f"There is no {hub.description}. A host creates it at its start. For another hub add --hub NAME, "
                    "for another storage --storage STORAGE."
                )
            with _quiet_lifecycle_log():
                yield hub


@contextmanager
def _quiet_lifecycle_log() -> Iterator[None]:
    """Show no lines such as "Function … was terminated": the command itself says what it has done."""
    log = get_logger(hub_log.__name__)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _api(durable: DurableTaskOptions, hubs: HubDirectory, configuration: Configuration) -> HttpApi:
    async def no_key() -> str:
        return ""

    clock = SystemClock()
    return HttpApi(
        durable,
        hubs,
        # The app is not imported for a command, so a name of a function cannot be checked.
        DurableFunctions(app_is_loaded=False),
        clock=clock,
        profile=DEFAULT,
        # Only for the URLs in responses, which no command shows.
        system_key=no_key,
        callers=CallerRules.of(configuration),
        strict_purge=True,
    )


async def _exists(durable: DurableTaskOptions, accounts: StorageAccounts) -> bool:
    """Return whether the table of the hub's status rows exists."""
    provider, names = durable.storage_provider, hub_names(durable)
    async for name in accounts(provider.tracking_store_connection_name or provider.connection_name).tables():
        # Azure ignores the case of table names.
        if name.lower() == names.instances_table.lower():
            return True
    return False
