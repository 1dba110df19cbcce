"""Fork of an orchestration: a new instance that has the history of another one up to an episode, and continues there.

The events before the cut stay as they are, so the results of the actions in them are used again. What the new instance
still waits for is sent to it:

* results of activities and children that were open at the cut are sent as they were recorded. An action without a
  recorded result is undone, as a rewind does it: the next episode schedules it again, with the input that the code
  gives it, which a history does not have.
* an open timer is created again. It fires as long after the fork as it would have fired after the cut.
* a request to an entity that had no response at the cut gets the recorded response, or else is undone. Requests for
  locks are always undone, because a recorded grant does not lock the entity.
* external events of the episode at the cut are raised again; later ones only on request.

The same rules let an imported instance continue whose messages are not in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid5

from emulator import bound_json as json
from emulator.dotnet.json_writer import json_text
from emulator.durable.core.entities.messages import NO_TIMESTAMP, RELEASE, Release, Request, request_in
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskResult,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.open_actions import open_actions
from emulator.durable.core.state import FIRE_AND_FORGET, SOURCE_INSTANCE_ID
from emulator.errors import EmulatorError
from emulator.instant import Instant

# The extension's namespace for name-based GUIDs, see `core.replay.entity_calls`.
_REQUEST_IDS = UUID("9e952959-5e33-4daf-827f-2fa12937b875")
_MORE_REQUESTS = 20


class ForkRefused(EmulatorError):
    """The history cannot be forked at this event or with this input. The message says why, and what is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkRequest:
    """What to fork. `at`: number of a history event, from 0; the number of events means the present of a running one.

    `instance`: the new execution. `input`: of the start, `event_input`: of the event `at`, both JSON texts; None leaves
    them as recorded. `reruns`: run the actions again that were open at the cut, even if their results are recorded.
    `with_events`: also raise the external events again that the recorded instance received after the cut.
    """

    at: int
    instance: OrchestrationInstance
    now: Instant
    input: str | None = None
    event_input: str | None = None
    reruns: bool = False
    with_events: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """A forked execution. `history`: its events, none from the start; `messages`: to send after they are stored.

    `cut`: number of the first event of the recorded history that is not part of it. `undone`: names of the actions that
    run again. `left_out`: names of recorded external events that are not raised again. `restarted`: ids of children
    that the code has chosen and will start again; an existing instance with such an id would be replaced.
    """

    instance: OrchestrationInstance
    cut: int
    history: Sequence[HistoryEvent]
    messages: Sequence[TaskMessage]
    undone: Sequence[str] = ()
    left_out: Sequence[str] = ()
    restarted: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """An episode of a history: the event numbers from `start` up to `end`, and those of what it received."""

    start: int
    end: int
    received: Sequence[int]


def episodes(events: Sequence[HistoryEvent]) -> Sequence[Episode]:
    """Return the episodes of a history."""
    starts = [number for number, event in enumerate(events) if isinstance(event, OrchestratorStarted)]
    found = []
    for start, end in zip(starts, [*starts[1:], len(events)], strict=True):
        received = [
            number
            for number in range(start + 1, end)
            if not isinstance(events[number], _DECISIONS) and not isinstance(events[number], OrchestratorCompleted)
        ]
        found.append(Episode(start, end, received))
    return found


def received_names(events: Sequence[HistoryEvent]) -> Mapping[int, str]:
    """Return what received events are about, by their numbers: the name of an event, or of what has a result.

    The response of an entity is an event whose name is the id of the request. It gets the name of the operation and the
    id of the entity.
    """
    calls: dict[int, str] = {}
    requests: dict[str, str] = {}
    names: dict[int, str] = {}
    for number, event in enumerate(events):
        match event:
            case TaskScheduled() | SubOrchestrationInstanceCreated():
                calls[event.event_id] = event.name
            case EventSent():
                if (request := request_in(event)) is not None:
                    requests[request.id] = f"{request.operation or 'lock'} {event.instance_id}"
            case EventRaised():
                names[number] = requests.get(event.name, event.name)
            case ExecutionStarted():
                names[number] = event.name
            case (
                TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed()
            ):
                if event.task_scheduled_id in calls:
                    names[number] = calls[event.task_scheduled_id]
    return names


