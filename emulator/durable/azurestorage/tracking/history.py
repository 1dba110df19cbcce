"""The History table: load an execution, append a checkpoint under the sentinel's ETag, delete.

One partition per instance: the events of the current execution by number, left-overs of an older and longer one
behind them, and the sentinel, which names the current execution. Every checkpoint moves the sentinel in the same
transaction as the rows, so two hosts can never both append.
Source: docs/protocol/task-hub-storage.md chapters 3.6 to 3.8 (durabletask: AzureTableTrackingStore.cs).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads, utf16_bytes
from emulator.durable.azurestorage.names import SENTINEL, escape_key, history_row_key
from emulator.durable.azurestorage.tracking import rows
from emulator.durable.azurestorage.tracking.large_columns import inline, offload
from emulator.durable.core import events
from emulator.durable.core.event_types import EVENT_TYPES
from emulator.durable.core.events import ExecutionStarted, HistoryEvent, OrchestratorStarted
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
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

ROWS_PER_TRANSACTION = MAX_BATCH_OPERATIONS - 1
BYTES_PER_TRANSACTION = 3 * 1024 * 1024
_BYTES_PER_ROW = 1024
"""A guess at what a row costs beside its large columns, as .NET makes it."""

_ENDED_WEIGHT = 6_000
"""Ten thousand instances that have ended are remembered, not as many as a host runs in its life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is stored of an instance.

    `execution_id`: the current execution; None when nothing is stored. `events` are its events, if they were loaded:
    a load that expected another execution only finds out which one is current (`is_loaded` False). `etag`: the
    sentinel's, None when there is none. `blobs`: names of the blobs with large columns of these events. `is_settled`:
    the status row is known to say how the execution ended. `is_rewound`: some of its failures were undone. `weight`:
    about how many characters this takes in memory, and more for what is hardly ever asked for again.
    """

    instance_id: str
    execution_id: str | None = None
    events: Sequence[HistoryEvent] = ()
    etag: str | None = None
    blobs: Sequence[str] = ()
    status: RuntimeStatus | None = None
    episodes: int = 0
    is_loaded: bool = True
    is_settled: bool = False
    is_rewound: bool = False
    weight: int = 1000

    def with_events(self, new: Sequence[HistoryEvent]) -> History:
        """The same execution, `new` events later."""
        return replace(
            self,
            events=(*self.events, *new),
            status=_status_after(self.status, new),
            episodes=self.episodes + sum(isinstance(event, OrchestratorStarted) for event in new),
            is_rewound=self.is_rewound or any(isinstance(event, events.GenericEvent) for event in new),
            weight=self.weight + sum(_weight(event) for event in new),
        )

    def without_events(self) -> History:
        """All that is worth knowing of a finished execution: that it has ended, and the ETag for the next one."""
        return replace(self, events=(), blobs=(), weight=_ENDED_WEIGHT, is_settled=True)


def _status_after(status: RuntimeStatus | None, new: Sequence[HistoryEvent]) -> RuntimeStatus | None:
    for event in new:
        match event:
            case ExecutionStarted():
                status = RuntimeStatus.RUNNING
            case events.ExecutionCompleted():
                status = event.status
            case events.ExecutionSuspended() if status is RuntimeStatus.RUNNING:
                status = RuntimeStatus.SUSPENDED
            case events.ExecutionResumed() if status is RuntimeStatus.SUSPENDED:
                status = RuntimeStatus.RUNNING
            case _:
                pass
    return status


def _weight(event: HistoryEvent) -> int:
    texts = (getattr(event, field, None) for field in ("input", "result", "reason", "details"))
    return 300 + sum(len(text) for text in texts if text)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`url`: where the status row finds the event's Input, Result or Reason if that moved to a blob."""

    event: HistoryEvent
    url: str | None


_SHOWN_COLUMN: Mapping[type[HistoryEvent], str] = {
    events.ExecutionStarted: "Input",
    events.ExecutionCompleted: "Result",
    events.ExecutionTerminated: "Input",
    events.ExecutionSuspended: "Reason",
    events.ExecutionResumed: "Reason",
}


