"""Entity scheduler: turns an entity's messages into a batch of operations, and their results into decisions.

An entity is an orchestration that continues as new after every batch. Between batches it keeps only its scheduler
state, which is the input of its current generation.

    plan     scheduler state and events → the operations to run now, and delayed signals to send again
    commit   results of the operations  → decisions, of which the last one begins the next generation

Source: durable-extension, Listener/TaskEntityShim.cs, EntityScheduler/SchedulerState.cs;
docs/protocol/durable-orchestration.md 11.7 to 11.10.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from emulator.dotnet.json_values import json_list, json_object, json_string, read_object
from emulator.dotnet.json_writer import json_text
from emulator.durable.core.decisions import Decision, SendEvent, StartNextGeneration
from emulator.durable.core.entities.messages import (
    CONTINUE,
    LOCK_GRANTED,
    OPERATION,
    ORPHANED_LOCK,
    RELEASE,
    Release,
    Request,
    Response,
    request_from_members,
)
from emulator.durable.core.entities.sorter import MessageSorter
from emulator.durable.core.events import EventRaised, ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import EntityId, OrchestrationInstance
from emulator.instant import Instant

# A delayed signal that is due within this time runs now. One that arrives earlier was hidden for one piece of its delay
# only, and is sent again.
_EARLY_TOLERANCE = timedelta(milliseconds=100)
# An entity that has waited longer for its `continue` message runs without it: the message may be lost.
_CONTINUE_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerState:
    """Input of an entity's generation: all that is stored of an entity between two batches.

    `state`: the user's state as JSON text. `queue`: requests that are delivered but not processed. `locked_by`: id of
    the instance that holds the lock. `suspended`: whether the entity waits for its own `continue` message. `sorter`:
    the JSON members of its MessageSorter.
    """

    exists: bool = False
    state: str | None = None
    queue: Sequence[Request] = ()
    locked_by: str | None = None
    suspended: bool = False
    sorter: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> SchedulerState:
        """Read the input of a generation; None is a new entity. Raises ValueError if it is not a scheduler state."""
        members = read_object(text) if text else {}
        return cls(
            exists=bool(members.get("exists")),
            state=json_string(members.get("state")),
            queue=tuple(request_from_members(request) for request in json_list(members.get("queue"))),
            locked_by=json_string(members.get("lockedBy")),
            suspended=bool(members.get("suspended")),
            sorter=json_object(members.get("sorter")),
        )

    @property
    def text(self) -> str:
        """JSON text in .NET's order of members; those with their default value are left out."""
        members: dict[str, Any] = {}
        if self.exists:
            members["exists"] = True
        # A Python entity that was deleted keeps the text `null` as its state, although it does not exist.
        if self.state is not None:
            members["state"] = self.state
        if self.queue:
            members["queue"] = [request.members() for request in self.queue]
        if self.locked_by is not None:
            members["lockedBy"] = self.locked_by
        if self.suspended:
            members["suspended"] = True
        members["sorter"] = self.sorter
        return json_text(members)

    @property
    def status_text(self) -> str:
        """Custom status of the entity's instance, which lists and queries of entities read."""
        members: dict[str, Any] = {}
        if self.exists:
            members["entityExists"] = True
        if self.queue:
            members["queueSize"] = len(self.queue)
        if self.locked_by is not None:
            members["lockedBy"] = self.locked_by
        return json_text(members)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """Next batch of an entity. `state`: what remains without `operations` and `lock_request`.

    `delayed`: signals that are due later. `has_more`: whether the batch is full and the queue is not empty. For the
    log: `events`, the number of messages received; `released`, locks that were given back; `flags`, the extension's
    letters for what happened.
    """

    state: SchedulerState
    sorter: MessageSorter = field(repr=False)
    operations: Sequence[Request] = ()
    lock_request: Request | None = None
    delayed: Sequence[Request] = ()
    has_more: bool = False
    events: int = 0
    released: Sequence[Release] = ()
    flags: str = ""

    @property
    def has_work(self) -> bool:
        return bool(self.operations) or self.lock_request is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """Results of an entity function: the new state, one response per operation, signals to other entities."""

    exists: bool
    state: str | None
    responses: Sequence[Response] = ()
    signals: Sequence[tuple[EntityId, Request]] = ()


