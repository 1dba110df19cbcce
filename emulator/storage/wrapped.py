"""Storage account that passes every call to a function, for example to count the calls or to let some of them fail.

    async def logged(operation: str, target: str, work: Callable[[], Awaitable[T]]) -> T:
        print(operation, target)
        return await work()

    account = WrappedAccount(account, logged)

Names of operations are those of the port with the kind of object before them: `queue.put`, `table.submit`,
`lease.renew`, `blob.read`, `blob.create container`, `account.queues`. The target is the name of the queue, table or
container, for a lease of a blob `container/blob`, and for a listing of names their prefix. A listing is one call, made
before its first item. Waits and what is known without a request are not operations of the service, and are not passed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

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

T = TypeVar("T")
Item = TypeVar("Item")


class AroundCall(Protocol):
    """What is done instead of a call."""

    async def __call__(self, operation: str, target: str, work: Callable[[], Awaitable[T]], /) -> T:
        """Do the call: await `work()` and return its result, or raise one of the errors of the port."""
        ...


class WrappedQueue:
    """A queue whose calls pass through `around`."""

    def __init__(self, real: Queue, around: AroundCall) -> None:
        self._real = real
        self._around = around

    @property
    def name(self) -> str:
        return self._real.name

    async def create(self) -> bool:
        return await self._around("queue.create", self.name, self._real.create)

    async def drop(self) -> bool:
        return await self._around("queue.drop", self.name, self._real.drop)

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        return await self._around(
            "queue.put", self.name, lambda: self._real.put(body, visible_in=visible_in, lives_for=lives_for)
        )

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        return await self._around("queue.get", self.name, lambda: self._real.get(limit=limit, hide_for=hide_for))

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        return await self._around("queue.peek", self.name, lambda: self._real.peek(limit=limit))

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        return await self._around(
            "queue.hide", self.name, lambda: self._real.hide(message, hide_for=hide_for, body=body)
        )

    async def delete(self, message: QueueMessage) -> None:
        await self._around("queue.delete", self.name, lambda: self._real.delete(message))

    async def clear(self) -> None:
        await self._around("queue.clear", self.name, self._real.clear)

    async def count(self) -> int:
        return await self._around("queue.count", self.name, self._real.count)

    async def wait(self, at_most: timedelta) -> None:
        await self._real.wait(at_most)


class WrappedTable:
    """A table whose calls pass through `around`."""

    def __init__(self, real: Table, around: AroundCall) -> None:
        self._real = real
        self._around = around

    @property
    def name(self) -> str:
        return self._real.name

    async def create(self) -> bool:
        return await self._around("table.create", self.name, self._real.create)

    async def drop(self) -> bool:
        return await self._around("table.drop", self.name, self._real.drop)

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        return await self._around(
            "table.read", self.name, lambda: self._real.read(partition_key, row_key, select=select)
        )

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        return await self._around(
            "table.page",
            self.name,
            lambda: self._real.page(where, select=select, limit=limit, continuation=continuation),
        )

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        return await self._around("table.submit", self.name, lambda: self._real.submit(operations))


class WrappedLease:
    """A lease whose calls pass through `around`."""

    def __init__(self, real: Lease, target: str, around: AroundCall) -> None:
        self._real = real
        self._target = target
        self._around = around

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        await self._around("lease.acquire", self._target, lambda: self._real.acquire(lease_id, duration=duration))

    async def renew(self, lease_id: str) -> None:
        await self._around("lease.renew", self._target, lambda: self._real.renew(lease_id))

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        await self._around("lease.change", self._target, lambda: self._real.change(lease_id, new_lease_id=new_lease_id))

    async def release(self, lease_id: str) -> None:
        await self._around("lease.release", self._target, lambda: self._real.release(lease_id))

    async def break_(self, *, after: timedelta | None = None) -> None:
        await self._around("lease.break", self._target, lambda: self._real.break_(after=after))


class WrappedContainer:
    """A container whose calls, and those of its leases, pass through `around`."""

    def __init__(self, real: BlobContainer, around: AroundCall) -> None:
        self._real = real
        self._around = around

    @property
    def name(self) -> str:
        return self._real.name

    async def create(self) -> bool:
        return await self._around("blob.create container", self.name, self._real.create)

    async def drop(self, *, lease_id: str | None = None) -> bool:
        return await self._around("blob.drop container", self.name, lambda: self._real.drop(lease_id=lease_id))

    async def exists(self) -> bool:
        return await self._around("blob.exists", self.name, self._real.exists)

    def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        return _listed(self._around, "blob.list", self.name, self._real.list(prefix))

    async def properties(self, blob: str) -> BlobProperties:
        return await self._around("blob.properties", self.name, lambda: self._real.properties(blob))

    async def read(self, blob: str) -> bytes:
        return await self._around("blob.read", self.name, lambda: self._real.read(blob))

    async def read_range(self, blob: str, offset: int, length: int, *, if_match: str | None = None) -> BlobRange:
        return await self._around(
            "blob.read", self.name, lambda: self._real.read_range(blob, offset, length, if_match=if_match)
        )

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
        return await self._around(
            "blob.write",
            self.name,
            lambda: self._real.write(
                blob,
                content,
                only_if_new=only_if_new,
                if_match=if_match,
                lease_id=lease_id,
                content_type=content_type,
                metadata=metadata,
            ),
        )

    async def set_metadata(self, blob: str, metadata: Mapping[str, str], *, lease_id: str | None = None) -> None:
        await self._around(
            "blob.set metadata", self.name, lambda: self._real.set_metadata(blob, metadata, lease_id=lease_id)
        )

    async def write_blocks(
        self,
        blob: str,
        blocks: AsyncIterator[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        return await self._around(
            "blob.write",
            self.name,
            lambda: self._real.write_blocks(blob, blocks, content_type=content_type, metadata=metadata),
        )

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        return await self._around("blob.delete", self.name, lambda: self._real.delete(blob, lease_id=lease_id))

    def changes(self) -> int:
        return self._real.changes()

    async def wait(self, at_most: timedelta, *, since: int) -> None:
        await self._real.wait(at_most, since=since)

    def lease(self, blob: str | None = None) -> Lease:
        target = self.name if blob is None else f"{self.name}/{blob}"
        return self._lease(self._real.lease(blob), target)

    def _lease(self, real: Lease, target: str) -> Lease:
        return WrappedLease(real, target, self._around)

    def url(self, blob: str) -> str:
        return self._real.url(blob)


class WrappedAccount:
    """An account whose calls, and those of all its queues, tables and containers, pass through `around`."""

    def __init__(self, real: StorageAccount, around: AroundCall) -> None:
        self._real = real
        self._around = around

    @property
    def description(self) -> str:
        return self._real.description

    def queue(self, name: str) -> Queue:
        return WrappedQueue(self._real.queue(name), self._around)

    def table(self, name: str) -> Table:
        return WrappedTable(self._real.table(name), self._around)

    def container(self, name: str) -> BlobContainer:
        return WrappedContainer(self._real.container(name), self._around)

    def queues(self, prefix: str = "") -> AsyncIterator[str]:
        return _listed(self._around, "account.queues", prefix, self._real.queues(prefix))

    def tables(self, prefix: str = "") -> AsyncIterator[str]:
        return _listed(self._around, "account.tables", prefix, self._real.tables(prefix))

    def containers(self, prefix: str = "") -> AsyncIterator[str]:
        return _listed(self._around, "account.containers", prefix, self._real.containers(prefix))


async def _listed(around: AroundCall, operation: str, target: str, items: AsyncIterator[Item]) -> AsyncIterator[Item]:
    async def nothing() -> None:
        """Stand for the first page, which the iteration asks for."""

    await around(operation, target, nothing)
    async for item in items:
        yield item
