"""A real storage account, through the official Azure SDKs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport

from emulator.clock import Clock
from emulator.config.connections import Service, StorageConnection
from emulator.storage.arrivals import Arrivals
from emulator.storage.azure.credentials import SdkCredential, open_credential
from emulator.storage.azure.errors import Calls
from emulator.storage.endpoints import account_description, endpoint_of, is_local

if TYPE_CHECKING:
    from azure.data.tables.aio import TableServiceClient
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue.aio import QueueServiceClient

    from emulator.storage.azure.blobs import AzureContainer
    from emulator.storage.azure.queues import AzureQueue
    from emulator.storage.azure.tables import AzureTable

# Azurite closes a connection that was idle for five seconds. A request on its way at that moment would fail.
_KEEP_ALIVE_SECONDS = 4.0

# Enough for a server that restarts or is busy for a moment; a storage that is not there is reported at once, and
# whoever needs it for long (the engine's loops) asks again at its own pace.
_RETRIES = {"retry_total": 3, "retry_connect": 1, "retry_read": 1, "retry_status": 3}
# The SDK logs every request and answer at INFO; the user's own clients may, ours need not.
_quiet = logging.getLogger(f"{__name__}.sdk")
_quiet.setLevel(logging.WARNING)
_STORAGE_OPTIONS: dict[str, Any] = {
    **_RETRIES,
    "initial_backoff": 0.2,
    "increment_base": 1,
    "random_jitter_range": 0,
    "logger": _quiet,
}
_TABLE_OPTIONS: dict[str, Any] = {**_RETRIES, "retry_backoff_factor": 0.2, "retry_backoff_max": 3, "logger": _quiet}


class AzureAccount:
    """See storage.api.StorageAccount. The clients of a service are made, and their SDK imported, at first use."""

    def __init__(
        self, connection: StorageConnection, credential: SdkCredential, transport: AioHttpTransport, clock: Clock
    ) -> None:
        self._connection = connection
        self._credential = credential
        self._transport = transport
        self._clock = clock
        self._queue_service: QueueServiceClient | None = None
        self._table_service: TableServiceClient | None = None
        self._blob_service: BlobServiceClient | None = None
        self._queues: dict[str, AzureQueue] = {}
        self._tables: dict[str, AzureTable] = {}
        self._containers: dict[str, AzureContainer] = {}

    @property
    def description(self) -> str:
        return account_description(self._connection)

    def queue(self, name: str) -> AzureQueue:
        queue = self._queues.get(name)
        if queue is None:
            from emulator.storage.azure.queues import AzureQueue

            client = self._queue_clients().get_queue_client(name)
            calls = self._calls("queue")
            queue = self._queues[name] = AzureQueue(client, calls, Arrivals(self._clock))
        return queue

    def table(self, name: str) -> AzureTable:
        table = self._tables.get(name)
        if table is None:
            from emulator.storage.azure.tables import AzureTable

            client = self._table_clients().get_table_client(name)
            table = self._tables[name] = AzureTable(client, self._calls("table"))
        return table

    def container(self, name: str) -> AzureContainer:
        container = self._containers.get(name)
        if container is None:
            from emulator.storage.azure.blobs import AzureContainer

            client = self._blob_clients().get_container_client(name)
            calls = self._calls("blob")
            container = self._containers[name] = AzureContainer(client, calls)
        return container

    async def queues(self, prefix: str = "") -> AsyncIterator[str]:
        calls = self._calls("queue")
        pages = self._queue_clients().list_queues(name_starts_with=prefix or None).by_page()
        async for found in _every(calls, "list queues", pages):
            yield found.name

    async def tables(self, prefix: str = "") -> AsyncIterator[str]:
        calls = self._calls("table")
        async for found in _every(calls, "list tables", self._table_clients().list_tables().by_page()):
            if found.name.startswith(prefix):
                yield found.name

    async def containers(self, prefix: str = "") -> AsyncIterator[str]:
        calls = self._calls("blob")
        pages = self._blob_clients().list_containers(name_starts_with=prefix or None).by_page()
        async for found in _every(calls, "list containers", pages):
            yield found.name

    def _calls(self, service: Service) -> Calls:
        return Calls(endpoint_of(self._connection, service), self._clock)

    def _queue_clients(self) -> QueueServiceClient:
        if self._queue_service is None:
            from azure.storage.queue.aio import QueueServiceClient

            self._queue_service = QueueServiceClient(
                endpoint_of(self._connection, "queue"),
                credential=self._credential,
                transport=self._transport,
                **_STORAGE_OPTIONS,
            )
        return self._queue_service

    def _table_clients(self) -> TableServiceClient:
        if self._table_service is None:
            from azure.data.tables.aio import TableServiceClient

            self._table_service = TableServiceClient(
                endpoint_of(self._connection, "table"),
                credential=self._credential,
                transport=self._transport,
                **_TABLE_OPTIONS,
            )
        return self._table_service

    def _blob_clients(self) -> BlobServiceClient:
        if self._blob_service is None:
            from azure.storage.blob.aio import BlobServiceClient

            self._blob_service = BlobServiceClient(
                endpoint_of(self._connection, "blob"),
                credential=self._credential,
                transport=self._transport,
                **_STORAGE_OPTIONS,
            )
        return self._blob_service


@asynccontextmanager
async def open_account(connection: StorageConnection, clock: Clock) -> AsyncIterator[AzureAccount]:
    """The account of a connection. Makes no request: a storage that is not there is noticed by the first call."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=not is_local(connection),
        ) as session,
        open_credential(connection) as credential,
    ):
        yield AzureAccount(connection, credential, AioHttpTransport(session=session, session_owner=False), clock)


async def _every(calls: Calls, doing: str, pages: Any) -> AsyncIterator[Any]:
    while True:
        try:
            page = await calls.run(doing, anext(pages))
        except StopAsyncIteration:
            return
        async for found in page:
            yield found
