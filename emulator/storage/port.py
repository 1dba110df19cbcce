"""Storage port: the interface to queues, tables and blobs of one account, with the guarantees of Azure Storage.

Implementations: `azure` (accounts in Azure, through the official SDKs), `rest` (emulators) and `builtin` (SQLite).
tests/storage checks all of them for everything that is promised here.

What the service leaves open is open here, too. Callers may not rely on the order of messages, on a `get` returning all
visible messages, or on a page being full.

Errors. Every call may raise StorageUnreachable; the others are named at the calls. Where a call raises
StorageUnreachable, the operation may or may not have happened, because the response may have been lost.

Repeating. The network clients repeat a request that got no response, so an operation may happen twice. Where that
matters, the docstring of the method says what callers see. "Idempotent" means: after an error, call it again.

Cancelling. A cancelled call may or may not have happened, like one that raises StorageUnreachable. It leaves the
connection usable. A lost response to `Queue.get` hides its messages until their visibility timeout is over.

Source: Azure Storage REST reference (queue, table and blob service).
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.storage.filters import Condition

# The aliases export these types: they belong to this port, but filters need them, too.
from emulator.storage.filters import Int64 as Int64  # noqa: PLC0414
from emulator.storage.filters import Value as Value  # noqa: PLC0414

ZERO = timedelta(0)
MAX_MESSAGES = 32
"""The largest number of messages that the service returns for one `get` or `peek`."""
# Matches any existing row, as an If-Match header of *.
ANY_ETAG = "*"
# Limits of the service.
MAX_BATCH_OPERATIONS = 100
MAX_MESSAGE_BYTES = 64 * 1024
MAX_HIDE = timedelta(days=7)
FIRST_ROW_INSTANT = Instant.parse("1601-01-01T00:00:00Z")
"""The earliest time that a row can have."""

_NO_METADATA: Mapping[str, str] = MappingProxyType({})


# Errors ------------------------------------------------------------------------------------------------------


class StorageError(EmulatorError):
    """The service refused an operation. It has changed nothing, unless an earlier attempt of the same call did.

    `status`: the HTTP status; `code`: Azure's error code, for example "QueueNotFound"; `failed_index`: in a
    transaction, the operation that failed, if the service named it.
    """

    def __init__(self, message: str, *, status: int, code: str, failed_index: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.failed_index = failed_index


class NotFound(StorageError):
    """404: the queue, message, table, row, container or blob does not exist."""


class AlreadyExists(StorageError):
    """409: it exists already, or the lease is held under another id."""


class PreconditionFailed(StorageError):
    """412: the ETag is not the current one, or a lease id is missing or wrong."""


class PopReceiptMismatch(StorageError):
    """400: the pop receipt is not the last one. The message was visible again, and another consumer may have it."""


class InvalidRequest(StorageError):
    """400, 413 or 414: a name, size, value or combination that the service does not accept."""


class StorageUnreachable(EmulatorError):
    """The service did not answer, or with a status of 500 or more, even after the usual retries.

    The operation may or may not have happened.
    """


class StorageOutage(StorageUnreachable):
    """The service answers no request at present. The account logs that once, and the end; callers only retry."""


# Queues ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message as the service returned it. `body` is the text as stored; callers encode and decode base64.

    `inserted_at` has a resolution of one second. `pop_receipt` is empty on peeked messages. `expires_at` None: never.
    """

    id: str
    body: str
    pop_receipt: str
    dequeue_count: int
    inserted_at: datetime
    next_visible_at: datetime
    expires_at: datetime | None = None


# A protocol, because only composition names a store.
@runtime_checkable
class ListableQueue(Protocol):
    """A queue that lists all its messages. Only the built-in store has such queues; the service shows visible ones."""

    async def list_messages(self) -> list[QueueMessage]:
        """List all messages, hidden ones included, the oldest first, without pop receipts. Raises NotFound."""