def episode_at(events: Sequence[HistoryEvent], at: int) -> Episode:
    """Return the episode that an event begins, or whose start received the event. Raises ForkRefused for others."""
    if not events:
        raise ForkRefused("The instance has no history yet. Start another one instead.")
    all_episodes = episodes(events)
    # The present is behind the last event, so no event stands for it.
    if at == len(events):
        if any(isinstance(event, ExecutionCompleted) for event in events):
            raise ForkRefused(
                f"The history ends with event {at - 1}, and the instance has ended. The last place for a fork is event "
                f"{all_episodes[-1].start}."
            )
        # Its rows may be written one transaction after the other.
        if not isinstance(events[-1], OrchestratorCompleted):
            raise ForkRefused("The last episode is being stored. Repeat the command in a moment.")
        return Episode(at, at, ())
    if not 0 <= at < len(events):
        raise ForkRefused(f"There is no event {at}. The history has the events 0 to {len(events) - 1}.")
    for number, episode in enumerate(all_episodes):
        if at == episode.start or at in episode.received:
            return episode
        if episode.start < at < episode.end:
            before = f"event {episode.start}, the start of this episode"
            following = all_episodes[number + 1 : number + 2]
            after = f", or event {following[0].start}, the start of the next one" if following else ""
            raise ForkRefused(
                f"Event {at} ({events[at].type_name}) is in the middle of an episode, and an episode is repeated as a "
                f"whole. Fork at {before}{after}."
            )
    raise ForkRefused(f"Event {at} ({events[at].type_name}) is in no episode. Fork at event {all_episodes[0].start}.")


def fork(events: Sequence[HistoryEvent], request: ForkRequest) -> Fork:
    """Fork an execution at an event. Raises ForkRefused."""
    episode = episode_at(events, request.at)
    edited = _edited(events, request)
    past, later = edited[: episode.start], edited[episode.start :]
    _refuse_held_locks(past, episode.start)
    source = _start_of(edited)
    # No parent waits for the new instance.
    tags = {name: value for name, value in (source.tags or {}).items() if name != FIRE_AND_FORGET}
    started = replace(
        source,
        instance=request.instance,
        parent=None,
        tags={**tags, SOURCE_INSTANCE_ID: source.instance.instance_id},
        correlation=None,
        parent_trace_context=None,
        scheduled_start_time=None,
        generation=0,
    )
    return _continued(past, _Waits(past, later, episode.end - episode.start, request), started, source, request)


def imported(
    events: Sequence[HistoryEvent],
    *,
    instance: OrchestrationInstance,
    now: Instant,
    parent: ParentInstance | None,
    children: Mapping[str, str],
    results: Sequence[HistoryEvent],
) -> Fork:
    """Return a copy of an execution as `instance`. One that has not ended continues after its last complete episode.

    `children`: new ids of its children that are copied, too, by their old ones. `results`: those of copied children
    that have ended, which the history may not have yet. Timers fire when they would have fired. Raises ForkRefused.
    """
    source = _start_of(events)
    started = replace(source, instance=instance, parent=parent)
    has_ended = any(isinstance(event, ExecutionCompleted) for event in events)
    ends = [number for number, event in enumerate(events) if isinstance(event, OrchestratorCompleted)]
    end = len(events) if has_ended else max(ends, default=-1) + 1
    past, later = list(events[:end]), [*events[end:], *results]
    request = ForkRequest(at=end, instance=instance, now=now)
    waits = _Waits(past, later, len(events) - end, request, running=children, cut_at=now)
    if has_ended:
        waits = _Waits((), (), 0, request)
    fork = _continued(past, waits, started, source, request)
    history = [
        replace(event, instance_id=children[event.instance_id])
        if isinstance(event, SubOrchestrationInstanceCreated) and event.instance_id in children
        else event
        for event in fork.history
    ]
    return replace(fork, history=history, messages=() if has_ended else fork.messages)


