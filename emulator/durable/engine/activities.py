"""Activity work items: run the function, send its result to the orchestration that waits for it."""

from __future__ import annotations

from emulator.clock import Clock
from emulator.durable.core.events import HistoryEvent, TaskCompleted, TaskFailed, TaskScheduled
from emulator.durable.core.messages import TaskMessage
from emulator.durable.executor import ActivityFailed, ActivityRequest, ActivitySucceeded, Executor, WorkAborted
from emulator.durable.hub import ActivityWorkItem
from emulator.durable.tracing.lifecycle import Lifecycle
from emulator.durable.tracing.writing import activity
from emulator.instant import Instant


def describe(item: ActivityWorkItem) -> str:
    """For the log."""
    event = item.message.event
    name = event.name if isinstance(event, TaskScheduled) else type(event).__name__
    return activity(item.message.target.instance_id, name)


class ActivityRunner:
    """Runs work items; see the loop's Processor."""

    def __init__(self, executor: Executor, *, clock: Clock, lifecycle: Lifecycle) -> None:
        self._executor = executor
        self._clock = clock
        self._lifecycle = lifecycle

    async def run(self, item: ActivityWorkItem) -> TaskMessage:
        task = item.message.event
        if not isinstance(task, TaskScheduled):
            raise WorkAborted(f"a work item must hold a TaskScheduled, not a {type(task).__name__}")
        instance = item.message.target
        function = activity(instance.instance_id, task.name)
        self._lifecycle.started(function, task.input, task_id=task.event_id)
        result = await self._executor.act(
            ActivityRequest(instance=instance, task_id=task.event_id, name=task.name, input=task.input)
        )
        self._log_end(function, task.event_id, result)
        # The execution id stays: a result for an older generation must not reach the current one.
        return TaskMessage(self._response(task.event_id, result), instance)

    def _response(self, task_id: int, result: ActivitySucceeded | ActivityFailed) -> HistoryEvent:
        now = Instant.of(self._clock.now())
        match result:
            case ActivitySucceeded():
                return TaskCompleted(timestamp=now, task_scheduled_id=task_id, result=result.result)
            case ActivityFailed():
                return TaskFailed(
                    timestamp=now, task_scheduled_id=task_id, reason=result.reason, details=result.details
                )

    def _log_end(self, function: str, task_id: int, result: ActivitySucceeded | ActivityFailed) -> None:
        match result:
            case ActivitySucceeded():
                self._lifecycle.completed(function, result.result, task_id=task_id)
            case ActivityFailed():
                self._lifecycle.failed(function, result.reason, task_id=task_id)
