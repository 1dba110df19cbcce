"""Runtime state of an execution: facts from its history, and the episode that begins with new messages.

Source: DurableTask.Core, src/DurableTask.Core/OrchestrationRuntimeState.cs; TaskOrchestrationDispatcher.cs,
ReconcileMessagesWithState.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce

from emulator.durable.core.events import (
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.known_results import KnownResults, is_for_execution
from emulator.durable.core.messages import TaskMessage, due_at
from emulator.durable.core.status import status_after
from emulator.instant import MIN_INSTANT, Instant

FIRE_AND_FORGET = "FireAndForget"
SOURCE_INSTANCE_ID = "MS_DurableFunctions_SourceInstanceId"
"""Tag of an instance that repeats another one under a new id (restart): the id of that instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """One execution during an episode. `past`: the stored events; `new`: the events that this episode adds.

    `sent_at`: time of the messages that the episode sends, the same whenever the episode is repeated; None: `clock`.
    """

    started: ExecutionStarted
    past: Sequence[HistoryEvent]
    new: Sequence[HistoryEvent]
    is_suspended: bool = False
    sent_at: Instant | None = None

    @property
    def instance(self) -> OrchestrationInstance:
        """The instance id and execution id."""
        return self.started.instance

    @property
    def clock(self) -> Instant:
        """The orchestrator's current time."""
        # The first new event is OrchestratorStarted.
        return self.new[0].timestamp

    @property
    def has_waiting_parent(self) -> bool:
        """Whether a parent orchestration waits for the result."""
        return self.started.parent is not None and FIRE_AND_FORGET not in (self.started.tags or {})


# A message that was not processed within this time was delayed by something else than its way: there was no host, or
# there were too many messages.
_TIMELY = timedelta(seconds=10)
# A message that a killed host had received is received again within this time: locks last five minutes by default.
_RECOVERY = timedelta(minutes=10)
# Much less than entities remember requests by default (`entityMessageReorderWindowInMinutes`, 30).
_REMEMBERED = timedelta(minutes=10)
# Storage services deliver delayed messages up to a second early.
_EARLY = timedelta(seconds=1)


def begin_episode(
    history: Sequence[HistoryEvent], messages: Sequence[TaskMessage], now: Instant, *, redelivered: bool = False
) -> RuntimeState | None:
    """Return the state in which the function is called: an OrchestratorStarted, then the events of the messages.

    Repeated starts, messages for another execution, results that the history already has, and all messages to an
    instance that has ended or was never started are left out. None: no event is left, so there is no episode.
    `redelivered`: a host may have begun this episode before and not stored it.
    """
    past = _HistorySummary.of(history)
    if past.started is None:
        # Queues do not keep the order, so other messages may have arrived before the start.
        messages = sorted(messages, key=lambda message: not isinstance(message.event, ExecutionStarted))
    # Without a start, the messages are for an instance that does not exist, or whose start is still on its way.
    first = messages[0].event if messages else None
    started = past.started or (first if isinstance(first, ExecutionStarted) else None)
    if started is None or past.ended is not None:
        return None
    accepted = _accepted(messages, past, started)
    # A history of more than 99 events is stored in several transactions. If the host crashed between two of them, all
    # messages are known but some decisions are missing: the episode runs again to make them.
    if not accepted and past.is_complete:
        return None
    events = [message.event for message in accepted]
    # The time of an episode is never before that of a timer that has fired. Users and the SDK's long timers compare the
    # current time with the timer's, and the storage service may deliver up to a second early.
    timers = [event.fire_at for event in events if isinstance(event, TimerFired)]
    earliest = max([past.next_episode_from, *timers])
    # Without messages, the episode makes the missing decisions of the last one.
    oldest = min((due_at(message) or message.event.timestamp for message in accepted), default=earliest)
    clock = max(_current_time(oldest, now, redelivered=redelivered), earliest)
    return RuntimeState(
        started=started,
        past=history,
        new=[OrchestratorStarted(timestamp=clock), *events],
        is_suspended=_is_suspended(events, before=past.is_suspended),
        sent_at=_sending_time(oldest, past.next_episode_from, earliest),
    )


def _current_time(oldest: Instant, now: Instant, *, redelivered: bool) -> Instant:
    """Return the orchestrator's current time: that of the `oldest` message, if the message was timely, or else `now`.

    .NET always takes `now`. But fire times and what users derive from the current time depend on it. An episode that
    is repeated after a crash should have the time that it had before, so that it sends the same messages. The oldest
    message counts, because others may have arrived since. After a message that has waited for a host, an old time
    would let a timer of the orchestrator fire at once.
    """
    # A clock of another machine may be ahead.
    longest = _RECOVERY if redelivered else _TIMELY
    is_timely = now + -longest <= oldest <= now + _EARLY
    return oldest if is_timely else now


def _sending_time(oldest: Instant, next_episode_from: Instant, earliest: Instant) -> Instant:
    """Return the time of the messages that an episode sends.

    Ids and times of requests to entities depend on it. An entity drops a request that is older than another one of the
    same sender, so a repeated episode must send the same ones, even if its message has waited for days. It may get
    other messages than before: a response that an entity has sent twice has two times. So the history decides, unless
    it is so old that entities do not remember what came before it.
    """
    return next_episode_from if oldest + -_REMEMBERED <= next_episode_from else max(oldest, earliest)


@dataclass(frozen=True, slots=True)
class _HistorySummary:
    """Facts from a stored history. `is_complete`: the last episode was stored to its end.

    `next_episode_from`: earliest time of the next episode.
    """

    events: Sequence[HistoryEvent]
    started: ExecutionStarted | None
    ended: ExecutionCompleted | None
    is_suspended: bool
    next_episode_from: Instant
    is_complete: bool

    @classmethod
    def of(cls, history: Sequence[HistoryEvent]) -> _HistorySummary:
        started = ended = None
        next_episode_from = MIN_INSTANT
        for event in history:
            match event:
                case ExecutionStarted():
                    # The first one counts. A second start in a history would be a repeated one.
                    started = started or event
                case ExecutionCompleted():
                    ended = event
                case OrchestratorStarted():
                    next_episode_from = max(next_episode_from, after(event.timestamp))
        is_complete = not history or isinstance(history[-1], OrchestratorCompleted)
        return cls(history, started, ended, _is_suspended(history, before=False), next_episode_from, is_complete)


def after(episode: Instant) -> Instant:
    """Return the earliest time of the episode after one with this time."""
    # One tick: Python reads the time in microseconds, and timers that are computed from it have whole ones.
    return episode.plus_ticks(1)


def _accepted(messages: Sequence[TaskMessage], past: _HistorySummary, started: ExecutionStarted) -> list[TaskMessage]:
    known = KnownResults(past.events)
    accepted: list[TaskMessage] = []
    for message in messages:
        event = message.event
        is_repeated_start = isinstance(event, ExecutionStarted) and (past.started is not None or bool(accepted))
        if is_repeated_start or not is_for_execution(message, started.instance.execution_id) or known.has(event):
            continue
        known.add(event)
        accepted.append(message)
    return accepted


def _is_suspended(events: Iterable[HistoryEvent], *, before: bool) -> bool:
    status: RuntimeStatus | None = RuntimeStatus.SUSPENDED if before else RuntimeStatus.RUNNING
    return reduce(status_after, events, status) is RuntimeStatus.SUSPENDED
