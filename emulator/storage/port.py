"""The storage port: queues, tables and blobs of one account, as Azure Storage promises them.

Implementations: `azure` (a real account, by the SDKs), `rest` (an emulator) and `builtin` (SQLite). Every promise made
here is checked on all of them by tests/storage. What the service leaves open stays open: callers may not rely
on the order of messages, on a `get` returning all there is, or on a page being full.

All calls may raise `StorageUnreachable`; the other errors are named at the calls.
Facts: Azure Storage REST reference (queues, tables, blobs), docs/protocol/task-hub-storage.md beside the project.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.storage.edm import Int64 as Int64  # noqa: PLC0414  (the alias exports it: it belongs to this port)
from emulator.storage.filters import Condition

ZERO = timedelta(0)
ANY_ETAG = "*"
MAX_BATCH_OPERATIONS = 100
MAX_MESSAGE_BYTES = 64 * 1024
MAX_HIDE = timedelta(days=7)

_NOTHING: Mapping[str, str] = MappingProxyType({})


# Errors ------------------------------------------------------------------------------------------------------


class StorageError(EmulatorError):
    """The service refused an operation.

    `status`: the HTTP status; `code`: Azure's error code, e.g. "QueueNotFound"; `failed_index`: in a batch, which
    operation failed, if the service said so.
    """

    def __init__(self, message: str, *, status: int, code: str, failed_index: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.failed_index = failed_index


class NotFound(StorageError):
    """404: the queue, message, table, row, container or blob does not exist."""


class AlreadyExists(StorageError):
    """409: it exists already, or the lease is held by somebody else."""


class PreconditionFailed(StorageError):
    """412: the ETag moved, or a lease id is missing or wrong."""


class PopReceiptMismatch(StorageError):
    """400/404: the message became visible again and somebody else may have it; this receipt is worth nothing now."""


class InvalidRequest(StorageError):
    """400 and 413: a name, size, value or combination that the service does not take."""


class StorageUnreachable(EmulatorError):
    """No answer from the service, after the retries that make sense. The operation may or may not have happened."""


# Queues ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message as the service returned it. `body` is the text as stored; base64 or not is the caller's affair.

    `inserted_at` has a resolution of one second. `pop_receipt` is empty on peeked messages.
    """

    id: str
    body: str
    pop_receipt: str
    dequeue_count: int
    inserted_at: datetime
    next_visible_at: datetime
    expires_at: datetime | None = None


class Queue(Protocol):
    @property
    def name(self) -> str: ...

    async def create(self) -> bool:
        """Create it; False if it was there. Raises InvalidRequest for a bad name."""

    async def drop(self) -> bool:
        """Delete the queue with its messages; False if it was not there."""

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        """Add a message; the answer has its id and a pop receipt that is valid until somebody gets the message.

        `lives_for` None: for ever. Raises NotFound, InvalidRequest (over 64 KiB, hidden over 7 days).
        """

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        """Take up to `limit` (1..32) visible messages and hide them; each one's dequeue count goes up by one.

        Raises NotFound.
        """

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        """Look at up to `limit` (1..32) visible messages without taking them."""

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        """Set when it becomes visible again (zero: now), and its text if given. The answer has the new receipt.

        Raises NotFound (the message is gone), PopReceiptMismatch.
        """

    async def delete(self, message: QueueMessage) -> None:
        """Raises NotFound (the message is gone), PopReceiptMismatch."""

    async def clear(self) -> None:
        """Delete all messages, hidden ones included."""

    async def count(self) -> int:
        """How many messages there are, hidden ones included. Approximate while others work on the queue."""

    async def wait(self, at_most: timedelta) -> None:
        """Return when a `get` may find something, at the latest after `at_most` of the clock's time.

        A store that cannot tell returns when this process put a visible message through the same account object,
        else after `at_most`. The built-in store returns exactly when a message becomes visible, and then `at_most` is
        upkeep (see `emulator.clock`): virtual time does not stop for it. Spurious returns are allowed.
        """


# Tables ------------------------------------------------------------------------------------------------------


Value = str | int | Int64 | float | bool | Instant | uuid.UUID | bytes
"""Edm.String, Int32, Int64, Double, Boolean, DateTime, Guid, Binary."""


@dataclass(frozen=True, slots=True)
class Row:
    """One entity. `properties` has neither keys nor nulls: tables drop a null property.

    `etag` and `timestamp` are set on rows that were read.
    """

    partition_key: str
    row_key: str
    properties: Mapping[str, Value]
    etag: str | None = None
    timestamp: Instant | None = None


