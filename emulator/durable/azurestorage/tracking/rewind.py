"""Rewind: undo the failures in the history of a failed instance and its failed children, and say whom to wake.

No lock is taken, the sentinel is not touched: nobody else works on an instance that has failed.
Source: docs/protocol/task-hub-storage.md chapter 6.9 (durabletask: AzureTableTrackingStore.cs, RewindHistoryAsync).
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator.durable.azurestorage.names import escape_key
from emulator.durable.azurestorage.tracking.instances import InstanceTable
from emulator.durable.hub import InstanceNotFound
from emulator.storage.filters import Condition, eq
from emulator.storage.paging import query_rows
from emulator.storage.port import Operation, Row, Table, TableOperation, Value

_FAILED_TYPES = ("TaskFailed", "SubOrchestrationInstanceFailed")


async def rewind(instance_id: str, *, history: Table, instances: InstanceTable) -> Sequence[str]:
    """Change the rows of the instance and of its failed children; returns the ids that need a wake-up message.

    Can be repeated after a crash: rows that are rewound already are not found again. Raises InstanceNotFound.
    """
    return await _Rewind(history, instances).run(instance_id)


class _Rewind:
    def __init__(self, history: Table, instances: InstanceTable) -> None:
        self._history = history
        self._instances = instances

    async def run(self, instance_id: str) -> list[str]:
        partition = eq("PartitionKey", escape_key(instance_id))
        execution = partition & eq("ExecutionId", await self._current_execution(instance_id, partition))
        failed = [row async for row in query_rows(self._history, execution & _is_failure())]
        leaves: list[str] = []
        for row in failed:
            leaves += await self._undo(row, execution)
        await self._instances.mark_rewound(instance_id)
        return leaves or [instance_id]

    async def _current_execution(self, instance_id: str, partition: Condition) -> str:
        # .NET asks for the highest-numbered OrchestratorStarted, which may be left over from an older execution.
        # The sentinel knows better; only a history without one needs the other way.
        found = [row async for row in query_rows(self._history, partition & eq("RowKey", "sentinel"))]
        found = found or [
            row async for row in query_rows(self._history, partition & eq("EventType", "OrchestratorStarted"))
        ]
        if not found:
            raise InstanceNotFound(instance_id)
        return str(found[-1].properties["ExecutionId"])

    async def _undo(self, failed: Row, execution: Condition) -> list[str]:
        """Neutralise a failure and what led to it; returns the leaves below it."""
        leaves: list[str] = []
        match failed.properties.get("EventType"):
            case "TaskFailed":
                for row in await self._scheduled(failed, execution, "TaskScheduled"):
                    await self._neutralise(row)
            case "SubOrchestrationInstanceFailed":
                for row in await self._scheduled(failed, execution, "SubOrchestrationInstanceCreated"):
                    # It stays an event: the parent goes on waiting for this very child.
                    await self._replace(row, {"Reason": _reason(row)})
                    leaves += await self.run(str(row.properties["InstanceId"]))
        await self._neutralise(failed)
        return leaves

    async def _scheduled(self, failed: Row, execution: Condition, event_type: str) -> list[Row]:
        task_id = failed.properties.get("TaskScheduledId", 0)
        assert isinstance(task_id, int)
        where = execution & eq("EventId", task_id) & eq("EventType", event_type)
        return [row async for row in query_rows(self._history, where)]

    async def _neutralise(self, row: Row) -> None:
        await self._replace(row, {"Reason": _reason(row), "EventType": "GenericEvent"})

    async def _replace(self, row: Row, changes: dict[str, Value]) -> None:
        changed = Row(row.partition_key, row.row_key, {**row.properties, **changes})
        await self._history.submit([TableOperation(Operation.REPLACE, changed, row.etag)])


def _is_failure() -> Condition:
    ended = eq("OrchestrationStatus", "Failed") & eq("EventType", "ExecutionCompleted")
    task, child = (eq("EventType", name) for name in _FAILED_TYPES)
    return ended | task | child


def _reason(row: Row) -> str:
    return f"Rewound: {row.properties.get('EventType')!s}"