def plan(
    started: ExecutionStarted, events: Iterable[HistoryEvent], now: Instant, *, window: timedelta, max_batch: int
) -> BatchPlan:
    """Put the messages of `events` into the queue, and take the next batch from it.

    `window`: entityMessageReorderWindowInMinutes. `max_batch`: maxEntityOperationBatchSize. Raises ValueError if a
    message or the scheduler state cannot be read.
    """
    state = SchedulerState.parse(started.input)
    sorter = MessageSorter.from_members(state.sorter, window)
    inbox = _Inbox(state, sorter, now)
    for event in events:
        if isinstance(event, EventRaised):
            inbox.receive(event)
    # Like the extension, this checks the age of the generation and not that of the message.
    suspended = inbox.suspended and now <= started.timestamp + _CONTINUE_TIMEOUT
    # Requests of others wait until the lock is released, and its holder releases it after its own operations. So the
    # holder's requests precede the others in the queue.
    queue = deque([*inbox.from_holder, *inbox.queue])
    operations: list[Request] = []
    lock_request = None
    # A lock request ends the batch: what comes after it may run only if the holder sent it.
    while not suspended and lock_request is None and len(operations) < max_batch and _may_run(queue, inbox.locked_by):
        request = queue.popleft()
        if request.is_lock_request:
            lock_request = request
        else:
            operations.append(request)
    has_more = len(operations) == max_batch and lock_request is None and _may_run(queue, inbox.locked_by)
    flags = {
        "Y": True,  # rehydrated from stored state
        "R": inbox.resumed,
        "M": inbox.suspended and not suspended,  # resumed without the `continue` message
        "L": has_more,  # batch size limited
        "D": not operations,  # function not called
        "S": has_more,  # suspended
    }
    return BatchPlan(
        state=replace(state, queue=tuple(queue), locked_by=inbox.locked_by, suspended=suspended or has_more),
        sorter=sorter,
        operations=operations,
        lock_request=lock_request,
        delayed=inbox.delayed,
        has_more=has_more,
        events=inbox.events,
        released=inbox.released,
        flags="".join(flag for flag, is_set in flags.items() if is_set),
    )


def commit(
    entity: EntityId, batch: BatchPlan, result: BatchResult | None, now: Instant
) -> tuple[Sequence[Decision], SchedulerState]:
    """Return the decisions of a batch and the scheduler state of the next generation.

    Messages are sent in this order: delayed signals, responses, signals to other entities, a lock message, `continue`.
    `result`: None if the batch has no operations.
    """
    send = _Outbox(OrchestrationInstance(entity.instance_id, None))
    state = batch.state
    for request in batch.delayed:
        send.to_itself(request.event_name_at(now), request.from_instance())
    if result is not None:
        state = replace(state, exists=result.exists, state=result.state)
        for request, response in zip(batch.operations, result.responses, strict=True):
            send.response(request, response)
        for target, signal in result.signals:
            # Labelled here and not when the function sent it: only signals of a committed batch count as sent.
            send.to_entity(target, batch.sorter.label(signal, target.instance_id, now))
    if batch.lock_request is not None:
        batch.sorter.note_lock(batch.lock_request)
        state = replace(state, locked_by=batch.lock_request.parent)
        # The entities of a set are locked one after the other, in an order that is the same for all sets. So two
        # orchestrations never wait for each other. The last entity responds to the orchestration.
        forwarded = batch.lock_request.forwarded()
        if forwarded.position < len(forwarded.lockset):
            send.to_entity(forwarded.lockset[forwarded.position], forwarded)
        else:
            send.response(batch.lock_request, Response(LOCK_GRANTED))
    if batch.has_more:
        # The rest of the queue would wait for the next message otherwise. A message to itself also lets the host
        # process other instances in between.
        send.to_itself(CONTINUE, None)
    state = replace(state, sorter=batch.sorter.members())
    return [*send.decisions, StartNextGeneration(len(send.decisions), state.text)], state