class Queue(Protocol):
    """A queue. Making the object makes no request."""

    @property
    def name(self) -> str: ...

    async def create(self) -> bool:
        """Create the queue; False if it existed. Idempotent. Raises InvalidRequest for an invalid name."""

    async def drop(self) -> bool:
        """Delete the queue with its messages; False if it did not exist. Idempotent.

        Azure refuses to create a queue of this name again for about 30 seconds.
        """

    async def put(self, body: str, *, visible_in: timedelta = ZERO, lives_for: timedelta | None = None) -> QueueMessage:
        """Add a message. Returns it with its id and a pop receipt that is valid until the message is dequeued.

        `visible_in`: keep it hidden for so long. `lives_for`: time to live, None for unlimited. Both are cut to whole
        seconds. Not idempotent: after an error the message may be in the queue, or in it twice. Raises NotFound,
        InvalidRequest (over 64 KiB, hidden for over 7 days, a character that XML does not allow).
        """

    async def get(self, *, limit: int, hide_for: timedelta) -> list[QueueMessage]:
        """Dequeue up to `limit` (1 to 32) visible messages: hide them, and increase their dequeue counts by one.

        Not idempotent: after an error or a cancellation, messages may be hidden for `hide_for` although no caller has
        them. Raises NotFound, InvalidRequest.
        """

    async def peek(self, *, limit: int) -> list[QueueMessage]:
        """Read up to `limit` (1 to 32) visible messages and leave them as they are. Raises NotFound, InvalidRequest."""

    async def hide(self, message: QueueMessage, *, hide_for: timedelta, body: str | None = None) -> QueueMessage:
        """Hide a message for `hide_for` from now (zero: make it visible), and replace its text if `body` is given.

        Returns it with a new pop receipt; the one in `message` is invalid then. Not idempotent: a repeated request may
        raise PopReceiptMismatch although the first one succeeded. Raises NotFound (the message was deleted or has
        expired), PopReceiptMismatch, InvalidRequest.
        """

    async def delete(self, message: QueueMessage) -> None:
        """Delete a message. A repeated request raises NotFound.

        Raises NotFound (the message was deleted or has expired), PopReceiptMismatch.
        """

    async def clear(self) -> None:
        """Delete all messages, hidden ones included. Idempotent. Raises NotFound."""

    async def count(self) -> int:
        """Count all messages, hidden ones included. Approximate while others use the queue. Raises NotFound."""

    # `wait` is not an operation of the service. It is here because only the store knows how to notice new messages.
    async def wait(self, at_most: timedelta) -> None:
        """Return when a `get` may return something, at the latest after `at_most` of the clock's time.

        Safe to cancel. May return early without a reason. A network client returns when this process has put a visible
        message through the same account object, else after `at_most`. The built-in store returns when a message becomes
        visible, whichever process put it; `at_most` is upkeep there (see `emulator.clock`): virtual time does not stop
        for it.
        """


# Tables ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """An entity. `properties` has neither keys nor nulls, because tables drop a property that is null.

    `etag` and `timestamp` are set on rows that were read.
    """

    partition_key: str
    row_key: str
    properties: Mapping[str, Value]
    etag: str | None = None
    timestamp: Instant | None = None


class Operation(enum.Enum):
    """What to do with a row. The names are those of the REST operations."""

    # The values are used in error messages: "Storage refused to insert or merge row …".
    INSERT = "insert"  # raises AlreadyExists if the row exists
    REPLACE = "replace"  # needs if_match; removes properties that are not given
    MERGE = "merge"  # needs if_match; keeps properties that are not given
    INSERT_OR_REPLACE = "insert or replace"
    INSERT_OR_MERGE = "insert or merge"
    DELETE = "delete"  # needs if_match


@dataclass(frozen=True, slots=True)
class TableOperation:
    """An operation on a row. `if_match`: an ETag or ANY_ETAG for REPLACE, MERGE and DELETE, None for the others."""

    kind: Operation
    row: Row
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a query. `continuation` None: the last page. Other pages may be short, or even empty."""

    rows: Sequence[Row]
    continuation: str | None = None


