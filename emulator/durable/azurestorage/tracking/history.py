"""History table: load an execution, append a checkpoint, purge an instance.

There is one partition per instance. It contains the events of the current execution by number, possibly followed by
rows of an older, longer execution, and the sentinel row, which names the current execution. Every checkpoint changes
the sentinel in the same transaction as the events, under its ETag, so that two hosts cannot both append.
Source: docs/protocol/task-hub-storage.md chapters 3.6 to 3.8 (durabletask: AzureTableTrackingStore.cs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_

from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads, utf16_bytes
from emulator.durable.azurestorage.names import SENTINEL, escape_key, history_row_key, unescape_key
from emulator.durable.azurestorage.tracking import rows
from emulator.durable.azurestorage.tracking.large_columns import inline, offload
from emulator.durable.core import events
from emulator.durable.core.events import ExecutionStarted, HistoryEvent, OrchestratorStarted
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.status import status_after
from emulator.durable.hub import LockLost
from emulator.instant import Instant
from emulator.storage.filters import eq
from emulator.storage.paging import query_rows
from emulator.storage.port import (
    ANY_ETAG,
    MAX_BATCH_OPERATIONS,
    AlreadyExists,
    NotFound,
    Operation,
    PreconditionFailed,
    Row,
    Table,
    TableOperation,
)

# The last operation of a transaction is the one on the sentinel.
ROWS_PER_TRANSACTION = MAX_BATCH_OPERATIONS - 1
# The service accepts 4 MiB. The size is only estimated, so a transaction is submitted earlier.
BYTES_PER_TRANSACTION = 3 * 1024 * 1024
# .NET estimates the size of a row without its large columns like this.
_BYTES_PER_ROW = 1024

# With this weight the cache keeps about 10,000 ended instances, instead of all instances that a host ever runs.
_ENDED_WEIGHT = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Stored state of an instance.

    `execution_id` is the current execution, None if nothing is stored. `events` are its events if they were loaded: a
    load that expected another execution does not load them (`is_loaded` False). `etag` is that of the sentinel, None
    if there is none. `blobs` are the names of the blobs with large columns of the events. `is_row_current`: the
    status row is known to agree with the end of the execution. `is_rewound`: some failures were undone. `weight` is the
    cost in the cache: about the number of characters, or more for a history that is unlikely to be used again.
    """

    instance_id: str
    execution_id: str | None = None
    events: Sequence[HistoryEvent] = ()
    etag: str | None = None
    blobs: Sequence[str] = ()
    status: RuntimeStatus | None = None
    episodes: int = 0
    is_loaded: bool = True
    is_row_current: bool = False
    is_rewound: bool = False
    weight: int = 1000

    @property
    def started(self) -> ExecutionStarted | None:
        """The event that began the execution; None if no events are loaded."""
        # The second event of nearly every history.
        return next((event for event in self.events if isinstance(event, ExecutionStarted)), None)

    def with_events(self, new: Sequence[HistoryEvent]) -> History:
        """Return the history of the same execution with `new` events appended."""
        return replace(
            self,
            events=(*self.events, *new),
            status=reduce(status_after, new, self.status),
            # The number of the last episode is sent with every message.
            episodes=self.episodes + sum(isinstance(event, OrchestratorStarted) for event in new),
            is_rewound=self.is_rewound or any(isinstance(event, events.GenericEvent) for event in new),
            weight=self.weight + sum(map(_weight, new)),
        )

    def without_events(self) -> History:
        """Return the history without events, which are not needed of an ended execution. Status and ETag are kept."""
        return replace(self, events=(), blobs=(), weight=_ENDED_WEIGHT, is_row_current=True)


def _weight(event: HistoryEvent) -> int:
    # A rough constant for the event itself: only the sizes of the payloads differ much.
    texts = (getattr(event, field, None) for field in ("input", "result", "reason", "details"))
    return 300 + sum(len(text) for text in texts if text)


_COLUMN_IN_STATUS_ROW: Mapping[type[HistoryEvent], str] = {
    events.ExecutionStarted: "Input",
    events.ExecutionCompleted: "Result",
    events.ExecutionTerminated: "Input",
    events.ExecutionSuspended: "Reason",
    events.ExecutionResumed: "Reason",
}


