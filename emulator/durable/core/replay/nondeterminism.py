"""Non-determinism: recorded actions that a replay does not produce, and the error texts of .NET.

Source: DurableTask.Core, src/DurableTask.Core/TaskOrchestrationContext.cs; docs/protocol/durable-orchestration.md 12.8.
"""

from __future__ import annotations

from emulator.durable.core.decisions import CreateTimer, Decision, ScheduleTask, SendEvent, StartSubOrchestration
from emulator.durable.core.events import EventSent, SubOrchestrationInstanceCreated, TaskScheduled, TimerCreated

RecordedAction = TaskScheduled | TimerCreated | SubOrchestrationInstanceCreated | EventSent
"""History events that record an action."""

# The texts become the instance's output, which users search for, so they are those of .NET byte for byte: missing
# parentheses and blanks, and two blanks in a row, included.

_INTRODUCTION = "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled"
_MISSING = "but the current replay execution hasn't (yet?) scheduled this task. "
_INSTEAD = "but the current orchestration replay instead"
_QUESTION = "Was a change made to the orchestrator code after this instance had already started running?"

# Names of .NET classes. Complete and StartNextGeneration are one class there.
_ACTION_TYPES = {
    ScheduleTask: "ScheduleTaskOrchestratorAction",
    CreateTimer: "CreateTimerOrchestratorAction",
    StartSubOrchestration: "CreateSubOrchestrationAction",
    SendEvent: "SendEventOrchestratorAction",
}


class NonDeterminism(Exception):
    """The history records an action that the replay does not produce. `str(error)` is .NET's text."""

    def __init__(self, recorded: RecordedAction, replayed: Decision | None) -> None:
        super().__init__(f"{_INTRODUCTION} {_difference(recorded, replayed)}{_QUESTION}")


def agrees(recorded: RecordedAction, replayed: Decision | None) -> bool:
    """Return whether the replay's decision is the recorded action: same kind and, without letter case, same name."""
    # Like .NET, nothing else is compared. Inputs and fire times may change between two versions of an app.
    match recorded:
        case TimerCreated():
            return isinstance(replayed, CreateTimer)
        case TaskScheduled():
            return isinstance(replayed, ScheduleTask) and _same_name(recorded.name, replayed.name)
        case SubOrchestrationInstanceCreated():
            return isinstance(replayed, StartSubOrchestration) and _same_name(recorded.name, replayed.name)
        case EventSent():
            return isinstance(replayed, SendEvent) and _same_name(recorded.name or "", replayed.name)


def _same_name(first: str, second: str) -> bool:
    return first.lower() == second.lower()


def _difference(recorded: RecordedAction, replayed: Decision | None) -> str:
    number = recorded.event_id
    kind = _ACTION_TYPES.get(type(replayed), "OrchestrationCompleteOrchestratorAction")
    match recorded, replayed:
        case TaskScheduled(name=name, version=version), None:
            return (
                f"an activity task with sequence ID {number} and name '{name}' (version '{version or ''}'), {_MISSING}"
            )
        case TaskScheduled(name=name), ScheduleTask(name=other):
            task = f"an activity task with sequence number {number} named '{name}'"
            return f"{task}, {_INSTEAD} scheduled an activity task named '{other}' with this sequence number.  "
        case TaskScheduled(name=name), _:
            task = f"an activity task with sequence number {number} named '{name}'"
            return f"{task}, {_INSTEAD} produced a {kind} action with this sequence number. "
        case TimerCreated(), None:
            return f"a timer task with sequence number {number} {_MISSING}"
        case TimerCreated(), _:
            task = f"a timer task with sequence number {number} named"
            return f"{task} {_INSTEAD} produced a {kind} action with this sequence number. "
        case SubOrchestrationInstanceCreated(), None:
            task = _sub_orchestration(recorded)
            return f"{task}, {_MISSING}"
        case SubOrchestrationInstanceCreated(), StartSubOrchestration(name=other):
            task = _sub_orchestration(recorded)
            return f"{task}, {_INSTEAD} scheduled a sub-orchestration task with name {other} at this sequence number. "
        case SubOrchestrationInstanceCreated(), _:
            task = _sub_orchestration(recorded)
            return f"{task}, {_INSTEAD} produced a {kind} action at this sequence number. "
        case EventSent(name=name, instance_id=target), None:
            task = (
                f"a send event task with sequence ID {number}, type 'EventSent' name '{name}', instance ID '{target}'"
            )
            return f"{task}, {_MISSING}"
        case EventSent(name=name, instance_id=target), SendEvent(name=other):
            task = (
                f"a send event task with sequence ID {number}, type 'EventSent', name '{name}', instance ID '{target}')"
            )
            return f"{task}, {_INSTEAD} scheduled a send event task with name {other}at this sequence number. "
        case EventSent(name=name, instance_id=target), _:
            task = (
                f"a send event task with sequence ID {number}, type 'EventSent', name '{name}', instance ID '{target}'"
            )
            return f"{task}, {_INSTEAD} scheduled a {kind} task at this sequence number. "


def _sub_orchestration(recorded: SubOrchestrationInstanceCreated) -> str:
    return (
        f"a sub-orchestration task with sequence ID {recorded.event_id} and name '{recorded.name}' "
        f"(version '{recorded.version or ''}', instance ID '{recorded.instance_id}')"
    )