class Table(Protocol):
    """A table. Making the object makes no request."""

    @property
    def name(self) -> str: ...

    async def create(self) -> bool:
        """Create the table; False if it existed. Idempotent. Raises InvalidRequest for an invalid name."""

    async def drop(self) -> bool:
        """Delete the table with its rows; False if it did not exist. Idempotent.

        Azure refuses to create a table of this name again for about 40 seconds.
        """

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        """Read one row. `select`: only these properties. Raises NotFound (the row or the table)."""

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
        NotFound (the table), InvalidRequest (also for a token that this service has not returned).
        """

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        """Execute one operation, or up to 100 on one partition as a transaction: all of them or none.

        Returns the new ETag of each row (None for a delete), in order. Idempotent for the two INSERT_OR operations, and
        for REPLACE and MERGE with ANY_ETAG. Otherwise a repeated request may raise the error of a second execution
        (AlreadyExists, NotFound, PreconditionFailed) although the first one succeeded. Raises these and InvalidRequest
        (sizes, several partitions, one row twice); `failed_index` names the operation.
        """


# Blobs -------------------------------------------------------------------------------------------------------


class LeaseState(enum.Enum):
    """State of a lease, with the values of the header x-ms-lease-state."""

    AVAILABLE = "available"
    LEASED = "leased"
    EXPIRED = "expired"
    BREAKING = "breaking"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class BlobProperties:
    """Properties of a blob. `last_modified` and `created_at` have a resolution of one second.

    `blob_type`: BlockBlob, PageBlob or AppendBlob. None: the blob has no such property.
    """

    name: str
    size: int
    etag: str
    last_modified: datetime
    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=lambda: _NO_METADATA)
    lease_state: LeaseState = LeaseState.AVAILABLE
    created_at: datetime | None = None
    content_md5: bytes | None = None
    blob_type: str = "BlockBlob"
    content_encoding: str | None = None
    content_language: str | None = None
    content_disposition: str | None = None
    cache_control: str | None = None


@dataclass(frozen=True, slots=True)
class BlobRange:
    """A part of a blob's content, and the properties of the whole blob at that moment."""

    content: bytes
    properties: BlobProperties


class Lease(Protocol):
    """The lease of a blob or container. Each call is one request. All calls but `release` are idempotent.

    Lease ids are GUIDs. The service does not notify a holder whose lease is lost: the next call raises.
    """

    async def acquire(self, lease_id: str, *, duration: timedelta | None) -> None:
        """Acquire the lease, or acquire it again under the same id.

        `duration`: 15 to 60 seconds, None for an infinite lease. Raises AlreadyExists (held under another id, or being
        broken), NotFound (the blob or container), InvalidRequest.
        """

    async def renew(self, lease_id: str) -> None:
        """Renew the lease: its duration starts again. An expired lease can be renewed until it is acquired or the blob
        is written.

        Raises AlreadyExists (held under another id, or broken), NotFound.
        """

    async def change(self, lease_id: str, *, new_lease_id: str) -> None:
        """Change the id of the lease. Raises AlreadyExists (not held, or held under a third id), NotFound."""

    async def release(self, lease_id: str) -> None:
        """Free the lease at once. A repeated request raises AlreadyExists, as for a lease under another id.

        Raises AlreadyExists, NotFound.
        """

    # With an underscore, because `break` is a keyword.
    async def break_(self, *, after: timedelta | None = None) -> None:
        """End the lease without its id: at once for zero, else when `after` or the rest of the lease has passed.

        Raises AlreadyExists (no lease), NotFound, InvalidRequest.
        """


