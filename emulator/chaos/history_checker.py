"""History checker: says for each instance of a task hub whether what is stored follows the rules of Durable Functions.

    violations = await check_hub(account, "MyHub", clock)
    print(report(violations))

It needs only the storage of the hub, so it also checks hubs of .NET hosts, and hubs that hosts are working on
(`settled=False`). `hub_snapshot` reads the hub; the rules are functions of the snapshot.
Source: docs/protocol/task-hub-storage.md chapters 3, 4 and 6.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta

from emulator.chaos.entity_rules import EntityProblems, entity_violations, status_of
from emulator.chaos.hub_snapshot import HubSnapshot, StoredEvent, StoredInstance, read_hub
from emulator.chaos.violations import Rule, Violation
from emulator.clock import Clock
from emulator.durable.azurestorage.names import history_row_key
from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.durable.core.state import FIRE_AND_FORGET
from emulator.instant import Instant
from emulator.storage.port import StorageAccount, Value

# A timer that is due so recently may still be on its way.
_TIMER_TOLERANCE = timedelta(minutes=1)


async def check_hub(
    account: StorageAccount,
    hub: str,
    clock: Clock,
    *,
    settled: bool = True,
    ignore: Collection[Rule] = (),
    entity_problems: EntityProblems | None = None,
    tracking: StorageAccount | None = None,
    prefix: str | None = None,
) -> list[Violation]:
    """Return the broken rules of the task hub `hub`, by instance id.

    `settled`: nothing more will happen without a client or a timer, so what is missing is lost. `ignore`: rules not to
    check, such as `DOTNET_REPETITIONS`. `entity_problems`: the app's own rule about the states of its entities.
    `tracking`, `prefix`: account and table name prefix of a separate tracking store. Raises StorageUnreachable.
    """
    snapshot = await read_hub(account, hub, clock, tracking=tracking, prefix=prefix)
    return [
        violation
        for violation in snapshot_violations(snapshot, settled=settled, entity_problems=entity_problems)
        if violation.rule not in ignore
    ]


def snapshot_violations(
    hub: HubSnapshot, *, settled: bool, entity_problems: EntityProblems | None = None
) -> Iterator[Violation]:
    """Yield the broken rules of a snapshot; see `check_hub`."""
    for _, instance in sorted(hub.instances.items()):
        for problem in instance.unreadable:
            yield Violation(instance.instance_id, Rule.READABLE, problem)
        if instance.unreadable:
            # What cannot be read would be reported as missing.
            continue
        yield from _row_numbers(instance, settled=settled)
        yield from _beginning_and_end(instance)
        yield from _results(instance)
        # Between the two writes of a checkpoint, the row is older than the history.
        for detail in _status_problems(instance) if settled else ():
            yield Violation(instance.instance_id, Rule.STATUS_ROW, detail)
        yield from _parent(hub, instance, settled=settled)
        yield from entity_violations(hub, instance, settled=settled, problems=entity_problems)
    for message in hub.messages:
        if message.problem:
            detail = f"a message in queue {message.queue} cannot be read: {message.problem}"
            yield Violation("", Rule.READABLE, detail, message=message.id)
    if settled:
        yield from _orphans(hub)
        yield from _lost(hub)


# One instance ------------------------------------------------------------------------------------------------


def _row_numbers(instance: StoredInstance, *, settled: bool) -> Iterator[Violation]:
    for number, row_key in enumerate(instance.row_keys):
        if row_key != history_row_key(number):
            detail = f"row {row_key} stands where row {history_row_key(number)} is expected"
            yield Violation(instance.instance_id, Rule.ROW_NUMBERS, detail, [row_key])
            return
    # The sentinel is written in one transaction with the first events.
    if bool(instance.row_keys) != (instance.sentinel is not None):
        detail = "it has a sentinel and no events" if instance.sentinel else "it has events and no sentinel"
        yield Violation(instance.instance_id, Rule.ROW_NUMBERS, detail, instance.row_keys[-1:])
    if instance.sentinel is None or not instance.events:
        return
    is_complete = instance.sentinel.properties.get("IsCheckpointComplete") is True
    if settled and not is_complete:
        yield Violation(instance.instance_id, Rule.ROW_NUMBERS, "its last checkpoint is not complete")
    if is_complete and not isinstance(instance.events[-1].event, OrchestratorCompleted):
        detail = "its last checkpoint is complete, but its last event is not OrchestratorCompleted"
        yield Violation(instance.instance_id, Rule.ROW_NUMBERS, detail, instance.row_keys[-1:])


def _beginning_and_end(instance: StoredInstance) -> Iterator[Violation]:
    if not instance.events:
        return
    starts = _rows_of(instance, ExecutionStarted)
    # A second start message replaces the execution or is dropped; it is never added to the history.
    if len(starts) != 1:
        yield Violation(instance.instance_id, Rule.ONE_START, f"it has {len(starts)} starts", starts)
    ends = _rows_of(instance, ExecutionCompleted)
    if len(ends) > 1:
        yield Violation(instance.instance_id, Rule.ONE_END, f"it has ended {len(ends)} times", ends)
    elif ends:
        end = next(at for at, stored in enumerate(instance.events) if stored.row_key == ends[0])
        later = instance.events[end + 1 :]
        # The end of the episode is stored behind the end of the execution.
        if later and isinstance(later[0].event, OrchestratorCompleted):
            later = later[1:]
        if later:
            kinds = ", ".join(stored.event.type_name for stored in later)
            detail = f"{kinds} behind its end"
            yield Violation(instance.instance_id, Rule.ONE_END, detail, [stored.row_key for stored in later])


def _rows_of(instance: StoredInstance, kind: type[HistoryEvent]) -> list[str]:
    return [stored.row_key for stored in instance.events if isinstance(stored.event, kind)]


_ACTION_OF: dict[type[HistoryEvent], type[HistoryEvent]] = {
    TaskCompleted: TaskScheduled,
    TaskFailed: TaskScheduled,
    SubOrchestrationInstanceCompleted: SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed: SubOrchestrationInstanceCreated,
    TimerFired: TimerCreated,
}


def _action_id(event: HistoryEvent) -> int | None:
    """Return the id of the action that an event is the result of; None: it is not a result."""
    match event:
        case TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed():
            return event.task_scheduled_id
        case TimerFired():
            return event.timer_id
        case _:
            return None


def _results(instance: StoredInstance) -> Iterator[Violation]:
    actions = set[tuple[type[HistoryEvent], int]]()
    undone = set[int]()
    results = defaultdict[tuple[str, int], list[StoredEvent]](list)
    # A second response of an entity is not a violation: no request waits for it.
    for stored in instance.events:
        event, action_id = stored.event, _action_id(stored.event)
        if type(event) in _ACTION_OF.values():
            actions.add((type(event), event.event_id))
        elif isinstance(event, GenericEvent):
            # An action that a rewind has undone. A late result of it is used for its repetition.
            undone.add(event.event_id)
        elif action_id is not None:
            kind = _ACTION_OF[type(event)]
            results[kind.__name__, action_id].append(stored)
            if (kind, action_id) not in actions and action_id not in undone:
                detail = f"{event.type_name} belongs to {kind.__name__} {action_id}, which is not before it"
                yield Violation(instance.instance_id, Rule.RESULT_WITHOUT_ACTION, detail, [stored.row_key])
    for (kind_name, id), found in results.items():
        if len(found) > 1:
            detail = f"{kind_name} {id} has {len(found)} results"
            yield Violation(instance.instance_id, Rule.ONE_RESULT, detail, [stored.row_key for stored in found])


def _status_problems(instance: StoredInstance) -> Iterator[str]:
    if instance.status is None:
        yield "it has a history and no status row"
        return
    columns, started = instance.status.properties, instance.started
    status = RuntimeStatus.from_wire_name(str(columns.get("RuntimeStatus")))
    # A client has started the id (again), and no host has received the start, or it was terminated before.
    has_not_run = status in (RuntimeStatus.PENDING, RuntimeStatus.TERMINATED)
    if started is None:
        if not has_not_run:
            yield f"its status is {columns.get('RuntimeStatus')!r}, but it has no history"
    elif columns.get("ExecutionId") == instance.execution_id:
        yield from _differing_columns(instance, started, columns)
    elif not has_not_run:
        yield f"its row is of execution {columns.get('ExecutionId')!r}, its history of {instance.execution_id!r}"


def _differing_columns(
    instance: StoredInstance, started: ExecutionStarted, columns: Mapping[str, Value]
) -> Iterator[str]:
    status, last = status_of(instance), instance.events[-1].event
    expected: dict[str, object] = {
        "RuntimeStatus": None if status is None else status.wire_name,
        "Name": started.name,
        "CreatedTime": started.timestamp,
        "LastUpdatedTime": last.timestamp,
    }
    # A client that rewinds sets status and time without an event, and the status stays until the new end.
    if any(isinstance(stored.event, GenericEvent) for stored in instance.events):
        del expected["LastUpdatedTime"]
        if columns.get("RuntimeStatus") == RuntimeStatus.PENDING.wire_name:
            del expected["RuntimeStatus"]
    for name, value in expected.items():
        if columns.get(name) != value:
            yield f"its {name} is {columns.get(name)!r}, by its history {value!r}"
    # The row of an entity has the input of its first generation.
    if not is_entity(instance.instance_id) and instance.input != started.input:
        yield f"its Input is {_shortened(instance.input)}, by its history {_shortened(started.input)}"
    # A second end breaks another rule.
    for end in [stored.event for stored in instance.events if isinstance(stored.event, ExecutionCompleted)][:1]:
        failure = end.failure
        output = f"{failure.error_type}: {failure.error_message}" if failure else end.result
        if instance.output != output:
            yield f"its Output is {_shortened(instance.output)}, by its history {_shortened(output)}"
        if "CompletedTime" not in columns:
            yield "it has ended and has no CompletedTime"


def _shortened(text: str | None) -> str:
    return repr(text if text is None or len(text) <= 100 else f"{text[:100]}…")


# Several instances -------------------------------------------------------------------------------------------


def _parent(hub: HubSnapshot, child: StoredInstance, *, settled: bool) -> Iterator[Violation]:
    started = child.started
    if started is None or started.parent is None or FIRE_AND_FORGET in (started.tags or {}):
        return
    parent = hub.instances.get(started.parent.instance.instance_id)
    # A parent that was purged, or has continued as new, says nothing about this child.
    if parent is None or parent.execution_id != started.parent.instance.execution_id or parent.unreadable:
        return
    # The child knows the number of the action that started it, and so does the result that it sends.
    action_id = started.parent.task_schedule_id
    created = [stored.event for stored in parent.events if stored.event.event_id == action_id]
    matching = [event for event in created if isinstance(event, SubOrchestrationInstanceCreated)]
    is_rewound = any(isinstance(event, GenericEvent) for event in created)
    ends_at = [stored.event for stored in child.events if isinstance(stored.event, ExecutionCompleted)]
    results = [
        event
        for event in (stored.event for stored in parent.events)
        if isinstance(event, SubOrchestrationInstanceCompleted | SubOrchestrationInstanceFailed)
        and event.task_scheduled_id == action_id
    ]
    # The last episode of a terminated parent may have started the child and not have been stored.
    parent_status = status_of(parent)
    if settled and not matching and parent_status is not RuntimeStatus.TERMINATED and not is_rewound:
        detail = f"{parent.instance_id} has no action {action_id} that starts it"
        yield Violation(child.instance_id, Rule.PARENT_AND_CHILD, detail)
    # The result is sent before the end is stored, so a host that repeats the child's last episode is late.
    if settled and results and not ends_at:
        detail = f"{parent.instance_id} has a result of it, but it has not ended"
        yield Violation(child.instance_id, Rule.PARENT_AND_CHILD, detail)
    waits = parent_status in (RuntimeStatus.RUNNING, RuntimeStatus.SUSPENDED)
    if settled and matching and ends_at and not results and waits:
        detail = f"it has ended, but {parent.instance_id} waits for its result"
        yield Violation(child.instance_id, Rule.LOST_MESSAGE, detail)
    for result, end in zip(results[:1], ends_at[:1], strict=False):
        is_same = not isinstance(result, SubOrchestrationInstanceCompleted) or (
            isinstance(end, ExecutionCompleted) and result.result == end.result
        )
        if not is_same:
            detail = f"its output is not the result that {parent.instance_id} has"
            yield Violation(child.instance_id, Rule.PARENT_AND_CHILD, detail)


def _orphans(hub: HubSnapshot) -> Iterator[Violation]:
    for message in hub.messages:
        if message.target is None or message.event is None:
            continue
        instance = hub.instances.get(message.target.instance_id)
        # The start message is sent before the row is written, and a killed client leaves it without a row.
        if instance is None and isinstance(message.event, ExecutionStarted):
            continue
        if instance is None:
            reason = "which does not exist"
        elif (status := status_of(instance)) is not None and status.is_terminal:
            reason = "which has ended"
        elif message.target.execution_id not in (None, "", instance.execution_id):
            reason = f"whose execution {message.target.execution_id} has been replaced"
        else:
            continue
        detail = f"a message {message.event.type_name} to it, {reason}, is left in queue {message.queue}"
        yield Violation(message.target.instance_id, Rule.ORPHAN_MESSAGE, detail, message=message.id)


def _lost(hub: HubSnapshot) -> Iterator[Violation]:
    """Yield what running instances wait for although no queue has a message that could bring it.

    Hidden messages cannot be read, so an instance is reported only if all messages of its queue are explained by
    timers and scheduled starts.
    """
    explained = _explained(hub)
    for _, instance in sorted(hub.instances.items()):
        queue = hub.names.control_queue_of(instance.instance_id)
        if instance.unreadable or is_entity(instance.instance_id) or hub.counts.get(queue, 0) > explained[queue]:
            continue
        if instance.started is None:
            if _is_pending(instance) and not _is_scheduled(hub, instance):
                yield Violation(instance.instance_id, Rule.LOST_MESSAGE, "it is Pending, but its start is in no queue")
        elif status_of(instance) is RuntimeStatus.RUNNING:
            for stored in _unanswered(instance):
                event = stored.event
                # Each message of this queue may be the one of the activity.
                if isinstance(event, TaskScheduled) and hub.counts.get(hub.names.work_item_queue, 0):
                    continue
                if isinstance(event, TimerCreated) and event.fire_at > hub.taken_at + -_TIMER_TOLERANCE:
                    continue
                if isinstance(event, SubOrchestrationInstanceCreated) and (
                    event.instance_id in hub.instances
                    or hub.counts.get(hub.names.control_queue_of(event.instance_id), 0)
                ):
                    # Reported at the child, if that has ended.
                    continue
                detail = f"it waits for {event.type_name} {event.event_id}, and no message can bring the result"
                yield Violation(instance.instance_id, Rule.LOST_MESSAGE, detail, [stored.row_key])


def _explained(hub: HubSnapshot) -> Counter[str]:
    """Count by control queue the messages that are hidden until a time to come."""
    explained = Counter[str]()
    for instance in hub.instances.values():
        queue = hub.names.control_queue_of(instance.instance_id)
        timers = [stored.event for stored in _unanswered(instance) if isinstance(stored.event, TimerCreated)]
        explained[queue] += sum(timer.fire_at > hub.taken_at for timer in timers)
        explained[queue] += _is_pending(instance) and _is_scheduled(hub, instance)
    return explained


def _unanswered(instance: StoredInstance) -> list[StoredEvent]:
    answered = {
        (kind, _action_id(stored.event)) for stored in instance.events if (kind := _ACTION_OF.get(type(stored.event)))
    }
    return [
        stored
        for stored in instance.events
        if type(stored.event) in _ACTION_OF.values() and (type(stored.event), stored.event.event_id) not in answered
    ]


def _is_pending(instance: StoredInstance) -> bool:
    return instance.status is not None and instance.status.properties.get("RuntimeStatus") == "Pending"


def _is_scheduled(hub: HubSnapshot, instance: StoredInstance) -> bool:
    scheduled = instance.status.properties.get("ScheduledStartTime") if instance.status else None
    return isinstance(scheduled, Instant) and scheduled > hub.taken_at
