"""Storage account in Azure, through the official Azure SDKs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AioHttpTransport

from emulator.clock import Clock
from emulator.config.connections import Service, StorageConnection
from emulator.logs import get_logger
from emulator.packages import require
from emulator.storage.availability import AccountAvailability
from emulator.storage.azure.credentials import SdkCredential, open_credential, storage_credential
from emulator.storage.azure.sdk_calls import SdkCalls
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.endpoints import account_description, endpoint_of, is_local
from emulator.storage.message_signal import MessageSignal

if TYPE_CHECKING:
    from azure.data.tables.aio import TableServiceClient
    from azure.storage.blob.aio import BlobServiceClient
    from azure.storage.queue.aio import QueueServiceClient

    from emulator.storage.azure.blobs import AzureContainer
    from emulator.storage.azure.queues import AzureQueue
    from emulator.storage.azure.tables import AzureTable

# Azurite closes a connection after five idle seconds (this client is tested with it). A request that is on its way at
# that moment would fail.
_KEEP_ALIVE_SECONDS = 4.0

# Enough for a service that restarts or is busy for a moment. If there is no connection at all, users should be told at
# once; the polling loops of the host repeat at their own pace.
_RETRIES = {"retry_total": 3, "retry_connect": 1, "retry_read": 1, "retry_status": 3}

# The SDKs log every request and response at INFO. A logger of its own silences the clients here, but not those that
# user code creates.
_sdk_logger = get_logger(f"{__name__}.sdk")
_sdk_logger.setLevel(logging.WARNING)
_STORAGE_OPTIONS: dict[str, Any] = {
    **_RETRIES,
    "initial_backoff": 0.2,
    "increment_base": 1,
    "random_jitter_range": 0,
    "logger": _sdk_logger,
}
_TABLE_OPTIONS: dict[str, Any] = {
    **_RETRIES,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 3,
    "logger": _sdk_logger,
}


class StorageTransport(AioHttpTransport):  # type: ignore[misc]  # azure-core loads the class lazily.
    """Transport that knows the option `decompress` of a download, which is False for content as it is stored.

    azure-storage-blob evaluates the option itself since 12.24. Earlier releases hand it on to the transport, which
    would fail because aiohttp does not know it.

    `availability`: of the account; every attempt of a request is noted there.
    """

    def __init__(self, session: aiohttp.ClientSession, availability: AccountAvailability) -> None:
        # The account owns the session, which all clients share.
        super().__init__(session=session, session_owner=False)
        self._availability = availability

    async def send(self, request: Any, *, decompress: bool = True, **options: Any) -> Any:
        service = self._availability.service(urlsplit(request.url).netloc)
        responses = service.responses
        try:
            response: Any = await super().send(request, **options)
        except (ServiceRequestError, ServiceResponseError):
            service.unanswered(since=responses)
            raise
        service.answered()
        if not decompress:
            response.stream_download = partial(response.stream_download, decompress=False)
        return response


class AzureAccount:
    """Implements storage.port.StorageAccount. The SDK of a service is imported when it is first used.

    The three imports take 0.3 seconds, and an app without durable functions may need none of them. The methods raise
    UnusablePackage if the SDK of their service is missing or too old.
    """

    def __init__(
        self,
        connection: StorageConnection,
        credential: SdkCredential,
        transport: AioHttpTransport,
        clock: Clock,
        availability: AccountAvailability,
    ) -> None:
        self._connection = connection
        self._credential = credential
        self._transport = transport
        self._clock = clock
        self._availability = availability
        self._queue_service: QueueServiceClient | None = None
        self._table_service: TableServiceClient | None = None
        self._blob_service: BlobServiceClient | None = None
        # By name. A client of the SDK is expensive to create, and a queue's signal must be shared.
        self._queues: dict[str, AzureQueue] = {}
        self._tables: dict[str, AzureTable] = {}
        self._containers: dict[str, AzureContainer] = {}
        self._blob_signal = BlobSignal(clock)

    @property
    def description(self) -> str:
        return account_description(self._connection)

    # Imports are inside the methods, so that only the SDK of a service in use is loaded. Those of azemu's own modules
    # come after the check of the SDK's version.

    def queue(self, name: str) -> AzureQueue:
        queue = self._queues.get(name)
        if queue is None:
            client = self._queue_clients().get_queue_client(name)
            from emulator.storage.azure.queues import AzureQueue

            calls = self._calls("queue")
            queue = self._queues[name] = AzureQueue(client, calls, MessageSignal(self._clock))
        return queue

    def table(self, name: str) -> AzureTable:
        table = self._tables.get(name)
        if table is None:
            client = self._table_clients().get_table_client(name)
            from emulator.storage.azure.tables import AzureTable

            table = self._tables[name] = AzureTable(client, self._calls("table"))
        return table

    def container(self, name: str) -> AzureContainer:
        container = self._containers.get(name)
        if container is None:
            client = self._blob_clients().get_container_client(name)
            from emulator.storage.azure.blobs import AzureContainer

            calls = self._calls("blob")
            container = self._containers[name] = AzureContainer(client, calls, self._blob_signal)
        return container

    async def queues(self, prefix: str = "") -> AsyncIterator[str]:
        calls = self._calls("queue")
        pages = self._queue_clients().list_queues(name_starts_with=prefix or None).by_page()
        async for listed in _all_pages(calls, "list queues", pages):
            yield listed.name

    async def tables(self, prefix: str = "") -> AsyncIterator[str]:
        calls = self._calls("table")
        async for listed in _all_pages(calls, "list tables", self._table_clients().list_tables().by_page()):
            # The table service has no prefix parameter, unlike the other two.
            if listed.name.startswith(prefix):
                yield listed.name

    async def containers(self, prefix: str = "") -> AsyncIterator[str]:
        calls = self._calls("blob")
        pages = self._blob_clients().list_containers(name_starts_with=prefix or None).by_page()
        async for listed in _all_pages(calls, "list containers", pages):
            yield listed.name

    def _calls(self, service: Service) -> SdkCalls:
        endpoint = endpoint_of(self._connection, service)
        # The transport knows the host of a request, and not its service.
        return SdkCalls(endpoint, self._clock, self._availability.service(urlsplit(endpoint).netloc))

    def _queue_clients(self) -> QueueServiceClient:
        if self._queue_service is None:
            require("azure-storage-queue")
            from azure.storage.queue.aio import QueueServiceClient

            self._queue_service = QueueServiceClient(
                endpoint_of(self._connection, "queue"),
                credential=storage_credential(self._credential),
                transport=self._transport,
                **_STORAGE_OPTIONS,
            )
        return self._queue_service

    def _table_clients(self) -> TableServiceClient:
        if self._table_service is None:
            require("azure-data-tables")
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
            require("azure-storage-blob")
            from azure.storage.blob.aio import BlobServiceClient

            self._blob_service = BlobServiceClient(
                endpoint_of(self._connection, "blob"),
                credential=storage_credential(self._credential),
                transport=self._transport,
                **_STORAGE_OPTIONS,
            )
        return self._blob_service


@asynccontextmanager
async def open_account(
    connection: StorageConnection, clock: Clock, *, log_outages: bool = False
) -> AsyncIterator[AzureAccount]:
    """Open the account of a connection. Makes no request: the first call notices if the storage does not answer."""
    # No limit of connections: every polling loop of a host may have a request under way.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS)
    async with (
        aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            # A blob that was stored compressed is returned as it is.
            auto_decompress=False,
            trust_env=not is_local(connection),
        ) as session,
        open_credential(connection) as credential,
    ):
        availability = AccountAvailability(account_description(connection), log_outages=log_outages)
        # One session for all clients, so that they share its connections.
        transport = StorageTransport(session, availability)
        yield AzureAccount(connection, credential, transport, clock, availability)


async def _all_pages(calls: SdkCalls, action: str, pages: Any) -> AsyncIterator[Any]:
    # By page, so that each request is a call of its own, with its errors translated.
    while True:
        try:
            page = await calls.run(action, anext(pages))
        except StopAsyncIteration:
            return
        async for item in page:
            yield item