def _may_run(queue: deque[Request], locked_by: str | None) -> bool:
    """Return whether the head of the queue may run: while an entity is locked, only its holder's requests may."""
    return bool(queue) and (locked_by is None or queue[0].parent == locked_by)


class _Inbox:
    """Receiver of an entity's messages. `from_holder`: requests of the lock's holder, which precede `queue`."""

    def __init__(self, state: SchedulerState, sorter: MessageSorter, now: Instant) -> None:
        self.queue = list(state.queue)
        self.from_holder: list[Request] = []
        self.delayed: list[Request] = []
        self.locked_by = state.locked_by
        self.suspended = state.suspended
        self.resumed = False
        self.events = 0
        self.released: list[Release] = []
        self._sorter = sorter
        self._now = now

    def receive(self, event: EventRaised) -> None:
        """Process one message. Raises ValueError if it cannot be read."""
        self.events += 1
        if event.name.startswith(OPERATION):
            self._receive_request(Request.parse(event.input or ""))
        elif event.name == RELEASE:
            release = Release.parse(event.input or "")
            # A release can arrive twice, and later than the next lock request of the same orchestration. The lock may
            # have another holder by then, or the same one again.
            held = self._sorter.lock_of(release.parent)
            if self.locked_by == release.parent and (held is None or release.id in (held, ORPHANED_LOCK)):
                self.locked_by = None
                self.released.append(release)
        else:
            # Any other name means `continue`, as in the extension.
            self.suspended, self.resumed = False, True

    def _receive_request(self, request: Request) -> None:
        # The order of labels does not tell whether a delayed request has arrived before.
        if request.due is not None and self._has(request):
            return  # Sent twice by an episode that was repeated after a crash.
        if request.due is not None and request.due > self._now + _EARLY_TOLERANCE:
            self.delayed.append(request)
            return
        # A delayed signal passes requests that were sent after it, so it cannot take part in their order.
        for delivered in [request] if request.due is not None else self._sorter.receive(request):
            # Nor does a lock request that another entity has forwarded. A lock that is granted again after its release
            # would never be released.
            if delivered.is_lock_request and (self._has(delivered) or self._sorter.has_granted(delivered)):
                continue
            is_from_holder = self.locked_by is not None and delivered.parent == self.locked_by
            (self.from_holder if is_from_holder else self.queue).append(delivered)

    def _has(self, request: Request) -> bool:
        # Not asked for every request, and so not kept as a set: a queue may be long.
        return any(other.id == request.id for other in (*self.queue, *self.from_holder, *self.delayed))


class _Outbox:
    """Collector of an entity's messages. They are not recorded: the generation that sends them is not stored."""

    def __init__(self, itself: OrchestrationInstance) -> None:
        self.decisions: list[Decision] = []
        self._itself = itself
        self._ids = itertools.count()

    def to_itself(self, name: str, text: str | None) -> None:
        self._send(self._itself, name, text)

    def to_entity(self, target: EntityId, request: Request) -> None:
        # Without an execution id, because an entity has a new execution after every batch.
        self._send(OrchestrationInstance(target.instance_id, None), request.event_name, request.from_instance())

    def response(self, request: Request, response: Response) -> None:
        """Send a response to the caller, unless the request is a signal."""
        # With the execution id, so that a caller that has continued as new meanwhile does not receive it.
        if not request.is_signal and request.parent is not None:
            self._send(OrchestrationInstance(request.parent, request.parent_execution), request.id, response.text)

    def _send(self, target: OrchestrationInstance, name: str, text: str | None) -> None:
        self.decisions.append(SendEvent(next(self._ids), target, name, text, recorded=False))