def child_result(action_id: int, ended: ExecutionCompleted) -> HistoryEvent:
    """Return the event by which an ended child reports to its parent, which waits under this action id."""
    if ended.status is RuntimeStatus.COMPLETED:
        return SubOrchestrationInstanceCompleted(
            timestamp=ended.timestamp, task_scheduled_id=action_id, result=ended.result
        )
    return SubOrchestrationInstanceFailed(
        timestamp=ended.timestamp, task_scheduled_id=action_id, reason=ended.result, failure=ended.failure
    )


def _start_of(events: Sequence[HistoryEvent]) -> ExecutionStarted:
    started = next((event for event in events if isinstance(event, ExecutionStarted)), None)
    if started is None:
        raise ForkRefused("The history has no ExecutionStarted, so it is not complete.")
    return started


def _continued(
    past: Sequence[HistoryEvent],
    waits: _Waits,
    started: ExecutionStarted,
    source: ExecutionStarted,
    request: ForkRequest,
) -> Fork:
    undone = waits.undone
    ids = new_request_ids(past, source.instance, request.instance)
    has_ended = any(isinstance(event, ExecutionCompleted) for event in past)
    if not has_ended or request.instance != source.instance:
        past = [_with_ids(event, ids, request.instance) for event in past]
    history = [_kept(event, undone, waits.fire_times) for event in past]
    history = [started if isinstance(event, ExecutionStarted) else event for event in history]
    messages = [replace(message, event=_with_ids(message.event, ids, request.instance)) for message in waits.messages]
    if not past:
        messages.insert(0, TaskMessage(replace(started, timestamp=request.now, is_played=False), request.instance))
    elif undone or all(isinstance(message.event, TimerFired) for message in messages):
        wake = GenericEvent(timestamp=request.now, data=f"Forked from {source.instance.instance_id}")
        messages.append(TaskMessage(wake, OrchestrationInstance(request.instance.instance_id, None)))
    repeated = [*(event for event in past if event.event_id in undone), *waits.later]
    return Fork(
        instance=request.instance,
        cut=len(past),
        history=history,
        messages=messages,
        undone=[_name(event) for event in past if event.event_id in undone],
        left_out=waits.left_out,
        restarted=[
            event.instance_id
            for event in repeated
            if isinstance(event, SubOrchestrationInstanceCreated) and not is_derived(event, source.instance)
        ],
    )


# The episode at the cut, and what was open ---------------------------------------------------------------------

_RecordedDecision = TaskScheduled | TimerCreated | SubOrchestrationInstanceCreated | EventSent
_DECISIONS = (TaskScheduled, TimerCreated, SubOrchestrationInstanceCreated, EventSent, ExecutionCompleted)


