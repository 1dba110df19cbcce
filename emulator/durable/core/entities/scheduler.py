"""What an entity does with its messages: order, batches, locks, delayed signals, replies.

An entity is an orchestration that continues as new after every batch. All that it must remember is its scheduler
state, the input of the generation it is in:

    plan     scheduler state + events → the operations to run now, and what to send on
    commit   their results            → decisions, the last of which begins the next generation

Source: durable-extension, Listener/TaskEntityShim.cs, EntityScheduler/SchedulerState.cs.
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

_EARLY_ENOUGH = timedelta(milliseconds=100)
_LONGEST_SUSPENSION = timedelta(seconds=10)  # then the `continue` message is taken for lost


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerState:
    """The input of an entity's generation. `state`: the user's, as JSON text; `sorter`: its JSON members."""

    exists: bool = False
    state: str | None = None
    queue: Sequence[Request] = ()
    locked_by: str | None = None
    suspended: bool = False
    sorter: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> SchedulerState:
        """None is an entity that begins. Raises ValueError when it is not a scheduler state."""
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
        members: dict[str, Any] = {}
        if self.exists:
            members["exists"] = True
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
        """The custom status of the entity's instance."""
        members: dict[str, Any] = {}
        if self.exists:
            members["entityExists"] = True
        if self.queue:
            members["queueSize"] = len(self.queue)
        if self.locked_by is not None:
            members["lockedBy"] = self.locked_by
        return json_text(members)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityTurn:
    """What there is to do. `state`: what remains when `operations` and `lock_request` are taken from the queue.

    `delayed`: signals that are due later. `goes_on`: the batch is full and the queue is not empty. For the log:
    `events`, how many messages came; `released`, locks given back; `flags`, the extension's letters for what happened.
    """

    state: SchedulerState
    sorter: MessageSorter = field(repr=False)
    operations: Sequence[Request] = ()
    lock_request: Request | None = None
    delayed: Sequence[Request] = ()
    goes_on: bool = False
    events: int = 0
    released: Sequence[Release] = ()
    flags: str = ""

    @property
    def has_work(self) -> bool:
        return bool(self.operations) or self.lock_request is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAnswer:
    """What the entity function made of the operations: the new state, a response to each, signals to others."""

    exists: bool
    state: str | None
    responses: Sequence[Response] = ()
    signals: Sequence[tuple[EntityId, Request]] = ()


def plan(
    started: ExecutionStarted, events: Iterable[HistoryEvent], now: Instant, *, window: timedelta, max_batch: int
) -> EntityTurn:
    """Let the messages in, and choose what to run.

    `window`: entityMessageReorderWindowInMinutes. `max_batch`: maxEntityOperationBatchSize.
    """
    state = SchedulerState.parse(started.input)
    sorter = MessageSorter.from_members(state.sorter, window)
    inbox = _Inbox(state, sorter, now)
    for event in events:
        if isinstance(event, EventRaised):
            inbox.take(event)
    suspended = inbox.suspended and now <= started.timestamp + _LONGEST_SUSPENSION
    queue = deque([*inbox.from_holder, *inbox.queue])
    operations: list[Request] = []
    lock_request = None
    while not suspended and lock_request is None and len(operations) < max_batch and _is_next(queue, inbox.locked_by):
        request = queue.popleft()
        if request.is_lock_request:
            lock_request = request
        else:
            operations.append(request)
    goes_on = len(operations) == max_batch and lock_request is None and _is_next(queue, inbox.locked_by)
    return EntityTurn(
        state=replace(state, queue=tuple(queue), locked_by=inbox.locked_by, suspended=suspended or goes_on),
        sorter=sorter,
        operations=operations,
        lock_request=lock_request,
        delayed=inbox.delayed,
        goes_on=goes_on,
        events=inbox.events,
        released=inbox.released,
        flags=_flags(inbox, suspended=suspended, goes_on=goes_on, runs=bool(operations)),
    )


