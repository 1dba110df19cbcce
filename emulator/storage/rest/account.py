"""Storage account of an emulator, through the REST interface.

The official SDKs (`storage.azure`) take several times as much processor time per call, and Azurite runs on the same
processors. See docs/decisions/0001-storage-rest-client.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never
from urllib.parse import urlsplit

import aiohttp

from emulator import bound_json as json
from emulator.bound_aiohttp import BoundSession
from emulator.clock import Clock
from emulator.config.connections import Identity, SasToken, Service, SharedKey, StorageConnection
from emulator.errors import ConfigurationError
from emulator.storage.availability import AccountAvailability
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.endpoints import account_description, endpoint_of, is_local
from emulator.storage.message_signal import MessageSignal
from emulator.storage.rest.blobs import RestContainer
from emulator.storage.rest.http_connection import DirectTransport
from emulator.storage.rest.queues import RestQueue
from emulator.storage.rest.service import StorageService
from emulator.storage.rest.signatures import SasSignature, SharedKeyLiteSignature, SharedKeySignature, Signature
from emulator.storage.rest.tables import RestTable
from emulator.storage.rest.transport import AiohttpTransport, Transport
from emulator.storage.rest.xml import next_marker, parse, text_of

# Real seconds, also under a virtual clock: the server runs in real time. There is no limit for a whole request, since
# a large blob may take long.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)

_JSON = {"Accept": "application/json;odata=nometadata"}


class RestAccount:
    """Implements storage.port.StorageAccount."""

    def __init__(
        self, connection: StorageConnection, transports: _Transports, clock: Clock, availability: AccountAvailability
    ) -> None:
        self._connection = connection
        self._transports = transports
        self._clock = clock
        self._availability = availability
        self._services: dict[Service, StorageService] = {}
        # By queue name, so that all objects of a queue notice what one of them puts.
        self._signals: dict[str, MessageSignal] = {}
        self._blob_signal = BlobSignal(clock)

    @property
    def description(self) -> str:
        return account_description(self._connection)

    def queue(self, name: str) -> RestQueue:
        signal = self._signals.setdefault(name, MessageSignal(self._clock))
        return RestQueue(name, self._service("queue"), signal, ascii_only=self._connection.is_development)

    def table(self, name: str) -> RestTable:
        return RestTable(name, self._service("table"), ascii_only=self._connection.is_development)

    def container(self, name: str) -> RestContainer:
        return RestContainer(name, self._service("blob"), self._blob_signal)

    def queues(self, prefix: str = "") -> AsyncIterator[str]:
        return _names(self._service("queue"), "Queues", prefix)

    def containers(self, prefix: str = "") -> AsyncIterator[str]:
        return _names(self._service("blob"), "Containers", prefix)

    async def tables(self, prefix: str = "") -> AsyncIterator[str]:
        next_table = ""
        while True:
            query = (("NextTableName", next_table),) if next_table else ()
            response = await self._service("table").request("list tables", "GET", "/Tables", query=query, headers=_JSON)
            # The table service has no prefix parameter, unlike the other two.
            for table in json.loads(response.body)["value"]:
                if table["TableName"].startswith(prefix):
                    yield table["TableName"]
            next_table = response.headers.get("x-ms-continuation-NextTableName", "")
            if not next_table:
                return

    def _service(self, name: Service) -> StorageService:
        service = self._services.get(name)
        if service is None:
            # Only now: a connection may lack the endpoint of a service that the app does not use.
            endpoint = endpoint_of(self._connection, name)
            transport = self._transports.to(endpoint)
            service = self._services[name] = StorageService(
                transport, endpoint, self._signature(name), self._clock, self._availability.service(name)
            )
        return service

    def _signature(self, name: Service) -> Signature:
        match self._connection.credential:
            case SharedKey(key):
                kind = SharedKeyLiteSignature if name == "table" else SharedKeySignature
                return kind(self._connection.account, key)
            case SasToken(token):
                return SasSignature(token)
            case Identity():
                raise ConfigurationError(
                    f"The storage connection in setting '{self._connection.setting}' uses an identity, but its "
                    f"endpoint {endpoint_of(self._connection, name)} is plain http. Tokens are sent over https only: "
                    "use an https endpoint, or a connection string."
                )
            case _ as unknown:
                assert_never(unknown)


@asynccontextmanager
async def open_account(
    connection: StorageConnection, clock: Clock, *, log_outages: bool = False
) -> AsyncIterator[RestAccount]:
    """Open the account of a connection. Makes no request: the first call notices if the storage does not answer."""
    async with _Transports(is_local(connection)) as transports:
        availability = AccountAvailability(account_description(connection), log_outages=log_outages)
        yield RestAccount(connection, transports, clock, availability)


class _Transports:
    """The transports of an account, one per server, created when first used. `local`: on this machine."""

    def __init__(self, local: bool) -> None:
        self._local = local
        self._direct: dict[str, DirectTransport] = {}
        self._session: BoundSession | None = None

    def to(self, endpoint: str) -> Transport:
        url = urlsplit(endpoint)
        origin = f"{url.scheme}://{url.netloc}"
        if self._local and url.scheme == "http":
            return self._direct.setdefault(origin, DirectTransport(origin))
        if self._session is None:
            self._session = BoundSession(
                # No limit of connections: every polling loop of a host may have a request under way.
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A blob that was stored compressed is returned as it is.
                auto_decompress=False,
                timeout=_TIMEOUT,
                # Proxy settings of the environment.
                trust_env=not self._local,
            )
        return AiohttpTransport(self._session, origin)

    async def __aenter__(self) -> _Transports:
        return self

    async def __aexit__(self, *_: object) -> None:
        # The direct ones first, since they close without waiting.
        for transport in self._direct.values():
            transport.close()
        if self._session is not None:
            await self._session.close()


async def _names(service: StorageService, group: str, prefix: str) -> AsyncIterator[str]:
    """Yield all names of a listing of queues or containers. `group`: the XML element that holds them."""
    query = (("comp", "list"), *((("prefix", prefix),) if prefix else ()))
    marker = ""
    while True:
        response = await service.request(
            f"list {group.lower()}", "GET", "/", query=(*query, ("marker", marker)) if marker else query
        )
        listing = parse(response.body)
        for item in listing.iterfind(f"{group}/*"):
            yield text_of(item, "Name")
        marker = next_marker(listing)
        if not marker:
            return
