"""The texts for a history that the orchestrator's code no longer produces.

Source: DurableTask.Core, src/DurableTask.Core/TaskOrchestrationContext.cs, oddities of wording and blanks included:
the text becomes the instance's output, where users search for it.
"""

from __future__ import annotations

from emulator.durable.core.decisions import CreateTimer, Decision, ScheduleTask, SendEvent, StartSubOrchestration
from emulator.durable.core.events import EventSent, SubOrchestrationInstanceCreated, TaskScheduled, TimerCreated

RecordedAction = TaskScheduled | TimerCreated | SubOrchestrationInstanceCreated | EventSent
"""The events that record a decision."""

_INTRODUCTION = "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled"
_MISSING = "but the current replay execution hasn't (yet?) scheduled this task. "
_INSTEAD = "but the current orchestration replay instead"
_QUESTION = "Was a change made to the orchestrator code after this instance had already started running?"


class NonDeterminism(Exception):
    """`str(error)` is the text of .NET."""

    def __init__(self, recorded: RecordedAction, replayed: Decision | None) -> None:
        super().__init__(f"{_INTRODUCTION} {_difference(recorded, replayed)}{_QUESTION}")


def agrees(recorded: RecordedAction, replayed: Decision | None) -> bool:
    """Whether the decision of the replay is the recorded one: same kind and, without case, same name."""
    match recorded:
        case TimerCreated():
            return isinstance(replayed, CreateTimer)
        case TaskScheduled():
            return isinstance(replayed, ScheduleTask) and _same(recorded.name, replayed.name)
        case SubOrchestrationInstanceCreated():
            return isinstance(replayed, StartSubOrchestration) and _same(recorded.name, replayed.name)
        case EventSent():
            return isinstance(replayed, SendEvent) and _same(recorded.name or "", replayed.name)


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _difference(recorded: RecordedAction, replayed: Decision | None) -> str:
    match recorded:
        case TaskScheduled():
            return _task(recorded, replayed)
        case TimerCreated():
            return _timer(recorded, replayed)
        case SubOrchestrationInstanceCreated():
            return _sub_orchestration(recorded, replayed)
        case EventSent():
            return _event(recorded, replayed)


def _task(recorded: TaskScheduled, replayed: Decision | None) -> str:
    number, name = recorded.event_id, recorded.name
    if replayed is None:
        return (
            f"an activity task with sequence ID {number} and name '{name}' (version '{recorded.version or ''}'), "
            f"{_MISSING}"
        )
    numbered = f"an activity task with sequence number {number} named '{name}', {_INSTEAD}"
    if isinstance(replayed, ScheduleTask):
        return f"{numbered} scheduled an activity task named '{replayed.name}' with this sequence number.  "
    return f"{numbered} produced a {_kind(replayed)} action with this sequence number. "


def _timer(recorded: TimerCreated, replayed: Decision | None) -> str:
    numbered = f"a timer task with sequence number {recorded.event_id}"
    if replayed is None:
        return f"{numbered} {_MISSING}"
    return f"{numbered} named {_INSTEAD} produced a {_kind(replayed)} action with this sequence number. "


def _sub_orchestration(recorded: SubOrchestrationInstanceCreated, replayed: Decision | None) -> str:
    numbered = (
        f"a sub-orchestration task with sequence ID {recorded.event_id} and name '{recorded.name}' "
        f"(version '{recorded.version or ''}', instance ID '{recorded.instance_id}'), "
    )
    if replayed is None:
        return f"{numbered}{_MISSING}"
    if isinstance(replayed, StartSubOrchestration):
        other = f"scheduled a sub-orchestration task with name {replayed.name}"
    else:
        other = f"produced a {_kind(replayed)} action"
    return f"{numbered}{_INSTEAD} {other} at this sequence number. "


def _event(recorded: EventSent, replayed: Decision | None) -> str:
    number, name, target = recorded.event_id, recorded.name, recorded.instance_id
    if replayed is None:
        return (
            f"a send event task with sequence ID {number}, type 'EventSent' name '{name}', "
            f"instance ID '{target}', {_MISSING}"
        )
    numbered = f"a send event task with sequence ID {number}, type 'EventSent', name '{name}', instance ID '{target}'"
    if isinstance(replayed, SendEvent):
        return f"{numbered}), {_INSTEAD} scheduled a send event task with name {replayed.name}at this sequence number. "
    return f"{numbered}, {_INSTEAD} scheduled a {_kind(replayed)} task at this sequence number. "


def _kind(decision: Decision) -> str:
    """The .NET class name of a decision."""
    match decision:
        case ScheduleTask():
            return "ScheduleTaskOrchestratorAction"
        case CreateTimer():
            return "CreateTimerOrchestratorAction"
        case StartSubOrchestration():
            return "CreateSubOrchestrationAction"
        case SendEvent():
            return "SendEventOrchestratorAction"
        case _:
            return "OrchestrationCompleteOrchestratorAction"
