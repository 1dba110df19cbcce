"""Storage account that counts its requests, for `azemu report`.

    counts = RequestCounts()
    account = counted(account, counts)
    with caused_by("orders"):
        …                                       # these requests are for the function orders

A call of the port is one request, except that a listing is one for each page on the wire and counted as one here, and
that repetitions of a request without a response are not seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final, NamedTuple, TypeVar

from emulator.storage.port import BlobContainer, BlobProperties, Queue, QueueMessage, StorageAccount
from emulator.storage.wrapped import WrappedAccount, WrappedContainer, WrappedQueue

T = TypeVar("T")

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


# Service and operation of the calls, in the words of the price lists. A call that is not here is named like the
# request it makes. All operations of a lease have one price, so the report does not tell them apart.
_REQUESTS: Final = {
    "queue.drop": ("queue", "delete queue"),
    "queue.hide": ("queue", "update"),
    "queue.count": ("queue", "properties"),
    "table.drop": ("table", "delete table"),
    "table.page": ("table", "query"),
    # A transaction of several operations is one request, and is billed as one.
    "table.submit": ("table", "write"),
    "blob.create container": ("blob", "create"),
    "blob.drop container": ("blob", "delete container"),
    "blob.exists": ("blob", "properties"),
    "account.queues": ("queue", "list"),
    "account.tables": ("table", "list"),
    "account.containers": ("blob", "list"),
}


class _Counting:
    """Function that counts calls and does them."""

    # The account is wrapped, instead of counters in the storage clients: so all kinds of accounts are counted by the
    # same rules, and requests of the dashboard, which has the accounts as they are, are left out.
    def __init__(self, counts: RequestCounts) -> None:
        self._counts = counts

    async def __call__(self, operation: str, target: str, work: Callable[[], Awaitable[T]], /) -> T:
        service, _, name = operation.partition(".")
        if service == "lease":
            self._counts.add("blob", "lease", target.partition("/")[0])
        else:
            self._counts.add(*_REQUESTS.get(operation, (service, name)), target)
        return await work()


class _Queue(WrappedQueue):
    def __init__(self, real: Queue, counts: RequestCounts) -> None:
        super().__init__(real, _Counting(counts))
        self._counts = counts

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        # Counted afterwards, because only the response tells whether the poll has found a message.
        messages = await self._real.get(limit=limit, hide_for=hide_for)
        self._counts.add("queue", "get", self.name, is_idle=not messages)
        return messages


class _Container(WrappedContainer):
    def __init__(self, real: BlobContainer, counts: RequestCounts) -> None:
        super().__init__(real, _Counting(counts))
        self._counts = counts

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
                self._counts.add("blob", "write", self.name)
                yield block

        # The list of the blocks is a request besides, counted by the call.
        return await super().write_blocks(blob, counted_blocks(), content_type=content_type, metadata=metadata)


class _Account(WrappedAccount):
    def __init__(self, real: StorageAccount, counts: RequestCounts) -> None:
        super().__init__(real, _Counting(counts))
        self._counts = counts

    def queue(self, name: str) -> Queue:
        return _Queue(self._real.queue(name), self._counts)

    def container(self, name: str) -> BlobContainer:
        return _Container(self._real.container(name), self._counts)