def commit(
    entity: EntityId, turn: EntityTurn, answer: BatchAnswer | None, now: Instant
) -> tuple[Sequence[Decision], SchedulerState]:
    """What to send, in this order: delayed signals, responses, signals to others, a lock message, a `continue`; then
    the next generation. `answer` None: there were no operations.
    """
    send = _Sender(OrchestrationInstance(entity.instance_id, None))
    state = turn.state
    for request in turn.delayed:
        send.to_itself(request.event_name_at(now), request.from_instance())
    if answer is not None:
        state = replace(state, exists=answer.exists, state=answer.state)
        for request, response in zip(turn.operations, answer.responses, strict=True):
            send.response(request, response)
        for target, signal in answer.signals:
            labelled = turn.sorter.label(signal, target.instance_id, now)
            send.to_entity(target, labelled)
    if turn.lock_request is not None:
        state = replace(state, locked_by=turn.lock_request.parent)
        _pass_on_lock(turn.lock_request, send)
    if turn.goes_on:
        send.to_itself(CONTINUE, None)
    state = replace(state, sorter=turn.sorter.members())
    return [*send.decisions, StartNextGeneration(len(send.decisions), state.text)], state


def _flags(inbox: _Inbox, *, suspended: bool, goes_on: bool, runs: bool) -> str:
    """Rehydrated, resumed, resumed because the message for it is missing, limited, without a call, suspended."""
    passed = {
        "Y": True,
        "R": inbox.resumed,
        "M": inbox.suspended and not suspended,
        "L": goes_on,
        "D": not runs,
        "S": goes_on,
    }
    return "".join(flag for flag, happened in passed.items() if happened)


def _is_next(queue: deque[Request], locked_by: str | None) -> bool:
    """Whether the head of the queue may run: a locked entity serves its holder only."""
    return bool(queue) and (locked_by is None or queue[0].parent == locked_by)


def _pass_on_lock(request: Request, send: _Sender) -> None:
    """The set is locked one entity after the other; the last one tells the orchestration."""
    forwarded = request.forwarded()
    if forwarded.position < len(forwarded.lockset):
        send.to_entity(forwarded.lockset[forwarded.position], forwarded)
    else:
        send.response(request, Response(LOCK_GRANTED))


class _Inbox:
    """Messages on their way into the queue. What the holder of the lock sends goes before all else."""

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

    def take(self, event: EventRaised) -> None:
        self.events += 1
        if event.name.startswith(OPERATION):
            self._take_request(Request.parse(event.input or ""))
        elif event.name == RELEASE:
            self._take_release(Release.parse(event.input or ""))
        else:
            self.suspended, self.resumed = False, True

    def _take_request(self, request: Request) -> None:
        if request.due is not None and request.due > self._now + _EARLY_ENOUGH:
            self.delayed.append(request)
            return
        for delivered in [request] if request.due is not None else self._sorter.receive(request):
            is_from_holder = self.locked_by is not None and delivered.parent == self.locked_by
            (self.from_holder if is_from_holder else self.queue).append(delivered)

    def _take_release(self, release: Release) -> None:
        if self.locked_by == release.parent:
            self.locked_by = None
            self.released.append(release)


class _Sender:
    """Collects what an entity sends. Nothing of it is recorded: the generation that sends it is not kept."""

    def __init__(self, itself: OrchestrationInstance) -> None:
        self.decisions: list[Decision] = []
        self._itself = itself
        self._ids = itertools.count()

    def to_itself(self, name: str, text: str | None) -> None:
        self._send(self._itself, name, text)

    def to_entity(self, target: EntityId, request: Request) -> None:
        self._send(OrchestrationInstance(target.instance_id, None), request.event_name, request.from_instance())

    def response(self, request: Request, response: Response) -> None:
        """To the caller's execution; signals get none."""
        if not request.is_signal and request.parent is not None:
            self._send(OrchestrationInstance(request.parent, request.parent_execution), request.id, response.text)

    def _send(self, target: OrchestrationInstance, name: str, text: str | None) -> None:
        self.decisions.append(SendEvent(next(self._ids), target, name, text, recorded=False))