class _Waits:
    """What the new execution waits for.

    `messages` to send; `undone`: ids of actions that run again; `left_out`: names of external events that are not
    raised; `fire_times` of the open timers by their ids.

    `running`: ids of open children that will report themselves. `cut_at`: the time of which timers count the rest.
    """

    def __init__(
        self,
        past: Sequence[HistoryEvent],
        later: Sequence[HistoryEvent],
        episode_length: int,
        request: ForkRequest,
        *,
        running: Collection[str] = (),
        cut_at: Instant | None = None,
    ) -> None:
        self.later = later
        self.messages: list[TaskMessage] = []
        self.left_out: list[str] = []
        self.fire_times: dict[int, Instant] = {}
        self._request = request
        actions = open_actions(past)
        open_ids = {event.event_id for event in (*actions.activities, *actions.children)}
        raised = {event.name for event in past if isinstance(event, EventRaised)}
        calls = {
            sent.id: event.event_id
            for event, sent in entity_requests(past)
            if not sent.is_signal and sent.id not in raised
        }
        locks = {sent.id for _, sent in entity_requests(past) if sent.is_lock_request}
        responses = {sent.id for _, sent in entity_requests((*past, *later))}
        answered = set[int]()
        for number, event in enumerate(later, len(past)):
            is_in_episode = number < len(past) + episode_length
            is_edited = request.event_input is not None and number == request.at
            match event:
                case (
                    TaskCompleted()
                    | TaskFailed()
                    | SubOrchestrationInstanceCompleted()
                    | SubOrchestrationInstanceFailed()
                ):
                    if event.task_scheduled_id in open_ids and (is_edited or not request.reruns):
                        answered.add(event.task_scheduled_id)
                        self._send(event)
                case EventRaised(name=name) if name in responses:
                    if name in calls and name not in locks and (is_edited or not request.reruns):
                        answered.add(calls[name])
                        self._send(event)
                case EventRaised():
                    if is_in_episode or request.with_events:
                        self._send(event)
                    else:
                        self.left_out.append(event.name)
                case ExecutionSuspended() | ExecutionResumed() if is_in_episode:
                    self._send(event)
        waiting = {child.event_id for child in actions.children if child.instance_id in running}
        self.undone = {*open_ids, *calls.values()} - answered - waiting
        cut_at = cut_at or (later[0].timestamp if later else request.now)
        for timer in actions.timers:
            remaining = max(timer.fire_at, cut_at) - cut_at
            fired = TimerFired(timestamp=request.now, timer_id=timer.event_id, fire_at=request.now + remaining)
            self.fire_times[timer.event_id] = fired.fire_at
            self.messages.append(TaskMessage(fired, request.instance))

    def _send(self, event: HistoryEvent) -> None:
        # An old time would be the current time of the episode.
        event = replace(event, timestamp=self._request.now, is_played=False)
        # Without an execution id, as clients send events; results are for one execution.
        is_result = isinstance(event, TaskResult)
        instance = self._request.instance
        target = instance if is_result else OrchestrationInstance(instance.instance_id, None)
        self.messages.append(TaskMessage(event, target))


def entity_requests(events: Sequence[HistoryEvent]) -> Sequence[tuple[EventSent, Request]]:
    """Return the requests to entities in a history: calls, signals and requests for locks."""
    # Anyone can send events to entities; one that is not a request expects no response.
    found = ((event, request_in(event)) for event in events if isinstance(event, EventSent))
    return [(event, request) for event, request in found if request is not None]


def _refuse_held_locks(past: Sequence[HistoryEvent], cut: int) -> None:
    raised = {event.name for event in past if isinstance(event, EventRaised)}
    released = set[str]()
    for event in past:
        if isinstance(event, EventSent) and event.name == RELEASE:
            try:
                released.add(Release.parse(event.input or "").id)
            except ValueError:
                continue
    for event, sent in entity_requests(past):
        if sent.is_lock_request and sent.id in raised and sent.id not in released:
            before = next(episode.start for episode in reversed(episodes(past)) if past.index(event) >= episode.start)
            names = ", ".join(entity.instance_id for entity in sent.lockset)
            raise ForkRefused(
                f"Before event {cut} the orchestration has locked {names}. The new instance would not hold the lock. "
                f"Fork at event {before}, where the lock is requested, or after the critical section."
            )


# The history of the new execution -----------------------------------------------------------------------------


def _kept(event: HistoryEvent, undone: set[int], fire_times: Mapping[int, Instant]) -> HistoryEvent:
    if isinstance(event, _RecordedDecision) and event.event_id in undone:
        # What a rewind writes: the replay ignores it, and makes the decision again.
        return GenericEvent(timestamp=event.timestamp, event_id=event.event_id, is_played=event.is_played)
    if isinstance(event, TimerCreated) and event.event_id in fire_times:
        return replace(event, fire_at=fire_times[event.event_id])
    return event


def _name(event: HistoryEvent) -> str:
    match event:
        case TaskScheduled(name=name) | SubOrchestrationInstanceCreated(name=name):
            return name
        case EventSent(instance_id=target):
            return target
        case _:
            return event.type_name


def is_derived(child: SubOrchestrationInstanceCreated, parent: OrchestrationInstance) -> bool:
    """Return whether the id of a child was derived from the execution of its parent, and not chosen by the code."""
    return bool(parent.execution_id) and child.instance_id.startswith(f"{parent.execution_id}:")


