"""Rewind: undo the failures in the histories of a failed instance and of its failed sub-orchestrations.

The client does this without a lock and without changing the sentinel, because no worker processes a failed instance.
Source: docs/protocol/task-hub-storage.md chapter 6.9 (durabletask: AzureTableTrackingStore.cs, RewindHistoryAsync).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from emulator.durable.azurestorage.names import SENTINEL, escape_key
from emulator.durable.azurestorage.tracking.history import History, HistoryTable
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.azurestorage.tracking.rows import UnreadableRow
from emulator.durable.hub import InstanceNotFound, LockLost
from emulator.storage.filters import Condition, eq
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, Operation, PreconditionFailed, Row, Table, TableOperation, Value


async def rewind(instance_id: str, *, history: Table, instances: InstanceTable) -> Sequence[str]:
    """Change the rows of the instance and of its failed children. Returns the instances that need a wake-up message.

    It can be repeated after a crash, because rewound rows are no longer selected. Raises InstanceNotFound, and
    UnreadableRow for a damaged row; the rows before it may have been changed then.
    """
    return await _Rewind(history, instances).run(instance_id)


async def undo_actions(history: HistoryTable, stored: History, actions: Collection[int]) -> None:
    """Undo the events that scheduled these activities and children, so that the next episode schedules them again.

    `stored`: the history of the instance, which has not ended. The caller wakes it. Raises LockLost if the history was
    changed since it was loaded.
    """
    partition_key, etag = escape_key(stored.instance_id), stored.etag
    scheduling = eq("EventType", "TaskScheduled") | eq("EventType", "SubOrchestrationInstanceCreated")
    execution = eq("PartitionKey", partition_key) & eq("ExecutionId", stored.execution_id or "")
    rows = [row async for row in query_rows(history.table, execution & scheduling)]
    for row in rows:
        if row.properties.get("EventId") not in actions:
            continue
        operations = [TableOperation(Operation.REPLACE, _undone(row), row.etag)]
        # Unlike a failed instance, this one may be running. With another ETag of the sentinel, an episode that began
        # with these events cannot be stored; stored and cached, it would wait for the lost results again.
        if etag is not None:
            operations.append(TableOperation(Operation.MERGE, Row(partition_key, SENTINEL, {}), etag))
        try:
            new_etags = await history.table.submit(operations)
        except (PreconditionFailed, NotFound) as refused:
            raise LockLost(f'The history of instance "{stored.instance_id}" was changed meanwhile.') from refused
        etag = etag and new_etags[-1]


class _Rewind:
    def __init__(self, history: Table, instances: InstanceTable) -> None:
        self._history = history
        self._instances = instances
        self._entered: set[str] = set()

    async def run(self, instance_id: str) -> list[str]:
        # A damaged row can name the instance itself, or its parent, as the child.
        if instance_id in self._entered:
            return []
        self._entered.add(instance_id)
        partition = eq("PartitionKey", escape_key(instance_id))
        execution = partition & eq("ExecutionId", await self.current_execution(instance_id, partition))
        ended = eq("OrchestrationStatus", "Failed") & eq("EventType", "ExecutionCompleted")
        task, child = eq("EventType", "TaskFailed"), eq("EventType", "SubOrchestrationInstanceFailed")
        failed = [row async for row in query_rows(self._history, execution & (ended | task | child))]
        leaves: list[str] = []
        for row in failed:
            leaves += await self.undo(instance_id, row, execution)
        await self._instances.mark_rewound(instance_id)
        # A parent is woken by the result of its child. Only instances without failed children need a message.
        return leaves or [instance_id]

    async def current_execution(self, instance_id: str, partition: Condition) -> str:
        # .NET uses the OrchestratorStarted with the highest number, which may belong to an older, longer execution. The
        # sentinel names the current execution; .NET's way remains for a history without a sentinel.
        rows = [row async for row in query_rows(self._history, partition & eq("RowKey", SENTINEL))]
        rows = rows or [
            row async for row in query_rows(self._history, partition & eq("EventType", "OrchestratorStarted"))
        ]
        if not rows:
            raise InstanceNotFound(instance_id)
        return str(_column(rows[-1], "ExecutionId", str))

    async def undo(self, instance_id: str, failed: Row, execution: Condition) -> list[str]:
        """Undo a failure and the event that scheduled the task. Returns the instances below it that need a wake-up."""
        leaves: list[str] = []
        match failed.properties.get("EventType"):
            case "TaskFailed":
                for row in await self.scheduling(failed, execution, "TaskScheduled"):
                    await self.undo_event(row)
            case "SubOrchestrationInstanceFailed":
                for row in await self.scheduling(failed, execution, "SubOrchestrationInstanceCreated"):
                    # This event is kept, because the parent continues to wait for the same child.
                    await self.replace(row, _with_reason(row))
                    try:
                        leaves += await self.run(str(_column(row, "InstanceId", str)))
                    except InstanceNotFound:
                        # The child was purged. The parent is woken to call it again, as it does with an activity.
                        for changed in await self.scheduling(failed, execution, "SubOrchestrationInstanceCreated"):
                            await self.undo_event(changed)
                        leaves.append(instance_id)
        await self.undo_event(failed)
        return leaves

    async def scheduling(self, failed: Row, execution: Condition, event_type: str) -> list[Row]:
        task_id = _column(failed, "TaskScheduledId", int) if "TaskScheduledId" in failed.properties else 0
        where = execution & eq("EventId", task_id) & eq("EventType", event_type)
        return [row async for row in query_rows(self._history, where)]

    async def undo_event(self, row: Row) -> None:
        await self.replace(row, _undone(row))

    async def replace(self, row: Row, changed: Row) -> None:
        # Under the row's ETag, so that two clients that rewind at the same time cannot undo each other's changes.
        await self._history.submit([TableOperation(Operation.REPLACE, changed, row.etag)])


def _column(row: Row, name: str, kind: type[Value]) -> Value:
    """Return the value of a column. Raises UnreadableRow if it is missing or has another type."""
    value = row.properties.get(name)
    # Not isinstance: bool is a subclass of int.
    if type(value) is not kind:
        raise UnreadableRow(
            f"History row {row.row_key} of partition {row.partition_key} cannot be rewound: the column {name} has the "
            f"value {value!r}."
        )
    return value


def _with_reason(row: Row) -> Row:
    # Only this text shows the former type of the event; .NET writes it, too.
    reason = f"Rewound: {row.properties.get('EventType')!s}"
    return Row(row.partition_key, row.row_key, {**row.properties, "Reason": reason})


def _undone(row: Row) -> Row:
    """Return the row as a GenericEvent, which the replay ignores."""
    marked = _with_reason(row)
    return Row(row.partition_key, row.row_key, {**marked.properties, "EventType": "GenericEvent"})