class BlobContainer(Protocol):
    """A container of block blobs. Making the object makes no request."""

    @property
    def name(self) -> str: ...

    async def create(self) -> bool:
        """Create the container; False if it existed. Idempotent. Raises InvalidRequest for an invalid name."""

    async def drop(self, *, lease_id: str | None = None) -> bool:
        """Delete the container with its blobs; False if it did not exist. Idempotent.

        Azure refuses to create a container of this name again for about 30 seconds. Raises PreconditionFailed (it has a
        lease under another id).
        """

    async def exists(self) -> bool:
        """Return whether the container exists."""

    # A generator, because a container may have more blobs than fit into memory.
    def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        """Yield the blobs whose names begin with `prefix`, in ordinal order. Raises NotFound (the container)."""

    async def properties(self, blob: str) -> BlobProperties:
        """Read the properties of a blob. Raises NotFound."""

    async def read(self, blob: str) -> bytes:
        """Read the whole content of a blob. Raises NotFound."""

    async def read_range(self, blob: str, offset: int, length: int, *, if_match: str | None = None) -> BlobRange:
        """Read at most `length` (1 to 32 MiB) bytes from `offset` on; fewer at the end of the blob, none behind it.

        `if_match`: the ETag that the blob must still have, so that several ranges belong to one version. Raises
        NotFound, PreconditionFailed.
        """

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
        """Write a block blob: all of its content, content type and metadata at once.

        Idempotent without a condition; with one, a repeated request may raise although the first one succeeded. Raises
        AlreadyExists (`only_if_new`), PreconditionFailed (`if_match`, or a lease under another id), NotFound (the
        container), InvalidRequest.
        """

    async def set_metadata(self, blob: str, metadata: Mapping[str, str], *, lease_id: str | None = None) -> None:
        """Replace the metadata of a blob, which gives it a new ETag and a new `last_modified`. Idempotent.

        Raises PreconditionFailed (it has a lease under another id), NotFound (the blob or container), InvalidRequest.
        """

    async def write_blocks(
        self,
        blob: str,
        blocks: AsyncIterator[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        """Write a block blob whose content comes in pieces of at most 32 MiB, so that it need not fit into memory.

        Readers see the old blob, or none, until all pieces have arrived. If `blocks` raises, the error is raised here
        and the blob is unchanged. Not to be repeated, because `blocks` can be read only once. Raises PreconditionFailed
        (the blob has a lease), NotFound (the container), InvalidRequest.
        """

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        """Delete a blob; False if it did not exist. Idempotent.

        Raises PreconditionFailed (it has a lease under another id), NotFound (the container).
        """

    def changes(self) -> int:
        """Return the number of writes to blobs of this container that the account object knows of; it only grows.

        Makes no request. A network client knows the writes through the same account object. The built-in store also
        counts, later, those of other processes.
        """

    # Not an operation of the service, like `Queue.wait`.
    async def wait(self, at_most: timedelta, *, since: int) -> None:
        """Return when the number of `changes` is not `since` any more, at the latest after `at_most` of the clock's
        time, which is upkeep (see `emulator.clock`): virtual time does not stop for it.

        Safe to cancel. A scanner calls `changes` before it lists the blobs, and this method after that with the number:
        a blob that is written in between is not missed. May return early without a reason.
        """

    def lease(self, blob: str | None = None) -> Lease:
        """Return the lease of a blob, or of the container itself. Makes no request."""

    def url(self, blob: str) -> str:
        """Return the absolute URL, with all but the unreserved characters of RFC 3986 escaped in each path segment."""


# Accounts ----------------------------------------------------------------------------------------------------


class StorageAccount(Protocol):
    """A storage account. Its queue, table and container objects are cheap; what they name need not exist.

    Two objects of one name are interchangeable.
    """

    @property
    def description(self) -> str:
        """Describe kind and place of the account for users, without a key.

        For example "Azurite at http://127.0.0.1:10000/devstoreaccount1".
        """

    def queue(self, name: str) -> Queue:
        """Return a queue. Makes no request."""

    def table(self, name: str) -> Table:
        """Return a table. Makes no request. Names of tables ignore case."""

    def container(self, name: str) -> BlobContainer:
        """Return a blob container. Makes no request."""

    def queues(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the names of the queues that begin with `prefix`."""

    def tables(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the names of the tables that begin with `prefix`, in the case in which they were created."""

    def containers(self, prefix: str = "") -> AsyncIterator[str]:
        """Yield the names of the containers that begin with `prefix`."""
