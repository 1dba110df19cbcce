"""Snapshot of a task hub for the history checker: all that is stored, read through the storage port.

`read_hub` reads tables, queues and the blobs of large columns. It writes nothing and receives no message, so it may run
beside working hosts; the parts of the snapshot are then of slightly different times. Hubs of .NET are read as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from emulator.clock import Clock
from emulator.durable.azurestorage.large import LargePayloads, blob_name_of
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.queues import read_message
from emulator.durable.azurestorage.messaging.wire import UnreadableMessage
from emulator.durable.azurestorage.names import SENTINEL, HubNames, unescape_key
from emulator.durable.azurestorage.tracking.large_columns import inline
from emulator.durable.azurestorage.tracking.rows import UnreadableRow, read_event
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance
from emulator.errors import EmulatorError
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import MAX_MESSAGES, NotFound, QueueMessage, Row, StorageAccount, StorageError, Table


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the current execution and the key of its History row."""

    row_key: str
    event: HistoryEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """All rows of one instance.

    `status`: the Instances row, None if there is none; `input` and `output`: its payloads, from their blobs if they are
    large. `events`: of the current execution, up to the first row that cannot be read. `row_keys`: of all rows of the
    current execution. `unreadable`: what is wrong with rows and blobs that cannot be read.
    """

    instance_id: str
    status: Row | None = None
    input: str | None = None
    output: str | None = None
    sentinel: Row | None = None
    events: Sequence[StoredEvent] = ()
    row_keys: Sequence[str] = ()
    unreadable: Sequence[str] = ()

    @property
    def started(self) -> ExecutionStarted | None:
        """The start of the current execution; None: there is no history."""
        return next((stored.event for stored in self.events if isinstance(stored.event, ExecutionStarted)), None)

    @property
    def execution_id(self) -> str | None:
        """The id of the current execution, as the sentinel or else the first event names it."""
        if self.sentinel is not None:
            return _text(self.sentinel, "ExecutionId")
        return self.started.instance.execution_id if self.started else None


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A visible message. `target` and `event`: None if it cannot be read, and `problem` says why."""

    queue: str
    id: str
    target: OrchestrationInstance | None = None
    event: HistoryEvent | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HubSnapshot:
    """A task hub as stored. `counts`: messages of each queue, hidden ones included. `messages`: the visible ones."""

    names: HubNames
    taken_at: Instant
    instances: Mapping[str, StoredInstance]
    counts: Mapping[str, int]
    messages: Sequence[StoredMessage]


async def read_hub(
    account: StorageAccount,
    hub: str,
    clock: Clock,
    *,
    tracking: StorageAccount | None = None,
    prefix: str | None = None,
) -> HubSnapshot:
    """Read the task hub `hub`. `tracking`, `prefix`: account and table name prefix of a separate tracking store.

    Of each queue, at most 32 visible messages are read. Missing tables and queues count as empty. Raises
    StorageUnreachable.
    """
    # As many as there are: the hub may have been created with another number than host.json has now.
    queues = [name async for name in account.queues(f"{hub.lower()}-control-")]
    names = HubNames(hub=hub, partition_count=max(len(queues), 1), tracking_prefix=prefix if tracking else None)
    tables = tracking or account
    large = LargePayloads(tables.container(names.large_message_container), clock, new_id)
    reader = _Reader(large)
    async for row in _rows(tables.table(names.history_table)):
        reader.add_history_row(row)
    async for row in _rows(tables.table(names.instances_table)):
        reader.parts(row.partition_key).status = row
    counts, messages = dict[str, int](), list[StoredMessage]()
    for name in (*queues, names.work_item_queue):
        try:
            counts[name] = await account.queue(name).count()
            peeked = await account.queue(name).peek(limit=MAX_MESSAGES)
        except NotFound:
            continue
        messages += [await reader.message(name, message) for message in peeked]
    instances = [await reader.instance(key, parts) for key, parts in reader.instances.items()]
    return HubSnapshot(
        names,
        Instant.of(clock.now()),
        {instance.instance_id: instance for instance in instances},
        counts,
        messages,
    )


@dataclass(slots=True)
class _Parts:
    rows: list[Row] = field(default_factory=list)
    sentinel: Row | None = None
    status: Row | None = None


class _Reader:
    def __init__(self, large: LargePayloads) -> None:
        self._large = large
        self.instances: dict[str, _Parts] = {}

    def parts(self, partition_key: str) -> _Parts:
        return self.instances.setdefault(partition_key, _Parts())

    def add_history_row(self, row: Row) -> None:
        parts = self.parts(row.partition_key)
        if row.row_key == SENTINEL:
            parts.sentinel = row
        else:
            parts.rows.append(row)

    async def instance(self, partition_key: str, parts: _Parts) -> StoredInstance:
        # Without a sentinel, .NET takes the execution of the first row. Rows of another one, from the first on, are
        # left from an older, longer execution.
        named = parts.sentinel or (parts.rows[0] if parts.rows else None)
        current = _text(named, "ExecutionId") if named else None
        events, row_keys, unreadable = list[StoredEvent](), list[str](), list[str]()
        for row in parts.rows:
            if _text(row, "ExecutionId") != current:
                break
            row_keys.append(row.row_key)
            if unreadable:
                continue
            try:
                complete_row, _ = await inline(row, self._large)
                events.append(StoredEvent(row.row_key, read_event(complete_row)))
            except (UnreadableRow, StorageError) as error:
                unreadable.append(f"History row {row.row_key} cannot be read: {error}")
        return StoredInstance(
            instance_id=unescape_key(partition_key),
            status=parts.status,
            input=await self._payload(parts.status, "Input", unreadable),
            output=await self._payload(parts.status, "Output", unreadable),
            sentinel=parts.sentinel,
            events=events,
            row_keys=row_keys,
            unreadable=unreadable,
        )

    async def _payload(self, row: Row | None, column: str, unreadable: list[str]) -> str | None:
        text = _text(row, column) if row else None
        blob = blob_name_of(text) if text else None
        if blob is None:
            return text
        try:
            content = await self._large.load(blob)
            if not blob.endswith("ExecutionStarted.json.gz"):
                return content
            # The blob of a whole start message, to which the column of its input refers.
            message = wire.decode(content).message
        except EmulatorError as error:
            unreadable.append(f"column {column} of the Instances row cannot be read: {error}")
            return None
        return message.event.input if message and isinstance(message.event, ExecutionStarted) else None

    async def message(self, queue: str, message: QueueMessage) -> StoredMessage:
        try:
            _, task = await read_message(message, self._large)
        except (UnreadableMessage, StorageError) as error:
            return StoredMessage(queue, message.id, problem=str(error))
        return StoredMessage(queue, message.id, task.target, task.event)


async def _rows(table: Table) -> AsyncIterator[Row]:
    try:
        async for row in query_rows(table):
            yield row
    except NotFound:
        return


def _text(row: Row, column: str) -> str | None:
    value = row.properties.get(column)
    return value if isinstance(value, str) else None
