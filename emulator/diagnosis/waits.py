"""Rules for what the code of an orchestrator waits for: events, timers, activities, sub-orchestrations, entities.

With a position (`facts.Position`) the action is known to which each open event of the history belongs. Without one, the
open events of the history are all that is known; external events leave no trace there until they arrive.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from emulator.diagnosis import delivery
from emulator.diagnosis.facts import ACTIONS, HubFacts, InstanceFacts
from emulator.diagnosis.finding import Cause, Finding, Note, notes_of_places
from emulator.dotnet.json_values import read_object
from emulator.durable.azurestorage.messaging.visibility import POISON_COUNT
from emulator.durable.core.entities.messages import Request, request_in
from emulator.durable.core.entities.scheduler import SchedulerState
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    HistoryEvent,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskFailed,
    TaskResult,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import FunctionKind
from emulator.durable.core.open_actions import open_actions
from emulator.durable.core.replay.actions import (
    Action,
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    CreateTimer,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from emulator.durable.core.replay.durable_http import HTTP_ACTIVITY
from emulator.durable.core.replay.program import OpenWait
from emulator.durable.engine.work_log import WorkKey

ExplainOther = Callable[[str], Finding]

# How similar two names of events must be to count as a misspelling.
_SIMILAR = 0.75


def explain_wait(
    facts: InstanceFacts, hub: HubFacts, instances: Mapping[str, InstanceFacts], explain_other: ExplainOther
) -> Finding:
    """Return what a running instance waits for. `explain_other`: explains a child, or the holder of a lock."""
    waiting = _Waiting(facts, hub, instances, explain_other)
    position = facts.position
    if position is not None and position.wait is not None:
        return waiting.of_action(position.wait)
    # No replay, or one that does not fit: the history tells which tasks are open, not how the code combines them.
    found = [waiting.of_event(event) for event in open_events(facts.events)]
    if position is not None and not position.fits:
        values = {"problem": position.problem.partition("\n")[0].removesuffix(".")}
        return Finding(cause=Cause.CODE_CHANGED, values=values, place=position.place, parts=found)
    notes = [Note(key="no-position", values={"problem": "" if position is None else position.problem})]
    if len(found) == 1:
        return replace(found[0], notes=[*found[0].notes, *notes])
    if found:
        return Finding(cause=Cause.SEVERAL, values={"count": len(found)}, parts=found, notes=notes)
    if position is not None and not position.problem:
        return Finding(
            cause=Cause.UNKNOWN_WAIT,
            values={"why": "its code yields something that is not a durable task"},
            place=position.place,
        )
    # External events are the only wait that leaves no event in the history.
    return Finding(
        cause=Cause.EVENT_NOT_RAISED,
        values={"name": None, "id": facts.instance_id},
        notes=[*_arrived_note(_arrived(facts)), *notes, *delivery.no_host_note(hub)],
    )


def open_events(events: Sequence[HistoryEvent]) -> Sequence[HistoryEvent]:
    """Return the recorded actions of a history that have no result: activities, timers, children, calls of entities."""
    actions = open_actions(events)
    # The response of an entity arrives as an event whose name is the id of the request.
    raised = {event.name for event in events if isinstance(event, EventRaised)}
    calls = [
        event
        for event in events
        if isinstance(event, EventSent) and (request := request_of(event)) is not None and request.id not in raised
    ]
    # In the order of the code: actions are numbered as they are requested.
    return sorted([*actions.activities, *actions.timers, *actions.children, *calls], key=lambda event: event.event_id)


def request_of(sent: EventSent) -> Request | None:
    """Return the call or lock request that an event carries to an entity; None for signals and all other events."""
    request = request_in(sent)
    return None if request is None or request.is_signal else request


def needed_instances(facts: InstanceFacts) -> Iterator[str]:
    """Yield the ids of the instances that the explanation of this one needs: open children and called entities."""
    for event in open_events(facts.events):
        if isinstance(event, SubOrchestrationInstanceCreated | EventSent):
            yield event.instance_id


def lock_holder(entity: InstanceFacts) -> str | None:
    """Return the id of the orchestration that holds the lock of an entity."""
    state = scheduler_state(entity)
    return None if state is None else state.locked_by


def scheduler_state(entity: InstanceFacts) -> SchedulerState | None:
    """Return what is stored of an entity; None if it has no history."""
    if entity.started is None:
        return None
    try:
        return SchedulerState.parse(entity.started.input)
    except ValueError:
        return None


def entity(facts: InstanceFacts, hub: HubFacts) -> Finding:
    """Return what an entity waits for."""
    running = None if hub.host is None else hub.host.running_of(WorkKey(facts.instance_id))
    if running is not None:
        return Finding(
            cause=Cause.ENTITY_RUNS, values={"entity": facts.instance_id, "since": running.since, "now": hub.now}
        )
    holder = lock_holder(facts)
    if holder is not None:
        return Finding(cause=Cause.ENTITY_LOCKED, values={"entity": facts.instance_id, "holder": holder})
    return Finding(cause=Cause.UNKNOWN_WAIT, values={"why": "an entity only waits for its next operation"})


def _arrived(facts: InstanceFacts) -> Sequence[EventRaised]:
    """Return the external events of the history, without the responses of entities."""
    sent = (request_of(event) for event in facts.events if isinstance(event, EventSent))
    requests = {request.id for request in sent if request is not None}
    return [event for event in facts.events if isinstance(event, EventRaised) and event.name not in requests]


def _arrived_note(events: Sequence[EventRaised]) -> Sequence[Note]:
    names = list(dict.fromkeys(event.name for event in events))
    return [Note(key="arrived-events", values={"names": names})] if names else []


class _Waiting:
    def __init__(
        self,
        facts: InstanceFacts,
        hub: HubFacts,
        instances: Mapping[str, InstanceFacts],
        explain_other: ExplainOther,
    ) -> None:
        self._facts = facts
        self._hub = hub
        self._instances = instances
        self._explain_other = explain_other
        self._id = facts.instance_id
        self._by_number = {event.event_id: event for event in facts.events if isinstance(event, ACTIONS)}
        self._own_queue = hub.control_queue(self._id)

    # Actions of the code -----------------------------------------------------------------------------------------

    def of_action(self, wait: OpenWait) -> Finding:
        """Return the finding for an action that the position names."""
        action = wait.action
        if isinstance(action, WhenAll | WhenAny):
            parts = [self.of_action(child) for child in wait.children if not self._has_ended(child)]
            # The first release of the SDK's protocol has a list per yield, also for a single task.
            if len(wait.children) == 1 and parts:
                return parts[0]
            place = self._facts.position.place if self._facts.position else None
            values = {"done": len(wait.children) - len(parts), "total": len(wait.children)}
            cause = Cause.ALL_OF if isinstance(action, WhenAll) else Cause.ANY_OF
            return Finding(cause=cause, values=values, place=place, parts=parts)
        finding = self._of_single(wait, action)
        position = self._facts.position
        if position is None or finding.place is not None:
            return finding
        # The line that requested the action; for an external event, which has no number, that of the yield.
        known = None if wait.number is None else position.places.get(wait.number)
        return replace(finding, place=known or position.place)

    def _has_ended(self, wait: OpenWait) -> bool:
        if not isinstance(wait.action, WaitForExternalEvent):
            return wait.has_ended
        # The host matches the names of events without their letter case, the SDK with it.
        return wait.has_ended and any(event.name == wait.action.name for event in _arrived(self._facts))

    def _of_single(self, wait: OpenWait, action: Action) -> Finding:
        recorded = None if wait.number is None else self._by_number.get(wait.number)
        match action, recorded:
            case WaitForExternalEvent(name), _:
                return self._external_event(name)
            case CallActivity() | CallSubOrchestrator(), TimerCreated():
                # The steps are an attempt and a pause by turns; the last one is a pause.
                retries = action.retry.max_attempts if action.retry else 1
                return self._pause(recorded, action.name, attempt=wait.steps // 2 + 1, of=retries)
            case CallActivity(), TaskScheduled():
                retry = (wait.steps // 2 + 1, action.retry.max_attempts) if action.retry else None
                return self._activity(recorded, retry)
            case CallHttp(), TimerCreated():
                values = {"uri": action.uri, "due": recorded.fire_at, "now": self._hub.now}
                return self._timer(recorded, Finding(cause=Cause.HTTP_POLL, values=values))
            case _, None:
                # Requested, and not recorded yet: the episode that requests it has not been stored.
                return delivery.undelivered(self._id, self._hub)
            case CreateTimer() | CallEntity() | CallHttp() | CallSubOrchestrator() | CallActivity(), _:
                return self.of_event(recorded)
            case _:
                return Finding(cause=Cause.UNKNOWN_WAIT, values={"why": f"its code waits for {type(action).__name__}"})

    # Events of the history ---------------------------------------------------------------------------------------

    def of_event(self, event: HistoryEvent) -> Finding:
        """Return the finding for a recorded action without a result."""
        match event:
            case TaskScheduled():
                return self._activity(event, None)
            case TimerCreated():
                values = {"due": event.fire_at, "now": self._hub.now}
                return self._timer(event, Finding(cause=Cause.TIMER, values=values))
            case SubOrchestrationInstanceCreated():
                return self._child(event)
            case EventSent():
                return self._entity_call(event)
            case _:
                return Finding(cause=Cause.UNKNOWN_WAIT, values={"why": f"of {event.type_name}"})

    # External events ---------------------------------------------------------------------------------------------

    def _external_event(self, name: str) -> Finding:
        queued = [
            message.event
            for message in self._own_queue.messages
            if message.target == self._id and isinstance(message.event, EventRaised)
        ]
        if any(event.name == name for event in queued):
            return delivery.undelivered(self._id, self._hub)
        notes = delivery.no_host_note(self._hub)
        awaited = self._facts.position.event_names if self._facts.position is not None else ()
        others = [event for event in (*_arrived(self._facts), *queued) if event.name not in awaited]
        wrong = next((event for event in others if _is_misspelled(event.name, name)), None)
        values: dict[str, object] = {"name": name, "id": self._id}
        if wrong is not None:
            values |= {"raised": wrong.name, "at": wrong.timestamp, "case": wrong.name.lower() == name.lower()}
            return Finding(cause=Cause.EVENT_OTHER_NAME, values=values, notes=notes)
        return Finding(cause=Cause.EVENT_NOT_RAISED, values=values, notes=[*notes, *_arrived_note(others)])

    # Timers ------------------------------------------------------------------------------------------------------

    def _pause(self, timer: TimerCreated, name: str, *, attempt: int, of: int) -> Finding:
        # The latest failure. It is that of this call, unless another task has failed since.
        failed = next(
            (
                event.reason
                for event in reversed(self._facts.events)
                if isinstance(event, TaskFailed | SubOrchestrationInstanceFailed)
            ),
            None,
        )
        values = {"name": name, "attempt": attempt, "of": of, "due": timer.fire_at, "now": self._hub.now}
        notes = [Note(key="failure", values={"reason": failed.partition("\n")[0]})] if failed else []
        return self._timer(timer, Finding(cause=Cause.RETRY_PAUSE, values=values, notes=notes))

    def _timer(self, timer: TimerCreated, not_due: Finding) -> Finding:
        """Return `not_due` while the timer is not due; after that, why its message does not arrive."""
        if timer.fire_at > self._hub.now:
            # The same queue has the messages of all timers, so their number may say that one of them is gone.
            has_message = any(
                message.target == self._id
                and isinstance(message.event, TimerFired)
                and message.event.timer_id == timer.event_id
                for message in self._own_queue.messages
            )
            if not has_message and self._own_queue.is_complete and self._is_not_received():
                lost = delivery.missing_message(
                    f"the message of the timer for {timer.fire_at.text}", [self._own_queue], self._hub
                )
                if lost is not None:
                    return lost
            return replace(not_due, notes=[*not_due.notes, *delivery.no_host_note(self._hub)])
        return self._own_message(f"the message of the timer for {timer.fire_at.text}")

    def _is_not_received(self) -> bool:
        return self._hub.host is None or self._id not in self._hub.host.received

    def _own_message(self, what: str) -> Finding:
        """Return why a message does not arrive that must be in the instance's own control queue."""
        if delivery.messages_to(self._id, self._hub) or not self._is_not_received():
            return delivery.undelivered(self._id, self._hub)
        return delivery.undelivered_or_lost(what, self._id, [self._own_queue], self._hub)

    # Activities --------------------------------------------------------------------------------------------------

    def _activity(self, task: TaskScheduled, retry: tuple[int, int] | None) -> Finding:
        """Return the finding for an activity. `retry`: which attempt it is, of how many."""
        finding = self._activity_of_host(task) or self._activity_in_queue(task)
        notes = [*finding.notes]
        if retry is not None and retry[0] > 1:
            notes.append(Note(key="attempt", values={"attempt": retry[0], "of": retry[1]}))
        return replace(finding, notes=notes)

    def _activity_of_host(self, task: TaskScheduled) -> Finding | None:
        """Return the finding if this host runs the activity, or has failed to."""
        host, key = self._hub.host, WorkKey(self._id, task.event_id)
        if host is None:
            return None
        running = host.running_of(key)
        if running is not None:
            values = {"name": task.name, "since": running.since, "now": self._hub.now, "host": host.name}
            if task.name == HTTP_ACTIVITY:
                return Finding(cause=Cause.HTTP_RUNS, values={**values, "uri": _uri_of(task)})
            notes = notes_of_places(host.places.get(task.name.lower(), ()))
            return Finding(cause=Cause.ACTIVITY_RUNS, values=values, notes=notes)
        failed = host.failed.get(key)
        if failed is not None:
            return Finding(cause=Cause.ACTIVITY_FAILS, values=delivery.failed_values(failed, self._hub))
        return None

    def _activity_in_queue(self, task: TaskScheduled) -> Finding:
        hub, queue = self._hub, self._hub.work_items
        # The activity may have ended, with its result on the way.
        results = [message.event for message in self._own_queue.messages if message.target == self._id]
        if any(isinstance(event, TaskResult) and event.task_scheduled_id == task.event_id for event in results):
            return delivery.undelivered(self._id, hub)
        if hub.host is not None and (self._id, task.event_id) in hub.host.activities:
            # Received, and about to run: the engine asks for no more activities than it has room for.
            return Finding(cause=Cause.RECEIVED, values={"queue": queue.name})
        message = next(
            (
                message
                for message in queue.messages
                if message.target == self._id
                and isinstance(message.event, TaskScheduled)
                and message.event.event_id == task.event_id
            ),
            None,
        )
        values: dict[str, object] = {"name": task.name, "queue": queue.name}
        if message is not None and message.dequeue_count >= POISON_COUNT:
            return delivery.poison(message, queue.name, hub)
        if message is not None and not message.is_hidden(hub.now):
            values["ahead"] = delivery.ahead_of(message, queue)
            return self._queued_activity(values)
        if message is not None and message.dequeue_count > 0:
            return self._hidden_activity(task, {"until": message.visible_at, "count": message.dequeue_count})
        if message is not None:
            return Finding(
                cause=Cause.HIDDEN, values={"what": _activity_text(task), "until": message.visible_at, "count": 0}
            )
        missing = delivery.missing_message(_activity_text(task), [queue, self._own_queue], hub)
        if missing is not None:
            return missing
        return self._hidden_activity(task, {"until": None, "count": None})

    def _queued_activity(self, values: Mapping[str, object]) -> Finding:
        hub = self._hub
        if not hub.has_host:
            return _no_host(hub, Note(key="queued", values=values))
        host = hub.host
        if host is not None and host.count(FunctionKind.ACTIVITY) >= host.limits.activities:
            limit, names = host.limits.activities, host.names_of(FunctionKind.ACTIVITY)
            return Finding(cause=Cause.ACTIVITY_SLOTS, values={**values, "limit": limit, "running": names})
        return Finding(cause=Cause.ACTIVITY_QUEUED, values={**values, "hosts": hub.owners})

    def _hidden_activity(self, task: TaskScheduled, values: Mapping[str, object]) -> Finding:
        """Return the finding for an activity whose message a host has locked, or had locked when it was killed."""
        hub = self._hub
        others = [owner for owner in hub.owners if hub.host is None or owner != hub.host.name]
        if not hub.has_host:
            return _no_host(hub, Note(key="locked", values={"what": _activity_text(task), **values}))
        notes = [Note(key="other-hosts", values={"hosts": others})] if others else []
        return Finding(cause=Cause.HIDDEN, values={"what": _activity_text(task), **values}, notes=notes)

    # Sub-orchestrations ------------------------------------------------------------------------------------------

    def _child(self, created: SubOrchestrationInstanceCreated) -> Finding:
        child = self._instances.get(created.instance_id)
        values: dict[str, object] = {"name": created.name, "id": created.instance_id}
        # The child may have ended, with its result on the way.
        responses = [message.event for message in self._own_queue.messages if message.target == self._id]
        if any(isinstance(event, TaskResult) and event.task_scheduled_id == created.event_id for event in responses):
            return delivery.undelivered(self._id, self._hub)
        queue = self._hub.control_queue(created.instance_id)
        # Only so many related instances are read.
        if child is None:
            inner = Finding(cause=Cause.UNKNOWN_WAIT, values={"why": "it was not read"})
        elif child.status is None and not child.events:
            has_message = bool(delivery.messages_to(created.instance_id, self._hub))
            is_received = self._hub.host is not None and created.instance_id in self._hub.host.received
            start = f'the start message of the sub-orchestration "{created.instance_id}"'
            missing = None if has_message or is_received else delivery.missing_message(start, [queue], self._hub)
            inner = missing or delivery.undelivered(created.instance_id, self._hub)
        elif (
            child.status is not None
            and child.status.runtime_status is not None
            and child.status.runtime_status.is_terminal
        ):
            return self._own_message(f'the result of the sub-orchestration "{created.instance_id}"')
        else:
            inner = self._explain_other(created.instance_id)
        part = replace(inner, instance_id=inner.instance_id or created.instance_id)
        return Finding(cause=Cause.SUB_ORCHESTRATION, values=values, parts=[part])

    # Entities ----------------------------------------------------------------------------------------------------

    def _entity_call(self, sent: EventSent) -> Finding:
        hub, target, request = self._hub, sent.instance_id, request_of(sent)
        assert request is not None, "only calls of entities are open"
        if any(
            message.target == self._id and isinstance(message.event, EventRaised) and message.event.name == request.id
            for message in self._own_queue.messages
        ):
            return delivery.undelivered(self._id, hub)
        entity_facts = self._instances.get(target)
        state = None if entity_facts is None else scheduler_state(entity_facts)
        holder = None if state is None else state.locked_by
        values: dict[str, object] = {
            "entity": target,
            "operation": request.operation or "lock",
            "now": hub.now,
        }
        # An entity keeps the operations of others in its queue until its lock is released.
        if holder is not None and holder != self._id:
            inner = self._explain_other(holder) if holder in self._instances else None
            parts = [] if inner is None else [replace(inner, instance_id=inner.instance_id or holder)]
            return Finding(cause=Cause.ENTITY_LOCKED, values={**values, "holder": holder}, parts=parts)
        host = hub.host
        if host is not None and (failed := host.failed.get(WorkKey(target))) is not None:
            return Finding(cause=Cause.ENTITY_FAILS, values={**delivery.failed_values(failed, hub), **values})
        if host is not None and (running := host.running_of(WorkKey(target))) is not None:
            # Ids of entities are written @name@key.
            name = target[1:].partition("@")[0]
            notes = notes_of_places(host.places.get(name.lower(), ()))
            return Finding(cause=Cause.ENTITY_RUNS, values={**values, "since": running.since}, notes=notes)
        if state is not None and any(queued.id == request.id for queued in state.queue):
            ahead = next(number for number, queued in enumerate(state.queue) if queued.id == request.id)
            return Finding(cause=Cause.ENTITY_QUEUED, values={**values, "ahead": ahead})
        if delivery.messages_to(target, hub) or (host is not None and target in host.received):
            return replace(delivery.undelivered(target, hub), instance_id=target)
        # The call, or already its response.
        queues = [hub.control_queue(target), self._own_queue]
        what = f"the call of the entity {target}"
        return replace(delivery.undelivered_or_lost(what, target, queues, hub), instance_id=target)


def _is_misspelled(raised: str, awaited: str) -> bool:
    one, other = raised.lower(), awaited.lower()
    return one == other or difflib.SequenceMatcher(None, one, other).ratio() >= _SIMILAR


def _no_host(hub: HubFacts, note: Note) -> Finding:
    finding = delivery.queue_without_reader("", hub)
    assert finding is not None, "called without a live host"
    return replace(finding, notes=[note, *finding.notes])


def _activity_text(task: TaskScheduled) -> str:
    return f'the message of the activity "{task.name}"'


def _uri_of(task: TaskScheduled) -> str:
    """Return the address of a durable HTTP call, from its input if the history has it."""
    try:
        # The SDK puts the input of an activity into a list.
        members = read_object((task.input or "").removeprefix("[").removesuffix("]"))
    except ValueError:
        return ""
    return str(members.get("uri") or "")
