"""Storage account that counts its requests, for `azemu report`.

    counts = RequestCounts()
    account = counted(account, counts)
    with caused_by("orders"):
        …                                       # these requests are for the function orders

A call of the port is one request, except that a listing is one for each page on the wire and counted as one here, and
that repetitions of a request without a response are not seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final, NamedTuple

from emulator.storage.filters import Condition
from emulator.storage.port import (
    ZERO,
    BlobContainer,
    BlobProperties,
    BlobRange,
    Lease,
    Page,
    Queue,
    QueueMessage,
    Row,
    StorageAccount,
    Table,
    TableOperation,
)

# A context variable, because a task that is created while it is set inherits it: its requests have the same cause.
_cause: Final[ContextVar[str]] = ContextVar("function that causes storage requests", default="")


class Request(NamedTuple):
    """What is counted separately. `service`: queue, table or blob. `target`: the queue, table or container.

    `is_idle`: a poll that has found no message. `cause`: the function that needs the request; empty: the host.
    """

    service: str
    operation: str
    target: str
    is_idle: bool
    cause: str


class RequestCounts:
    """The numbers of requests of one host."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, bool, str], int] = {}

    def add(self, service: str, operation: str, target: str, *, is_idle: bool = False) -> None:
        """Count one request."""
        # Every request passes here, and a plain tuple is made faster than a Request.
        key = (service, operation, target, is_idle, _cause.get())
        self._counts[key] = self._counts.get(key, 0) + 1

    @property
    def numbers(self) -> Mapping[Request, int]:
        """The requests so far."""
        return {Request(*key): number for key, number in self._counts.items()}


@contextmanager
def caused_by(function: str) -> Iterator[None]:
    """Count the requests of the running task for a function while entered."""
    token = _cause.set(function)
    try:
        yield
    finally:
        _cause.reset(token)


def counted(account: StorageAccount, counts: RequestCounts) -> StorageAccount:
    """Return the account; its requests are counted."""
    return _Account(account, counts)


# The classes below count and pass on, instead of counters in the storage clients: so all kinds of accounts are counted
# by the same rules, and requests of the dashboard, which has the accounts without them, are left out.
class _Queue:
    def __init__(self, real: Queue, counts: RequestCounts) -> None:
        self._real = real
        self._counts = counts

    @property
    def name(self) -> str:
        return self._real.name

    def _count(self, operation: str) -> None:
        self._counts.add("queue", operation, self._real.name)

    async def create(self) -> bool:
        self._count("create")
        return await self._real.create()

    async def drop(self) -> bool:
        self._count("delete queue")
        return await self._real.drop()

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        self._count("put")
        return await self._real.put(body, visible_in=visible_in, lives_for=lives_for)

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        # Counted afterwards, because only the response tells whether the poll has found a message.
        messages = await self._real.get(limit=limit, hide_for=hide_for)
        self._counts.add("queue", "get", self._real.name, is_idle=not messages)
        return messages

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        self._count("peek")
        return await self._real.peek(limit=limit)

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        self._count("update")
        return await self._real.hide(message, hide_for=hide_for, body=body)

    async def delete(self, message: QueueMessage) -> None:
        self._count("delete")
        await self._real.delete(message)

    async def clear(self) -> None:
        self._count("clear")
        await self._real.clear()

    async def count(self) -> int:
        self._count("properties")
        return await self._real.count()

    # Not counted: it is no operation of the service, see storage.port.
    async def wait(self, at_most: timedelta) -> None:
        await self._real.wait(at_most)


class _Table:
    def __init__(self, real: Table, counts: RequestCounts) -> None:
        self._real = real
        self._counts = counts

    @property
    def name(self) -> str:
        return self._real.name

    def _count(self, operation: str) -> None:
        self._counts.add("table", operation, self._real.name)

    async def create(self) -> bool:
        self._count("create")
        return await self._real.create()

    async def drop(self) -> bool:
        self._count("delete table")
        return await self._real.drop()

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        self._count("read")
        return await self._real.read(partition_key, row_key, select=select)

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        self._count("query")
        return await self._real.page(where, select=select, limit=limit, continuation=continuation)

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        # A transaction of several operations is one request, and is billed as one.
        self._count("write")
        return await self._real.submit(operations)


