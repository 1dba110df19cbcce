"""Activity work items: call the function and make the TaskCompleted or TaskFailed message for the orchestration."""

from __future__ import annotations

from emulator.durable.core.events import TaskCompleted, TaskFailed, TaskScheduled
from emulator.durable.core.messages import TaskMessage
from emulator.durable.engine.services import EngineServices
from emulator.durable.executor import (
    ActivityFailed,
    ActivityRequest,
    ActivitySucceeded,
    WorkAborted,
    running_activity,
)
from emulator.durable.hub import ActivityWorkItem
from emulator.durable.tracing.hub_log import activity_label


def function_of(item: ActivityWorkItem) -> str:
    """Return the name of the activity function; for a message that is none, the type of its event."""
    event = item.message.event
    return event.name if isinstance(event, TaskScheduled) else type(event).__name__


def describe(item: ActivityWorkItem) -> str:
    """Name the activity function and its instance, for the log."""
    return activity_label(item.message.target.instance_id, function_of(item))


class ActivityRunner:
    """Runs activity work items (`run` of their `Processor`)."""

    def __init__(self, services: EngineServices) -> None:
        self._services = services

    async def run(self, item: ActivityWorkItem) -> TaskMessage:
        """Call the activity function and return the response message. Raises WorkAborted."""
        task, services = item.message.event, self._services
        if not isinstance(task, TaskScheduled):
            raise WorkAborted(f"a work item must contain a TaskScheduled, not a {type(task).__name__}")
        instance = item.message.target
        function = activity_label(instance.instance_id, task.name)
        services.lifecycle.started(function, task.input, task_id=task.event_id)
        request = ActivityRequest(instance=instance, task_id=task.event_id, name=task.name, input=task.input)
        token = running_activity.set(request)
        try:
            result = await self._act(request, task)
        finally:
            running_activity.reset(token)
        event: TaskCompleted | TaskFailed
        match result:
            case ActivitySucceeded():
                services.lifecycle.completed(function, result.result, task_id=task.event_id)
                event = TaskCompleted(timestamp=services.now(), task_scheduled_id=task.event_id, result=result.result)
            case ActivityFailed():
                services.lifecycle.failed(function, result.reason, task_id=task.event_id)
                event = TaskFailed(
                    timestamp=services.now(),
                    task_scheduled_id=task.event_id,
                    reason=result.reason,
                    details=result.details,
                )
        # `instance` includes the execution id of the orchestration that scheduled the task. If the orchestration has
        # continued as new meanwhile, the id lets the receiver drop this result: task ids begin at 0 in every
        # execution, so it would otherwise complete another task.
        return TaskMessage(event, instance)

    async def _act(self, request: ActivityRequest, task: TaskScheduled) -> ActivitySucceeded | ActivityFailed:
        spans, executor = self._services.spans, self._services.executor
        if spans is None:
            return await executor.act(request)
        with spans.activity(task, request.instance) as note_failure:
            result = await executor.act(request)
            if isinstance(result, ActivityFailed):
                note_failure(result.reason)
            return result
