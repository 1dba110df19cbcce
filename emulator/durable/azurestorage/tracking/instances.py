"""The Instances table: one status row per instance id.

Source: docs/protocol/task-hub-storage.md chapter 4 (durabletask: AzureTableTrackingStore.cs,
OrchestrationInstanceStatusQueryCondition.cs).
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator.clock import Clock
from emulator.durable.azurestorage.large import (
    DamagedPayload,
    LargePayloads,
    blob_name_of,
    too_large_for_column,
)
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.names import escape_key, unescape_key
from emulator.durable.azurestorage.tracking import rows
from emulator.durable.azurestorage.tracking.history import History, StoredEvent
from emulator.durable.core.events import ExecutionCompleted, ExecutionStarted, ExecutionTerminated
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstancePage, InstanceQuery, InstanceStatus, LockLost
from emulator.instant import MIN_INSTANT, Instant
from emulator.storage.filters import Condition, eq, ge, le, lt
from emulator.storage.port import (
    ANY_ETAG,
    AlreadyExists,
    NotFound,
    Operation,
    PreconditionFailed,
    Row,
    Table,
    TableOperation,
    Value,
)

_COLUMNS = (
    "ExecutionId",
    "Name",
    "Version",
    "Input",
    "Output",
    "CustomStatus",
    "CreatedTime",
    "LastUpdatedTime",
    "CompletedTime",
    "RuntimeStatus",
    "ScheduledStartTime",
    "Generation",
    "Tags",
)
_MESSAGE_BLOB_ENDING = "ExecutionStarted.json.gz"


class InstanceTable:
    """`fetch_large`: whether status queries download large inputs and outputs, or show their URLs."""

    def __init__(self, table: Table, large: LargePayloads, *, hub: str, clock: Clock, fetch_large: bool) -> None:
        self._table = table
        self._large = large
        self._hub = hub
        self._clock = clock
        self._fetch_large = fetch_large

    # Reading -------------------------------------------------------------------------------------------------

    async def row(self, instance_id: str) -> Row | None:
        """The row as it is, but without the input, which may be large; None if there is none."""
        try:
            return await self._table.read(escape_key(instance_id), "", select=_select(with_input=False))
        except NotFound:
            return None

    async def status(self, instance_id: str) -> InstanceStatus | None:
        try:
            row = await self._table.read(escape_key(instance_id), "")
        except NotFound:
            return None
        return await self._status(row)

    async def query(self, query: InstanceQuery) -> InstancePage:
        """One page, in the order of the partition keys."""
        page = await self._table.page(
            condition(query),
            select=_select(with_input=query.with_input, with_output=query.with_output),
            limit=min(max(query.limit, 1), 1000),
            continuation=query.continuation,
        )
        return InstancePage([await self._status(row) for row in page.rows], page.continuation)

    async def _status(self, row: Row) -> InstanceStatus:
        columns = row.properties
        return InstanceStatus(
            instance_id=unescape_key(row.partition_key),
            execution_id=_text(columns.get("ExecutionId")),
            name=_text(columns.get("Name")) or "",
            runtime_status=RuntimeStatus.from_wire_name(str(columns.get("RuntimeStatus"))),
            created_at=_time(columns.get("CreatedTime")) or MIN_INSTANT,
            last_updated_at=_time(columns.get("LastUpdatedTime")) or MIN_INSTANT,
            completed_at=_time(columns.get("CompletedTime")),
            version=_text(columns.get("Version")),
            input=await self._input(row),
            output=await self._resolved(_text(columns.get("Output"))),
            custom_status=_text(columns.get("CustomStatus")),
            generation=generation_of(row) or 0,
            tags=rows.read_tags_text(columns.get("Tags")),
        )

    async def _input(self, row: Row) -> str | None:
        text = _text(row.properties.get("Input"))
        blob = _text(row.properties.get("InputBlobName"))
        if text == "" and blob and self._fetch_large:
            # .NET writes this name for inputs of 30 to 45 KB, and never reads it.
            return await self._hidden_input(blob)
        resolved = await self._resolved(text)
        if text is not None and resolved != text and (blob_name_of(text) or "").endswith(_MESSAGE_BLOB_ENDING):
            message = wire.decode(resolved or "").message
            return message.event.input if message and isinstance(message.event, ExecutionStarted) else None
        return resolved

    async def _hidden_input(self, blob: str) -> str:
        try:
            return await self._large.load(blob)
        except (NotFound, DamagedPayload):
            # As .NET shows it; a status without its input is better than none, and than a list that fails for it.
            return ""

    async def _resolved(self, text: str | None) -> str | None:
        return text if text is None or not self._fetch_large else await self._large.resolve(text)

    # Writing -------------------------------------------------------------------------------------------------

    async def create(self, started: ExecutionStarted, *, existing: Row | None, status_input: str | None) -> bool:
        """The Pending row of a start. False: somebody else made or changed the row in between, and theirs counts.

        `existing`: the row that was read before and may be replaced. `status_input`: the input, or the
        URL of a blob that has it.
        """
        columns = rows.pending_columns(started, hub=self._hub, now=self._now(), status_input=status_input)
        row = Row(escape_key(started.instance.instance_id), "", columns)
        try:
            if existing is None:
                await self._table.submit([TableOperation(Operation.INSERT, row)])
            else:
                await self._table.submit([TableOperation(Operation.REPLACE, row, existing.etag)])
        except (AlreadyExists, PreconditionFailed, NotFound):
            return False
        return True

    async def checkpoint(
        self, history: History, stored: Sequence[StoredEvent], custom_status: str | None, *, if_match: str | None = None
    ) -> str | None:
        """Merge an episode into the row; returns its ETag. Raises LockLost when `if_match` is stale.

        A client that rewinds leaves the row at Pending; .NET lets it say so until the new end.
        """
        columns = rows.checkpoint_columns(
            [(each.event, each.url) for each in stored],
            execution_id=history.execution_id or "",
            hub=self._hub,
            now=self._now(),
            custom_status=custom_status,
        )
        if history.is_rewound and history.status is RuntimeStatus.RUNNING:
            columns["RuntimeStatus"] = RuntimeStatus.RUNNING.wire_name
        return await self._merge(history.instance_id, columns, if_match)

    async def _merge(self, instance_id: str, columns: rows.Columns, if_match: str | None) -> str | None:
        row = Row(escape_key(instance_id), "", columns)
        if if_match is None:
            return (await self._table.submit([TableOperation(Operation.INSERT_OR_MERGE, row)]))[0]
        try:
            return (await self._table.submit([TableOperation(Operation.MERGE, row, if_match)]))[0]
        except (PreconditionFailed, NotFound) as moved:
            raise LockLost(f'The status row of instance "{instance_id}" was changed by another host.') from moved

    async def terminate_unstarted(self, instance_id: str, terminated: ExecutionTerminated) -> bool:
        """End an instance that never ran. False: it has no row, so there is nothing to end."""
        output = terminated.input
        if output is not None:
            output = await self._column_text(instance_id, "Output", output)
        columns = rows.terminated_columns(output, updated_at=terminated.timestamp, now=self._now())
        return await self._merge_existing(instance_id, columns)

    async def mark_rewound(self, instance_id: str) -> None:
        await self._merge_existing(instance_id, rows.rewound_columns(self._now()))

    async def _merge_existing(self, instance_id: str, columns: rows.Columns) -> bool:
        row = Row(escape_key(instance_id), "", columns)
        try:
            await self._table.submit([TableOperation(Operation.MERGE, row, ANY_ETAG)])
        except NotFound:
            return False
        return True

    async def repair(self, history: History) -> bool:
        """Make the row say what the history says, if a crash kept it from being written.

        The row of a newer execution stays. Returns whether anything was wrong.
        """
        row = await self.row(history.instance_id)
        status, execution_id = history.status, history.execution_id
        if status is None or (row is not None and not _lags(row, execution_id, status)):
            return False
        started = next((event for event in history.events if isinstance(event, ExecutionStarted)), None)
        if started is None:  # a history without its beginning tells nothing that a row could say
            return False
        ended = next((event for event in reversed(history.events) if isinstance(event, ExecutionCompleted)), None)
        output = rows.output_text(ended) if ended else None
        if output is not None:
            output = await self._column_text(history.instance_id, "Output", output)
        updated_at = history.events[-1].timestamp
        columns = rows.repair_columns(
            started, ended, status=status, updated_at=updated_at, hub=self._hub, output=output
        )
        if row is None:
            columns["CustomStatus"] = rows.NULL_TEXT
        if (row is None or execution_of(row) != execution_id) and started.input is not None:
            columns["Input"] = await self._column_text(history.instance_id, "Input", started.input)
        await self._merge(history.instance_id, columns, None)
        return True

    async def _column_text(self, instance_id: str, column: str, text: str) -> str:
        """The text, or the URL of a blob with it if it is too large for a column."""
        if not too_large_for_column(text):
            return text
        _, url = await self._large.store_column(escape_key(instance_id), "", column, column, text)
        return url

    async def input_reference(self, started: ExecutionStarted) -> str | None:
        """Return the text of the Input column of a start: the input, or the URL of a blob that is written for it.

        Not for inputs that are so large that the start message goes to a blob; the column refers to that blob then.
        .NET stores inputs between the two limits after the message, so that the message is too early, and in a blob
        that it never reads.
        """
        if started.input is None:
            return None
        return await self._column_text(started.instance.instance_id, "Input", started.input)

    async def purge(self, instance_id: str) -> bool:
        """Delete the row; False if there was none."""
        row = Row(escape_key(instance_id), "", {})
        try:
            await self._table.submit([TableOperation(Operation.DELETE, row, ANY_ETAG)])
        except NotFound:
            return False
        return True

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def execution_of(row: Row) -> str | None:
    return _text(row.properties.get("ExecutionId"))


def status_of(row: Row) -> RuntimeStatus | None:
    return RuntimeStatus.from_wire_name(str(row.properties.get("RuntimeStatus")))


def created_at(row: Row) -> Instant:
    return _time(row.properties.get("CreatedTime")) or MIN_INSTANT


def scheduled_start(row: Row) -> Instant | None:
    return _time(row.properties.get("ScheduledStartTime"))


def generation_of(row: Row) -> int | None:
    found = row.properties.get("Generation")
    return found if isinstance(found, int) else None


def _lags(row: Row, execution_id: str | None, status: RuntimeStatus) -> bool:
    """Another execution in the row is newer if it is pending or has ended, older if it seems to run still."""
    if execution_of(row) == execution_id:
        return status_of(row) is not status
    return status_of(row) in (RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED, RuntimeStatus.CONTINUED_AS_NEW)


def _text(found: Value | None) -> str | None:
    return found if isinstance(found, str) else None


def _time(found: Value | None) -> Instant | None:
    return found if isinstance(found, Instant) else None


def _select(*, with_input: bool = True, with_output: bool = True) -> Sequence[str]:
    """Columns to ask for; none means all. Keys and ETag always come."""
    if with_input and with_output:
        return ()
    unwanted = {"Input"} if with_output else {"Output"} if with_input else {"Input", "Output"}
    wanted = tuple(column for column in _COLUMNS if column not in unwanted)
    return (*wanted, "InputBlobName") if with_input else wanted


def condition(query: InstanceQuery) -> Condition | None:
    """The filter of a query, its parts in .NET's order; None selects everything."""
    parts: list[Condition] = []
    if query.created_from is not None:
        parts.append(ge("CreatedTime", query.created_from))
    if query.created_to is not None:
        parts.append(le("CreatedTime", query.created_to))
    if query.statuses:
        names = sorted(status.wire_name for status in query.statuses)
        parts.append(_any([eq("RuntimeStatus", name) for name in names]))
    if query.entities_only or query.entity_name is not None:
        parts += _entities(query.entity_name)
    elif query.prefix:
        parts += _prefixed(escape_key(query.prefix))
    return _all(parts) if parts else None


def _entities(name: str | None) -> list[Condition]:
    low, high = ("@", "A") if name is None else (f"@{escape_key(name)}@", f"@{escape_key(name)}A")
    return [ge("PartitionKey", low), lt("PartitionKey", high)]


def _prefixed(prefix: str) -> list[Condition]:
    return [ge("PartitionKey", prefix), lt("PartitionKey", prefix[:-1] + _next_character(prefix[-1]))]


def _next_character(character: str) -> str:
    code = ord(character) + 1
    return chr(0xE000 if 0xD800 <= code < 0xE000 else min(code, 0x10FFFF))  # Surrogates alone cannot be asked for.


def _all(parts: Sequence[Condition]) -> Condition:
    joined = parts[0]
    for part in parts[1:]:
        joined &= part
    return joined


def _any(parts: Sequence[Condition]) -> Condition:
    joined = parts[0]
    for part in parts[1:]:
        joined |= part
    return joined