def new_request_ids(
    events: Sequence[HistoryEvent], old: OrchestrationInstance, new: OrchestrationInstance
) -> Mapping[str, str]:
    """Return the new ids of requests to entities by the old ones: they are derived from the id of the instance.

    A .NET host computes the ids again in every replay, and finds the responses under them. An id that was derived in
    another way is left out, and stays; azemu takes ids from the history.
    """
    requests = entity_requests(events)
    ids: dict[str, str] = {}
    ordinal, moment = 0, ""
    for event in events:
        if isinstance(event, OrchestratorStarted):
            moment = event.timestamp.text7
        if ordinal == len(requests) or event is not requests[ordinal][0]:
            continue
        request_id = requests[ordinal][1].id
        # .NET counts all requests of the execution. The first guess is nearly always right.
        for count in (ordinal, *range(len(requests) + _MORE_REQUESTS)):
            if request_id == str(uuid5(_REQUEST_IDS, f"{old.instance_id}_{moment}_{count}")):
                ids[request_id] = str(uuid5(_REQUEST_IDS, f"{new.instance_id}_{moment}_{count}"))
                break
        ordinal += 1
    return ids


def _with_ids(event: HistoryEvent, ids: Mapping[str, str], new: OrchestrationInstance) -> HistoryEvent:
    """Return a request to an entity, or its response, as if the new execution had exchanged them."""
    if isinstance(event, EventRaised) and event.name in ids:
        return replace(event, name=ids[event.name])
    if not isinstance(event, EventSent) or not (requests := entity_requests([event])):
        return event
    [(_, sent)] = requests
    sent = replace(
        sent,
        id=ids.get(sent.id, sent.id),
        parent=new.instance_id,
        parent_execution=new.execution_id,
        # The entity has received nothing of the new instance. It would hold the next request back until one with this
        # time arrives.
        timestamp=NO_TIMESTAMP,
        predecessor=NO_TIMESTAMP,
    )
    return replace(event, input=sent.from_instance())


# Edited payloads -----------------------------------------------------------------------------------------------


def _edited(events: Sequence[HistoryEvent], request: ForkRequest) -> list[HistoryEvent]:
    edited = list(events)
    for number, event in enumerate(edited):
        if request.input is not None and isinstance(event, ExecutionStarted):
            edited[number] = replace(event, input=_encoded(event.input, request.input, default_is_text=True))
    if request.event_input is not None:
        chosen = edited[request.at] if request.at < len(edited) else None
        text = request.event_input
        match chosen:
            case ExecutionStarted():
                edited[request.at] = replace(chosen, input=_encoded(chosen.input, text, default_is_text=True))
            case EventRaised():
                edited[request.at] = replace(chosen, input=_encoded(chosen.input, text))
            case TaskCompleted() | SubOrchestrationInstanceCompleted():
                edited[request.at] = replace(chosen, result=text)
            case TaskFailed():
                edited[request.at] = TaskCompleted(
                    timestamp=chosen.timestamp, task_scheduled_id=chosen.task_scheduled_id, result=text
                )
            case SubOrchestrationInstanceFailed():
                edited[request.at] = SubOrchestrationInstanceCompleted(
                    timestamp=chosen.timestamp, task_scheduled_id=chosen.task_scheduled_id, result=text
                )
            case _:
                what = f"event {request.at} ({chosen.type_name})" if chosen is not None else "the present"
                received = episode_at(events, request.at).received
                those = [
                    f"event {number} ({events[number].type_name})"
                    for number in received
                    if isinstance(events[number], ExecutionStarted | EventRaised | TaskResult)
                ]
                instead = f"Fork at {' or '.join(those)}." if those else "Choose an event that brings a value."
                raise ForkRefused(f"There is no value to replace at {what}. {instead}")
    return edited


def _encoded(recorded: str | None, text: str, *, default_is_text: bool = False) -> str:
    """Return a JSON text as the recorded payload was encoded: Python clients send JSON in a JSON string."""
    is_text = default_is_text
    if recorded is not None:
        try:
            inner = json.loads(recorded)
            is_text = isinstance(inner, str)
            if is_text:
                json.loads(inner)
        except ValueError:
            is_text = False
    return json_text(text) if is_text else text