class HistoryTable:
    def __init__(self, table: Table, large: LargePayloads, clock: Clock) -> None:
        self._table = table
        self._large = large
        self._clock = clock

    async def load(self, instance_id: str, *, expected: str | None = None) -> History:
        """The current execution, or, when it is not the `expected` one, only which one it is.

        Raises UnreadableRow, NotFound or DamagedPayload (the blob of a large column is gone, or no good).
        """
        where = eq("PartitionKey", escape_key(instance_id))
        if expected is not None:
            where &= eq("RowKey", SENTINEL) | eq("ExecutionId", expected)
        found = [row async for row in query_rows(self._table, where)]
        sentinel = next((row for row in reversed(found) if rows.is_sentinel(row)), None)
        etag = sentinel.etag if sentinel else None
        current = _execution_of(sentinel or found[0]) if found else None
        if expected is not None and current != expected:
            return History(instance_id=instance_id, execution_id=current, etag=etag, is_loaded=current is None)
        return await self._read(instance_id, current, etag, found)

    async def _read(self, instance_id: str, current: str | None, etag: str | None, found: Sequence[Row]) -> History:
        loaded: list[HistoryEvent] = []
        blobs: list[str] = []
        for row in found:
            if rows.is_sentinel(row):
                continue
            if _execution_of(row) != current:
                break  # Left over from an older, longer execution.
            whole, names = await inline(row, self._large)
            loaded.append(rows.read_event(whole))
            blobs += names
        history = History(instance_id=instance_id, execution_id=current, etag=etag, blobs=blobs)
        return history.with_events(loaded)

    async def append(
        self, history: History, instance: OrchestrationInstance, new: Sequence[HistoryEvent], *, past_count: int
    ) -> tuple[History, Sequence[StoredEvent]]:
        """Write a checkpoint: rows from number `past_count` on, and the sentinel.

        `instance` names the execution the events belong to; another one than the history's replaces it. Returns what
        is stored now. More than 99 events take several transactions, as in .NET. Raises LockLost.
        """
        execution_id = instance.execution_id or ""
        etag, blobs, stored = history.etag, list[str](), list[StoredEvent]()
        batch, size = list[Row](), 0
        for number, event in enumerate(new, past_count):
            row, urls = await self._row(history.instance_id, number, event, execution_id)
            batch.append(row)
            size += _size(event, row)
            blobs += [str(row.properties[f"{column}BlobName"]) for column in urls]
            stored.append(StoredEvent(event, urls.get(_SHOWN_COLUMN.get(type(event), ""))))
            is_last = len(stored) == len(new)
            if is_last or len(batch) == ROWS_PER_TRANSACTION or size > BYTES_PER_TRANSACTION:
                etag = await self._commit(history.instance_id, execution_id, batch, etag, is_last=is_last)
                batch, size = [], 0
        if past_count == 0 or history.execution_id != execution_id:
            history = History(instance_id=history.instance_id, execution_id=execution_id)
        history = replace(history, etag=etag, blobs=(*history.blobs, *blobs), is_loaded=True)
        return history.with_events(new), stored

    async def _row(
        self, instance_id: str, number: int, event: HistoryEvent, execution_id: str
    ) -> tuple[Row, dict[str, str]]:
        columns = rows.event_columns(event, execution_id)
        row = Row(escape_key(instance_id), history_row_key(number), columns)
        return await offload(row, EVENT_TYPES[type(event)].name, self._large)

    async def _commit(
        self, instance_id: str, execution_id: str, batch: Sequence[Row], etag: str | None, *, is_last: bool
    ) -> str | None:
        completed_at = Instant.of(self._clock.now()) if is_last else None
        sentinel = Row(escape_key(instance_id), SENTINEL, rows.sentinel_columns(execution_id, completed_at))
        operations = [TableOperation(Operation.INSERT_OR_REPLACE, row) for row in batch]
        if etag is None:
            operations.append(TableOperation(Operation.INSERT, sentinel))
        else:
            operations.append(TableOperation(Operation.MERGE, sentinel, etag))
        try:
            return (await self._table.submit(operations))[-1]
        except (AlreadyExists, PreconditionFailed, NotFound) as refused:
            # Moved by another host, or purged: either way this history is not ours any more.
            raise LockLost(f'The history of instance "{instance_id}" was changed by another host.') from refused

    async def delete_blobs(self, blobs: Sequence[str]) -> None:
        for blob in blobs:
            await self._large.delete(blob)

    async def purge(self, instance_id: str) -> int:
        """Delete all rows of the instance, sentinel included; returns how many there were."""
        where = eq("PartitionKey", escape_key(instance_id))
        found = [row async for row in query_rows(self._table, where, select=["RowKey"])]
        for start in range(0, len(found), MAX_BATCH_OPERATIONS):
            await self._delete(found[start : start + MAX_BATCH_OPERATIONS])
        return len(found)

    async def _delete(self, batch: Sequence[Row]) -> None:
        operations = [TableOperation(Operation.DELETE, _keys(row), ANY_ETAG) for row in batch]
        try:
            await self._table.submit(operations)
        except NotFound:
            # Somebody else deletes, too; a transaction stops at the first row that is gone.
            for operation in operations:
                await self._delete_one(operation)

    async def _delete_one(self, operation: TableOperation) -> None:
        try:
            await self._table.submit([operation])
        except NotFound:
            return


def _execution_of(row: Row) -> str | None:
    found = row.properties.get("ExecutionId")
    return str(found) if found else None


def _keys(row: Row) -> Row:
    return Row(row.partition_key, row.row_key, {})


def _size(event: HistoryEvent, row: Row) -> int:
    texts = (row.properties.get(column) for column in rows.LARGE_COLUMNS)
    return _BYTES_PER_ROW + sum(utf16_bytes(text) for text in texts if isinstance(text, str))
