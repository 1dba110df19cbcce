"""A storage emulator over the network, through the plain REST interface.

The official SDKs (`storage.azure`) cost 1.3 to 2.8 ms of processor time per call and a third of a second to import;
this costs about a tenth. See benchmarks/RESULTS.md.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never
from urllib.parse import urlsplit

import aiohttp

from emulator.clock import Clock
from emulator.config.connections import Identity, SasToken, SharedKey, StorageConnection
from emulator.config.connections import Service as ServiceName
from emulator.errors import ConfigurationError
from emulator.storage.arrivals import Arrivals
from emulator.storage.endpoints import account_description, endpoint_of, is_local
from emulator.storage.rest.blobs import RestContainer
from emulator.storage.rest.http import Service
from emulator.storage.rest.queues import RestQueue
from emulator.storage.rest.signatures import SasSignature, SharedKeyLiteSignature, SharedKeySignature, Signature
from emulator.storage.rest.tables import RestTable
from emulator.storage.rest.transport import AiohttpTransport, Transport
from emulator.storage.rest.wire import WireTransport
from emulator.storage.rest.xml import next_marker, parse, text_of

# The server lives in real time, whatever our clock does: a server that is silent for so long is gone.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)

_JSON = {"Accept": "application/json;odata=nometadata"}


class RestAccount:
    """See storage.api.StorageAccount."""

    def __init__(self, connection: StorageConnection, transports: _Transports, clock: Clock) -> None:
        self._connection = connection
        self._transports = transports
        self._clock = clock
        self._services: dict[ServiceName, Service] = {}
        # One per queue, so that all handles of a queue hear of each other's messages.
        self._arrivals: dict[str, Arrivals] = {}

    @property
    def description(self) -> str:
        return account_description(self._connection)

    def queue(self, name: str) -> RestQueue:
        arrivals = self._arrivals.setdefault(name, Arrivals(self._clock))
        return RestQueue(name, self._service("queue"), arrivals, ascii_only=self._connection.is_development)

    def table(self, name: str) -> RestTable:
        return RestTable(name, self._service("table"), ascii_only=self._connection.is_development)

    def container(self, name: str) -> RestContainer:
        return RestContainer(name, self._service("blob"))

    def queues(self, prefix: str = "") -> AsyncIterator[str]:
        return _names(self._service("queue"), "Queues", prefix)

    def containers(self, prefix: str = "") -> AsyncIterator[str]:
        return _names(self._service("blob"), "Containers", prefix)

    async def tables(self, prefix: str = "") -> AsyncIterator[str]:
        position = ""
        while True:
            query = (("NextTableName", position),) if position else ()
            answer = await self._service("table").ask("list tables", "GET", "/Tables", query=query, headers=_JSON)
            for table in json.loads(answer.body)["value"]:
                if table["TableName"].startswith(prefix):
                    yield table["TableName"]
            position = answer.headers.get("x-ms-continuation-NextTableName", "")
            if not position:
                return

    def _service(self, name: ServiceName) -> Service:
        service = self._services.get(name)
        if service is None:
            endpoint = endpoint_of(self._connection, name)
            transport = self._transports.to(endpoint)
            service = self._services[name] = Service(transport, endpoint, self._signature(name), self._clock)
        return service

    def _signature(self, name: ServiceName) -> Signature:
        match self._connection.credential:
            case SharedKey(key):
                kind = SharedKeyLiteSignature if name == "table" else SharedKeySignature
                return kind(self._connection.account, key)
            case SasToken(token):
                return SasSignature(token)
            case Identity():
                raise ConfigurationError(
                    f"The storage connection in setting '{self._connection.setting}' is one by identity, but its "
                    f"endpoint {endpoint_of(self._connection, name)} is plain http: a token is sent over https only."
                )
            case _ as unknown:
                assert_never(unknown)


@asynccontextmanager
async def open_account(connection: StorageConnection, clock: Clock) -> AsyncIterator[RestAccount]:
    """The account of a connection. Makes no request: a storage that is not there is noticed by the first call."""
    async with _Transports(is_local(connection)) as transports:
        yield RestAccount(connection, transports, clock)


class _Transports:
    """One for each server, made at first use. `local`: no proxy leads there."""

    def __init__(self, local: bool) -> None:
        self._local = local
        self._wires: dict[str, WireTransport] = {}
        self._session: aiohttp.ClientSession | None = None

    def to(self, endpoint: str) -> Transport:
        url = urlsplit(endpoint)
        origin = f"{url.scheme}://{url.netloc}"
        if self._local and url.scheme == "http":
            return self._wires.setdefault(origin, WireTransport(origin))
        return AiohttpTransport(self._opened(), origin)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=_TIMEOUT,
                trust_env=not self._local,
            )
        return self._session

    async def __aenter__(self) -> _Transports:
        return self

    async def __aexit__(self, *_: object) -> None:
        for wire in self._wires.values():
            wire.close()
        if self._session is not None:
            await self._session.close()


async def _names(service: Service, group: str, prefix: str) -> AsyncIterator[str]:
    """All names of a listing of queues or containers, over its pages."""
    query = (("comp", "list"), *((("prefix", prefix),) if prefix else ()))
    marker = ""
    while True:
        answer = await service.ask(
            f"list {group.lower()}", "GET", "/", query=(*query, ("marker", marker)) if marker else query
        )
        listing = parse(answer.body)
        for item in listing.iterfind(f"{group}/*"):
            yield text_of(item, "Name")
        marker = next_marker(listing)
        if not marker:
            return