class Operation(enum.Enum):
    """What to do with a row. The names are those of the REST operations."""

    INSERT = "insert"  # AlreadyExists if it is there
    REPLACE = "replace"  # needs if_match; other properties disappear
    MERGE = "merge"  # needs if_match; other properties stay
    INSERT_OR_REPLACE = "insert or replace"
    INSERT_OR_MERGE = "insert or merge"
    DELETE = "delete"  # needs if_match


@dataclass(frozen=True, slots=True)
class TableOperation:
    """`if_match`: an ETag or ANY_ETAG, for REPLACE, MERGE and DELETE; None for the others."""

    kind: Operation
    row: Row
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`continuation` None: the last page. A page may be short, even empty, and still not be the last."""

    rows: Sequence[Row]
    continuation: str | None = None


class Table(Protocol):
    @property
    def name(self) -> str: ...

    async def create(self) -> bool:
        """Create it; False if it was there. Raises InvalidRequest for a bad name."""

    async def drop(self) -> bool:
        """Delete the table with its rows; False if it was not there."""

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        """One row. Raises NotFound."""

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = 1000,
        continuation: str | None = None,
    ) -> Page:
        """Read one page of at most `limit` (1 to 1000) rows that fulfil `where`.

        Rows come by partition key, then row key, both in ordinal order. `select`: only these properties; keys and ETag
        always come. `continuation`: from the page before. See `storage.paging.query_rows` for all pages. Raises
        NotFound (the table), InvalidRequest (also for a token that is not one of this service).
        """

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        """One operation, or up to 100 of one partition as one transaction: all or nothing.

        Gives the new ETag of each row (None for a delete), in order. Raises AlreadyExists, NotFound,
        PreconditionFailed, InvalidRequest (sizes, several partitions, one row twice); `failed_index` says which.
        """


# Blobs -------------------------------------------------------------------------------------------------------


class LeaseState(enum.Enum):
    AVAILABLE = "available"
    LEASED = "leased"
    EXPIRED = "expired"
    BREAKING = "breaking"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class BlobProperties:
    name: str
    size: int
    etag: str
    last_modified: datetime
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    lease_state: LeaseState = LeaseState.AVAILABLE
    created_at: datetime | None = None
    content_md5: bytes | None = None


class Lease(Protocol):
    """The lease of one blob or container. Each call is one request.

    `duration`: 15 to 60 seconds, or None for an infinite lease. Losing a lease is found out by the next call.
    """

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        """Take it, or take it again under the same id. Raises AlreadyExists (held under another id), NotFound."""

    async def renew(self, lease_id: str) -> None:
        """Raises AlreadyExists (held under another id, or broken), NotFound."""

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        """Raises AlreadyExists (not held, or held under a third id), NotFound."""

    async def release(self, lease_id: str) -> None:
        """Free it at once. Raises AlreadyExists (held under another id), NotFound."""

    async def break_(self, *, after: timedelta | None = None) -> None:
        """End it without its id: at once for zero, else when `after` or the rest of the lease has passed."""


class BlobContainer(Protocol):
    @property
    def name(self) -> str: ...

    async def create(self) -> bool:
        """Create it; False if it was there. Raises InvalidRequest for a bad name."""

    async def drop(self, *, lease_id: str | None = None) -> bool:
        """Delete the container with its blobs; False if it was not there. Raises PreconditionFailed (leased)."""

    async def exists(self) -> bool: ...

    def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        """Blobs by name, ordinal order. Raises NotFound (container)."""

    async def properties(self, blob: str) -> BlobProperties:
        """Raises NotFound."""

    async def read(self, blob: str) -> bytes:
        """The whole content. Raises NotFound."""

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
        """Put a block blob. Raises AlreadyExists (`only_if_new`), PreconditionFailed (`if_match`, lease), NotFound."""

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        """False if it was not there. Raises PreconditionFailed (leased)."""

    def lease(self, blob: str | None = None) -> Lease:
        """The lease of a blob, or of the container itself."""

    def url(self, blob: str) -> str:
        """The absolute URL, every path segment percent-escaped (RFC 3986 unreserved characters stay)."""


# Accounts ----------------------------------------------------------------------------------------------------


class StorageAccount(Protocol):
    """Handles are cheap and make no request; two handles of one name are the same thing."""

    @property
    def description(self) -> str:
        """For people: what and where, never a key. E.g. "Azurite at http://127.0.0.1:10000/devstoreaccount1"."""

    def queue(self, name: str) -> Queue: ...
    def table(self, name: str) -> Table: ...
    def container(self, name: str) -> BlobContainer: ...
    def queues(self, prefix: str = "") -> AsyncIterator[str]: ...
    def tables(self, prefix: str = "") -> AsyncIterator[str]: ...
    def containers(self, prefix: str = "") -> AsyncIterator[str]: ...
