"""The Instances table: one status row per instance id.

Source: docs/protocol/task-hub-storage.md chapter 4 (durabletask: AzureTableTrackingStore.cs,
OrchestrationInstanceStatusQueryCondition.cs).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import and_, or_

from emulator.clock import Clock
from emulator.durable.azurestorage.large import (
    LargePayloads,
    blob_name_of,
    too_large_for_column,
)
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.names import escape_key, unescape_key
from emulator.durable.azurestorage.tracking import rows
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.core.events import ExecutionStarted, ExecutionTerminated, Tags
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.durable.hub import InstancePage, InstanceQuery, InstanceStatus, LockLost
from emulator.errors import EmulatorError
from emulator.instant import MIN_INSTANT, Instant
from emulator.logs import get_logger
from emulator.polling.log_once import LogOnce, short_reason
from emulator.storage.filters import Condition, eq, ge, le, lt
from emulator.storage.port import (
    ANY_ETAG,
    AlreadyExists,
    NotFound,
    Operation,
    PreconditionFailed,
    Row,
    StorageError,
    Table,
    TableOperation,
    Value,
)

_log = get_logger(__name__)

_COLUMNS = (
    "ExecutionId",
    "ParentInstanceId",
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

# A row with one of these belongs to an execution that ran before the one in the history. A row with another status
# belongs to a newer execution, which is pending or has ended.
_REPLACED_BY_NEXT = (RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED, RuntimeStatus.CONTINUED_AS_NEW)


class InstanceTable:
    """The `{hub}Instances` table of a task hub.

    `fetch_large`: status queries download large inputs and outputs from their blobs. Otherwise they return the URLs.
    """

    def __init__(self, table: Table, large: LargePayloads, *, hub: str, clock: Clock, fetch_large: bool) -> None:
        self._table = table
        self._large = large
        self._hub = hub
        self._clock = clock
        self._fetch_large = fetch_large
        self._reported = LogOnce()

    # Reading -------------------------------------------------------------------------------------------------

    async def row(self, instance_id: str) -> Row | None:
        """Return the row without its input, which may be large, or None."""
        try:
            return await self._table.read(escape_key(instance_id), "", select=_select(with_input=False))
        except NotFound:
            return None

    async def status(self, instance_id: str, *, with_input: bool = True) -> InstanceStatus | None:
        """Return the status with output and, if asked for, input; None for an unknown instance."""
        try:
            row = await self._table.read(escape_key(instance_id), "", select=_select(with_input=with_input))
        except NotFound:
            return None
        return await self._status(row)

    async def query(self, query: InstanceQuery) -> InstancePage:
        """Return one page of instances, in the order of the partition keys."""
        page = await self._table.page(
            condition(query),
            select=_select(with_input=query.with_input, with_output=query.with_output),
            # The service accepts page sizes from 1 to 1000.
            limit=min(max(query.limit, 1), 1000),
            continuation=query.continuation,
        )
        return InstancePage([await self._status(row) for row in page.rows], page.continuation)

    async def _status(self, row: Row) -> InstanceStatus:
        columns = row.properties
        return InstanceStatus(
            instance_id=unescape_key(row.partition_key),
            execution_id=_text(columns.get("ExecutionId")),
            # Hosts of extension 3.15 do not write the column.
            parent_instance_id=_text(columns.get("ParentInstanceId")) or None,
            # A host may have been killed between the history and the row of a sub-orchestration's first episode. The
            # next episode's columns do not include the name.
            name=_text(columns.get("Name")) or "",
            # None for an unknown name: one unreadable row must not fail a whole list.
            runtime_status=RuntimeStatus.from_wire_name(str(columns.get("RuntimeStatus"))),
            created_at=_time(columns.get("CreatedTime")) or MIN_INSTANT,
            last_updated_at=_time(columns.get("LastUpdatedTime")) or MIN_INSTANT,
            completed_at=_time(columns.get("CompletedTime")),
            version=_text(columns.get("Version")),
            input=await self._input(row),
            output=await self._resolved(_text(columns.get("Output"))),
            custom_status=_text(columns.get("CustomStatus")),
            generation=generation_of(row) or 0,
            tags=self._tags(row),
            scheduled_start_at=scheduled_start(row),
        )

    def _tags(self, row: Row) -> Tags | None:
        try:
            return rows.read_tags(row)
        except rows.UnreadableRow as error:
            self._report(row, error)
            return None

    def _report(self, row: Row, error: EmulatorError) -> None:
        """Log what of a row is left out of status queries. One unreadable row must not fail a whole list."""
        if self._reported.is_first(row.partition_key, str(error)):
            _log.warning(
                'Instance "%s" is shown without a part of its status row: %s',
                unescape_key(row.partition_key),
                short_reason(error),
            )

    async def _input(self, row: Row) -> str | None:
        text = _text(row.properties.get("Input"))
        blob = _text(row.properties.get("InputBlobName"))
        if text == "" and blob and self._fetch_large:
            # For inputs of 30 to 45 KB .NET's client stores an empty input and the name of a blob, which .NET never
            # reads. If the blob cannot be read, the input stays empty as in .NET, so that a list does not fail.
            try:
                return await self._large.load(blob)
            except StorageError as error:
                self._report(row, error)
                return ""
        resolved = await self._resolved(text)
        # If the start message was too large for the queue, the column refers to the blob of the whole message.
        if text is not None and resolved != text and (blob_name_of(text) or "").endswith("ExecutionStarted.json.gz"):
            try:
                message = wire.decode(resolved or "").message
            except wire.UnreadableMessage as error:
                self._report(row, error)
                return text
            return message.event.input if message and isinstance(message.event, ExecutionStarted) else None
        return resolved

    async def _resolved(self, text: str | None) -> str | None:
        return text if text is None or not self._fetch_large else await self._large.resolve(text)

    # Writing -------------------------------------------------------------------------------------------------

    async def create(self, started: ExecutionStarted, *, existing: Row | None, status_input: str | None) -> bool:
        """Write the Pending row of a start. Returns False if the row was created or changed meanwhile.

        `existing` is the row to replace, as it was read before. `status_input` is the input, or the URL of its blob.
        """
        columns = rows.pending_columns(started, hub=self._hub, now=self._now(), status_input=status_input)
        row = Row(escape_key(started.instance.instance_id), "", columns)
        try:
            if existing is None:
                await self._table.submit([TableOperation(Operation.INSERT, row)])
            else:
                # Replaced and not merged: the output and other columns of the old execution have to disappear.
                await self._table.submit([TableOperation(Operation.REPLACE, row, existing.etag)])
        except (AlreadyExists, PreconditionFailed, NotFound):
            # Another client or worker was faster. The worker decides which of the two starts is executed.
            return False
        return True

    async def checkpoint(
        self,
        history: History,
        stored: Sequence[rows.StoredEvent],
        custom_status: str | None,
        *,
        if_match: str | None = None,
    ) -> str | None:
        """Merge an episode into the row and return its new ETag.

        Raises LockLost if `if_match` is given and no longer the ETag of the row.
        """
        columns = rows.checkpoint_columns(
            stored,
            execution_id=history.execution_id or "",
            parent_id=rows.parent_id_of(history.started) if history.started else "",
            status=history.status,
            hub=self._hub,
            now=self._now(),
            custom_status=custom_status,
        )
        # The client that rewinds sets the status to Pending, and no event of the next episodes changes it. .NET shows
        # Pending until the new end.
        if history.is_rewound and history.status is RuntimeStatus.RUNNING:
            columns["RuntimeStatus"] = RuntimeStatus.RUNNING.wire_name
        if history.episodes == 2 and history.started is not None:
            # The host of the first episode may have been killed before it wrote the row, which then has no name.
            columns = rows.start_columns(history.started) | columns
        return await self._merge(history.instance_id, columns, if_match)

    async def _merge(self, instance_id: str, columns: rows.Columns, if_match: str | None) -> str | None:
        row = Row(escape_key(instance_id), "", columns)
        # By default the row needs no ETag: the sentinel of the history has already decided which host may write.
        if if_match is None:
            return (await self._table.submit([TableOperation(Operation.INSERT_OR_MERGE, row)]))[0]
        try:
            return (await self._table.submit([TableOperation(Operation.MERGE, row, if_match)]))[0]
        except (PreconditionFailed, NotFound) as moved:
            raise LockLost(_moved_row(instance_id)) from moved

    async def terminate_unstarted(self, instance_id: str, terminated: ExecutionTerminated) -> bool:
        """Set the status of an instance that has not run to Terminated. Returns False if it has no row."""
        output = terminated.input
        if output is not None:
            output = await self._column_text(instance_id, "Output", output)
        columns = rows.terminated_columns(output, updated_at=terminated.timestamp, now=self._now())
        return await self._merge_existing(instance_id, columns)

    async def mark_rewound(self, instance_id: str) -> None:
        """Set the status of a rewound instance to Pending."""
        await self._merge_existing(instance_id, rows.rewound_columns(self._now()))

    async def _merge_existing(self, instance_id: str, columns: rows.Columns) -> bool:
        row = Row(escape_key(instance_id), "", columns)
        # A merge and not an upsert: an instance that was purged meanwhile must not get a row without a name.
        try:
            await self._table.submit([TableOperation(Operation.MERGE, row, ANY_ETAG)])
        except NotFound:
            return False
        return True

    async def knows(self, history: History) -> bool:
        """Return whether there is a row of this execution, which has just begun; if not, the instance was purged.

        A client's start is accepted only if the row names its execution. Sub-orchestrations and entities have no row
        before their first episode, so it is not known of them.
        """
        started = history.started
        if started is None or started.parent is not None or is_entity(history.instance_id):
            return True
        row = await self.row(history.instance_id)
        return row is not None and execution_of(row) == history.execution_id

    async def is_outdated(self, history: History) -> bool:
        """Return whether `repair` would change the row."""
        return _lags_behind(await self.row(history.instance_id), history, None)

    async def repair(self, history: History, stored: HistoryTable, custom_status: str | None = None) -> bool:
        """Update the row from the history if a crash prevented its last update. Returns whether it was outdated.

        `stored`: the table of the history. `custom_status`: the one that the history implies; None leaves it as it is.
        The row of a newer execution is not changed. Raises LockLost if the history or the row was changed meanwhile.
        """
        row = await self.row(history.instance_id)
        status, started, execution_id = history.status, history.started, history.execution_id or ""
        if status is None or started is None or not _lags_behind(row, history, custom_status):
            return False
        columns = rows.repair_columns(
            history.events,
            execution_id=execution_id,
            parent_id=rows.parent_id_of(started),
            status=status,
            hub=self._hub,
        )
        if custom_status is not None or row is None:
            columns["CustomStatus"] = custom_status or rows.NULL_TEXT
        if row is not None and execution_of(row) == execution_id and "Name" in row.properties:
            # The row has the input already, as a text or as the URL of a blob.
            columns.pop("Input", None)
        for column in ("Input", "Output"):
            if isinstance(text := columns.get(column), str):
                columns[column] = await self._column_text(history.instance_id, column, text)
        # After the row was read: this host may have been suspended since it loaded the history, and the row may be that
        # of a later episode of another host. Its ETag tells of what is written from now on.
        if not await stored.is_latest(history):
            raise LockLost(f'The history of instance "{history.instance_id}" was changed by another host.')
        repaired = Row(escape_key(history.instance_id), "", columns)
        operation = Operation.INSERT if row is None else Operation.MERGE
        try:
            await self._table.submit([TableOperation(operation, repaired, None if row is None else row.etag)])
        except (AlreadyExists, PreconditionFailed, NotFound) as moved:
            raise LockLost(_moved_row(history.instance_id)) from moved
        return True

    async def _column_text(self, instance_id: str, column: str, text: str) -> str:
        """Return the text, or the URL of a new blob with the text if it is too large for a column."""
        if not too_large_for_column(text):
            return text
        _, url = await self._large.store_column(escape_key(instance_id), "", column, column, text)
        return url

    async def input_reference(self, started: ExecutionStarted) -> str | None:
        """Return the text of the Input column of a start: the input, or the URL of a blob that is written for it.

        If the input is so large that the start message goes to a blob, the column refers to that blob instead, and this
        method is not called. .NET writes an input between the two limits after the message, so that the message is too
        early, and to a blob that it never reads.
        """
        if started.input is None:
            return None
        return await self._column_text(started.instance.instance_id, "Input", started.input)

    async def purge(self, instance_id: str, *, if_match: str = ANY_ETAG) -> bool:
        """Delete the row. Returns False if there was none, or one with another ETag."""
        row = Row(escape_key(instance_id), "", {})
        try:
            await self._table.submit([TableOperation(Operation.DELETE, row, if_match)])
        except (NotFound, PreconditionFailed):
            return False
        return True

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def _lags_behind(row: Row | None, history: History, custom_status: str | None) -> bool:
    """Return whether a crash prevented the last update of a row, or a host that had lost the instance overwrote it."""
    if history.status is None or history.started is None:
        return False
    if row is None:
        return True
    if execution_of(row) != history.execution_id:
        return status_of(row) in _REPLACED_BY_NEXT
    # A row without a name was written by a later episode than the one whose row is missing. A row with an earlier
    # time was written late, by a host that had lost the instance.
    return (
        "Name" not in row.properties
        or status_of(row) is not history.status
        or updated_at(row) < history.events[-1].timestamp
        or custom_status not in (None, row.properties.get("CustomStatus"))
    )


def _moved_row(instance_id: str) -> str:
    return f'The status row of instance "{instance_id}" was changed by another host.'


def execution_of(row: Row) -> str | None:
    return _text(row.properties.get("ExecutionId"))


def status_of(row: Row) -> RuntimeStatus | None:
    return RuntimeStatus.from_wire_name(str(row.properties.get("RuntimeStatus")))


def created_at(row: Row) -> Instant:
    return _time(row.properties.get("CreatedTime")) or MIN_INSTANT


def updated_at(row: Row) -> Instant:
    return _time(row.properties.get("LastUpdatedTime")) or MIN_INSTANT


def scheduled_start(row: Row) -> Instant | None:
    return _time(row.properties.get("ScheduledStartTime"))


def generation_of(row: Row) -> int | None:
    generation = row.properties.get("Generation")
    return generation if isinstance(generation, int) else None


# Other programs may have written the row, so a column of another type counts as missing.
def _text(value: Value | None) -> str | None:
    return value if isinstance(value, str) else None


def _time(value: Value | None) -> Instant | None:
    return value if isinstance(value, Instant) else None


def _select(*, with_input: bool = True, with_output: bool = True) -> Sequence[str]:
    """Return the columns to request; none means all. Keys and ETag are always returned."""
    if with_input and with_output:
        return ()
    unwanted = {"Input"} if with_output else {"Output"} if with_input else {"Input", "Output"}
    wanted = tuple(column for column in _COLUMNS if column not in unwanted)
    # Where .NET's client has hidden an input, see InstanceTable._input.
    return (*wanted, "InputBlobName") if with_input else wanted


def condition(query: InstanceQuery) -> Condition | None:
    """Return the filter of a query, its parts in .NET's order, or None if it selects all rows."""
    parts: list[Condition] = []
    if query.created_from is not None:
        parts.append(ge("CreatedTime", query.created_from))
    if query.created_to is not None:
        parts.append(le("CreatedTime", query.created_to))
    if query.statuses:
        # Sorted, because the same query should always send the same filter.
        names = sorted(status.wire_name for status in query.statuses)
        parts.append(reduce(or_, (eq("RuntimeStatus", name) for name in names)))
    if query.entity_name is not None:
        # "A" is the character after "@", so this is the range of all keys that begin with the prefix.
        prefix = f"@{escape_key(query.entity_name)}"
        parts += [ge("PartitionKey", f"{prefix}@"), lt("PartitionKey", f"{prefix}A")]
    elif query.entities_only:
        parts += [ge("PartitionKey", "@"), lt("PartitionKey", "A")]
    elif query.prefix:
        prefix = escape_key(query.prefix)
        code = ord(prefix[-1]) + 1
        # Half of a surrogate pair is not a valid character in a filter; U+E000 is the first character behind them.
        following = chr(0xE000 if 0xD800 <= code < 0xE000 else min(code, 0x10FFFF))
        parts += [ge("PartitionKey", prefix), lt("PartitionKey", prefix[:-1] + following)]
    return reduce(and_, parts) if parts else None