class HistoryTable:
    """The `{hub}History` table of a task hub. `table`: the table itself, for changes of single rows (`rewind`)."""

    def __init__(self, table: Table, large: LargePayloads, clock: Clock) -> None:
        self.table = table
        self._large = large
        self._clock = clock

    async def load(self, instance_id: str, *, expected: str | None = None) -> History:
        """Load the current execution. If it is not `expected`, return only its id.

        Raises UnreadableRow, or NotFound or DamagedPayload if the blob of a large column is missing or unreadable.
        """
        where = eq("PartitionKey", escape_key(instance_id))
        if expected is not None:
            # As in .NET: rows of another execution are not transferred, only the sentinel that names it.
            where &= eq("RowKey", SENTINEL) | eq("ExecutionId", expected)
        stored = [row async for row in query_rows(self.table, where)]
        # "sentinel" sorts behind the digits of the event rows.
        sentinel = next((row for row in reversed(stored) if rows.is_sentinel(row)), None)
        if sentinel is not None:
            rows.check_sentinel(sentinel)
        etag = sentinel.etag if sentinel else None
        # If there is no sentinel, .NET takes the execution of the first row.
        current = _execution_of(sentinel or stored[0]) if stored else None
        if expected is not None and current != expected:
            return History(instance_id=instance_id, execution_id=current, etag=etag, is_loaded=current is None)
        loaded: list[HistoryEvent] = []
        blobs: list[str] = []
        for row in stored:
            # Rows behind those of the current execution are of an older, longer one. Only a purge deletes them.
            if rows.is_sentinel(row) or _execution_of(row) != current:
                continue
            rows.check_position(row, len(loaded))
            complete_row, names = await inline(row, self._large)
            loaded.append(rows.read_event(complete_row))
            blobs += names
        if not loaded and any(not rows.is_sentinel(row) for row in stored):
            raise rows.UnreadableRow(
                f'The sentinel of instance "{instance_id}" names the execution {current}, which has no rows.'
            )
        history = History(instance_id=instance_id, execution_id=current, etag=etag, blobs=blobs)
        return history.with_events(loaded)

    async def append(
        self, history: History, instance: OrchestrationInstance, new: Sequence[HistoryEvent], *, past_count: int
    ) -> tuple[History, Sequence[rows.StoredEvent]]:
        """Write a checkpoint: the rows from number `past_count` on, and the sentinel. Returns what is stored now.

        If `instance` is another execution than the history's, it replaces that one. Raises LockLost if another host has
        changed the history. More than 99 events take several transactions, as in .NET; a crash between two of them
        leaves an incomplete episode, which the next host repeats.
        """
        execution_id = instance.execution_id or ""
        etag, blobs, stored = history.etag, list[str](), list[rows.StoredEvent]()
        batch, size = list[Row](), 0
        for number, event in enumerate(new, past_count):
            columns = rows.event_columns(event, execution_id)
            row = Row(escape_key(history.instance_id), history_row_key(number), columns)
            row, urls = await offload(row, event.type_name, self._large)
            batch.append(row)
            texts = (row.properties.get(column) for column in rows.LARGE_COLUMNS)
            size += _BYTES_PER_ROW + sum(utf16_bytes(text) for text in texts if isinstance(text, str))
            # Collected, because the blobs have to be deleted when another execution replaces these rows.
            blobs += [str(row.properties[f"{column}BlobName"]) for column in urls]
            stored.append(rows.StoredEvent(event, urls.get(_COLUMN_IN_STATUS_ROW.get(type(event), ""))))
            is_last = len(stored) == len(new)
            if is_last or len(batch) == ROWS_PER_TRANSACTION or size > BYTES_PER_TRANSACTION:
                etag = await self._commit(history.instance_id, execution_id, batch, etag, is_last=is_last)
                batch, size = [], 0
        # Nothing of the replaced execution counts for the new one, not even its number of episodes.
        if past_count == 0 or history.execution_id != execution_id:
            history = History(instance_id=history.instance_id, execution_id=execution_id)
        history = replace(history, etag=etag, blobs=(*history.blobs, *blobs), is_loaded=True)
        return history.with_events(new), stored

    async def _commit(
        self, instance_id: str, execution_id: str, batch: Sequence[Row], etag: str | None, *, is_last: bool
    ) -> str | None:
        completed_at = Instant.of(self._clock.now()) if is_last else None
        sentinel = Row(escape_key(instance_id), SENTINEL, rows.sentinel_columns(execution_id, completed_at))
        # The events need no ETags of their own: the transaction fails as a whole if the sentinel has changed. They
        # replace rows of the same number, which an older execution or an interrupted checkpoint has left.
        operations = [TableOperation(Operation.INSERT_OR_REPLACE, row) for row in batch]
        if etag is None:
            operations.append(TableOperation(Operation.INSERT, sentinel))
        else:
            operations.append(TableOperation(Operation.MERGE, sentinel, etag))
        try:
            return (await self.table.submit(operations))[-1]
        except (AlreadyExists, PreconditionFailed, NotFound) as refused:
            # Another host has appended to the history, or it was purged. In both cases this host must not continue.
            raise LockLost(f'The history of instance "{instance_id}" was changed by another host.') from refused

    async def is_latest(self, history: History) -> bool:
        """Return whether no host has stored an episode of the instance after `history`, and it was not purged."""
        try:
            sentinel = await self.table.read(escape_key(history.instance_id), SENTINEL, select=["ExecutionId"])
        except NotFound:
            # A history of old hosts of .NET may have none.
            return history.etag is None
        return sentinel.etag == history.etag

    async def sentinels(self, instance_ids: Iterable[str]) -> Mapping[str, Row]:
        """Return the sentinel rows of these instances, with one request for a few dozen of them."""
        sought = [eq("PartitionKey", escape_key(instance_id)) for instance_id in instance_ids]
        where = eq("RowKey", SENTINEL) & reduce(or_, sought)
        return {unescape_key(row.partition_key): row async for row in query_rows(self.table, where)}

    async def withdraw(self, history: History) -> None:
        """Delete the rows of an execution whose first episode should not have been stored.

        Raises LockLost if another host has continued it.
        """
        keys = [history_row_key(number) for number in range(len(history.events))]
        partition_key, etag = escape_key(history.instance_id), history.etag or ANY_ETAG
        sentinel = Row(partition_key, SENTINEL, {})
        # From the end, so that the sentinel guards all transactions: the first rows are deleted together with it.
        for start in reversed(range(0, len(keys), ROWS_PER_TRANSACTION)):
            rows_left = (Row(partition_key, key, {}) for key in keys[start : start + ROWS_PER_TRANSACTION])
            operations = [TableOperation(Operation.DELETE, row, ANY_ETAG) for row in rows_left]
            operations.append(TableOperation(Operation.MERGE if start else Operation.DELETE, sentinel, etag))
            try:
                etag = (await self.table.submit(operations))[-1] or ANY_ETAG
            except (PreconditionFailed, NotFound) as refused:
                raise LockLost(
                    f'The history of instance "{history.instance_id}" was changed by another host.'
                ) from refused
        await self.delete_blobs(history.blobs)

    async def delete_blobs(self, blobs: Sequence[str]) -> None:
        """Delete blobs of a replaced execution. Missing blobs are ignored."""
        for blob in blobs:
            await self._large.delete(blob)

    async def purge(self, instance_id: str) -> int:
        """Delete all rows of the instance, including the sentinel, and return their number."""
        where = eq("PartitionKey", escape_key(instance_id))
        keys = [
            Row(row.partition_key, row.row_key, {}) async for row in query_rows(self.table, where, select=["RowKey"])
        ]
        for start in range(0, len(keys), MAX_BATCH_OPERATIONS):
            batch = keys[start : start + MAX_BATCH_OPERATIONS]
            operations = [TableOperation(Operation.DELETE, row, ANY_ETAG) for row in batch]
            try:
                await self.table.submit(operations)
            except NotFound:
                # Another purge is running. A transaction fails as a whole if one row is missing, so the others have to
                # be deleted one by one.
                for operation in operations:
                    with suppress(NotFound):
                        await self.table.submit([operation])
        return len(keys)


def _execution_of(row: Row) -> str | None:
    execution_id = row.properties.get("ExecutionId")
    return str(execution_id) if execution_id else None