class _Lease:
    def __init__(self, real: Lease, container: str, counts: RequestCounts) -> None:
        self._real = real
        self._container = container
        self._counts = counts

    def _count(self) -> None:
        # All operations of a lease have one price, so the report does not tell them apart.
        self._counts.add("blob", "lease", self._container)

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        self._count()
        await self._real.acquire(lease_id, duration=duration)

    async def renew(self, lease_id: str) -> None:
        self._count()
        await self._real.renew(lease_id)

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        self._count()
        await self._real.change(lease_id, new_lease_id=new_lease_id)

    async def release(self, lease_id: str) -> None:
        self._count()
        await self._real.release(lease_id)

    async def break_(self, *, after: timedelta | None = None) -> None:
        self._count()
        await self._real.break_(after=after)


class _Container:
    def __init__(self, real: BlobContainer, counts: RequestCounts) -> None:
        self._real = real
        self._counts = counts

    @property
    def name(self) -> str:
        return self._real.name

    def _count(self, operation: str) -> None:
        self._counts.add("blob", operation, self._real.name)

    async def create(self) -> bool:
        self._count("create")
        return await self._real.create()

    async def drop(self, *, lease_id: str | None = None) -> bool:
        self._count("delete container")
        return await self._real.drop(lease_id=lease_id)

    async def exists(self) -> bool:
        self._count("properties")
        return await self._real.exists()

    def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        self._count("list")
        return self._real.list(prefix)

    async def properties(self, blob: str) -> BlobProperties:
        self._count("properties")
        return await self._real.properties(blob)

    async def read(self, blob: str) -> bytes:
        self._count("read")
        return await self._real.read(blob)

    async def read_range(self, blob: str, offset: int, length: int, *, if_match: str | None = None) -> BlobRange:
        self._count("read")
        return await self._real.read_range(blob, offset, length, if_match=if_match)

    async def write(
        self,
        blob: str,
        content: bytes,
        *,
        only_if_new: bool = False,
        if_match: str | None = None,
        lease_id: str | None = None,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        self._count("write")
        return await self._real.write(
            blob,
            content,
            only_if_new=only_if_new,
            if_match=if_match,
            lease_id=lease_id,
            content_type=content_type,
            metadata=metadata,
        )

    async def set_metadata(self, blob: str, metadata: Mapping[str, str], *, lease_id: str | None = None) -> None:
        self._count("write")
        await self._real.set_metadata(blob, metadata, lease_id=lease_id)

    async def write_blocks(
        self,
        blob: str,
        blocks: AsyncIterator[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        async def counted_blocks() -> AsyncIterator[bytes]:
            async for block in blocks:
                self._count("write")
                yield block

        # The list of the blocks is a request besides.
        self._count("write")
        return await self._real.write_blocks(blob, counted_blocks(), content_type=content_type, metadata=metadata)

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        self._count("delete")
        return await self._real.delete(blob, lease_id=lease_id)

    def changes(self) -> int:
        return self._real.changes()

    async def wait(self, at_most: timedelta, *, since: int) -> None:
        await self._real.wait(at_most, since=since)

    def lease(self, blob: str | None = None) -> Lease:
        return _Lease(self._real.lease(blob), self._real.name, self._counts)

    def url(self, blob: str) -> str:
        return self._real.url(blob)


class _Account:
    def __init__(self, real: StorageAccount, counts: RequestCounts) -> None:
        self._real = real
        self._counts = counts

    @property
    def description(self) -> str:
        return self._real.description

    def queue(self, name: str) -> Queue:
        return _Queue(self._real.queue(name), self._counts)

    def table(self, name: str) -> Table:
        return _Table(self._real.table(name), self._counts)

    def container(self, name: str) -> BlobContainer:
        return _Container(self._real.container(name), self._counts)

    def queues(self, prefix: str = "") -> AsyncIterator[str]:
        # The prefix is the target here and below: a listing of names belongs to no single queue, table or container.
        self._counts.add("queue", "list", prefix)
        return self._real.queues(prefix)

    def tables(self, prefix: str = "") -> AsyncIterator[str]:
        self._counts.add("table", "list", prefix)
        return self._real.tables(prefix)

    def containers(self, prefix: str = "") -> AsyncIterator[str]:
        self._counts.add("blob", "list", prefix)
        return self._real.containers(prefix)
