"""Recognition of messages whose events an execution already has in its history, and of messages for other executions.

Every message may be delivered more than once, and a result can arrive after its orchestration has continued as new.
The task hub uses these rules to delete such messages, and the episode uses them to leave their events out.
Source: DurableTask.Core, TaskOrchestrationDispatcher.cs, ReconcileMessagesWithState; docs/protocol/task-hub-storage.md
chapter 6.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator.durable.core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)
from emulator.durable.core.messages import TaskMessage

_EXTERNAL_EVENTS = (EventRaised, ExecutionTerminated, ExecutionSuspended, ExecutionResumed, GenericEvent)

Key = tuple[object, ...]


class KnownResults:
    """The results and external events of one execution, from its history and from the messages of this episode."""

    def __init__(self, history: Sequence[HistoryEvent]) -> None:
        self._history = history
        self._results = {key for event in history if (key := _result_key(event)) is not None}
        # Collected when it is first needed. Most episodes have no redelivered external event, and a history may have
        # ten thousands of events.
        self._external_events: set[Key] | None = None

    def has(self, event: HistoryEvent, *, redelivered: bool = False) -> bool:
        """Whether the execution already has this event.

        `redelivered`: the message was delivered before, so the stored event may come from it.
        """
        key = _result_key(event)
        if key is not None:
            return key in self._results
        # Unlike a result, an external event can be sent twice on purpose with equal content, so equality alone does
        # not make it a duplicate.
        if not redelivered:
            return False
        if self._external_events is None:
            self._external_events = {
                _external_key(stored) for stored in self._history if isinstance(stored, _EXTERNAL_EVENTS)
            }
        return _external_key(event) in self._external_events

    def add(self, event: HistoryEvent) -> None:
        """Note a result that becomes part of the history in this episode.

        External events are not noted: two of them in one episode are two messages.
        """
        key = _result_key(event)
        if key is not None:
            self._results.add(key)


def is_for_execution(message: TaskMessage, execution_id: str | None) -> bool:
    """Whether a message is for this execution of its instance; one without an execution id is for all of them."""
    return message.target.execution_id in (None, "", execution_id)


def _result_key(event: HistoryEvent) -> Key | None:
    """A key that is equal for two results of the same task, timer or sub-orchestration; None: not a result."""
    match event:
        # Success and failure have the same key: an activity that runs twice, because its host was killed, may succeed
        # once and fail once. The first result counts. .NET records both if they are in one batch.
        case TaskCompleted() | TaskFailed():
            return TaskCompleted, event.task_scheduled_id
        case SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed():
            return SubOrchestrationInstanceCompleted, event.task_scheduled_id
        case TimerFired() if event.timer_id >= 0:
            # Other backends of the Durable Task Framework use one negative timer id several times in an execution.
            return TimerFired, event.timer_id
        case _:
            return None


def _external_key(event: HistoryEvent) -> Key:
    if isinstance(event, EventRaised):
        # The name and content, because the times of .NET clients on one machine can be equal.
        return event.timestamp, event.name, event.input
    return event.timestamp, type(event)
