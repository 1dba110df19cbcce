"""Properties of replay for all programs, orders of messages and repeated deliveries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from emulator.durable.core.decisions import Complete, Decision, ScheduleTask, SendEvent
from emulator.durable.core.decisions import CreateTimer as TimerDecision
from emulator.durable.core.entities.messages import Request
from emulator.durable.core.events import EventRaised, HistoryEvent, TaskCompleted
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.replay.actions import (
    Action,
    CallActivity,
    CallEntity,
    CreateTimer,
    OrchestratorResponse,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from emulator.durable.core.replay.program import ReplaySettings, replay
from emulator.durable.core.replay.retries import RetryOptions
from emulator.durable.core.state import begin_episode
from tests.durable.core.episodes import BEGIN, INSTANCE, Instance, done, failed, finished, fired, raised

RETRY = RetryOptions(first_interval=timedelta(seconds=1), max_attempts=2)
EVENTS = ("x", "y")

leaves: st.SearchStrategy[Action] = st.one_of(
    st.builds(CallActivity, st.sampled_from(("A", "B")), st.just("null"), st.sampled_from((None, RETRY))),
    st.builds(CreateTimer, st.just(BEGIN + timedelta(seconds=5)), st.booleans()),
    st.builds(WaitForExternalEvent, st.sampled_from(EVENTS)),
    st.builds(CallEntity, st.just("@counter@k"), st.just("get"), st.just("null")),
    st.builds(SignalEntity, st.just("@counter@k"), st.just("add"), st.just("1")),
)
actions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(WhenAll, st.lists(inner, min_size=1, max_size=3)),
        st.builds(WhenAny, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=4,
)
programs = st.lists(actions, min_size=1, max_size=5)


class Environment:
    """Sender of everything that an instance receives: results, timers, entity responses, external events."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw
        self._pending: list[HistoryEvent] = []

    def receive(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            match decision:
                case ScheduleTask():
                    result = done if self._draw(st.booleans()) else failed
                    self._pending.append(result(decision.id))
                case TimerDecision():
                    self._pending.append(fired(decision.id, decision.fire_at))
                case SendEvent():
                    request = Request.parse(decision.input or "")
                    if not request.is_signal:
                        self._pending.append(raised(request.id, '{"result":"1"}'))

    def send(self) -> list[HistoryEvent]:
        """Return some pending messages in any order, and up to two external events."""
        self._pending = self._draw(st.permutations(self._pending))
        count = self._draw(st.integers(0, len(self._pending)))
        events, self._pending = self._pending[:count], self._pending[count:]
        return [*events, *(raised(name) for name in self._draw(st.lists(st.sampled_from(EVENTS), max_size=2)))]


@given(st.data())
def test_replay_of_stored_history_has_no_new_decisions(data: st.DataObject) -> None:
    answer = finished(*data.draw(programs))
    instance, environment = Instance(), Environment(data)
    for _ in range(data.draw(st.integers(1, 6))):
        environment.receive(instance.episode(answer, *environment.send()))
        if instance.has_ended:
            return  # An ended execution is not replayed.
        assert decided_on(instance.history, answer) == []


@given(st.data())
def test_ids_are_consecutive_and_unique(data: st.DataObject) -> None:
    answer = finished(*data.draw(programs))
    instance, environment = Instance(), Environment(data)
    numbers: list[int] = []
    for _ in range(6):
        decisions = instance.episode(answer, *environment.send())
        numbers += [decision.id for decision in decisions]
        environment.receive(decisions)
    assert numbers == list(range(len(numbers)))


@given(st.data())
def test_duplicate_results_have_no_effect(data: st.DataObject) -> None:
    """Queues deliver at least once; the second delivery can be much later."""
    answer = finished(*data.draw(programs))
    once, twice, environment = Instance(), Instance(), Environment(data)
    seen: list[HistoryEvent] = []
    for _ in range(5):
        events = environment.send()
        results = [event for event in events if not isinstance(event, EventRaised)]
        repeated = data.draw(st.lists(st.sampled_from(seen + results), max_size=4)) if seen + results else []
        seen += results
        decisions = once.episode(answer, *events)
        assert twice.episode(answer, *events, *repeated) == decisions
        environment.receive(decisions)


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=8), st.data())
def test_order_of_deliveries_does_not_change_the_result(
    order: Sequence[int], again: Sequence[int], data: st.DataObject
) -> None:
    answer = finished(WhenAll([CallActivity("A", str(number)) for number in range(8)]), output='"end"')
    instance = Instance()
    instance.episode(answer)
    deliveries = [*order, *again]
    while deliveries:
        count = data.draw(st.integers(1, len(deliveries)))
        instance.episode(answer, *(done(number) for number in deliveries[:count]))
        deliveries = deliveries[count:]

    results = sorted(event.task_scheduled_id for event in instance.history if isinstance(event, TaskCompleted))
    assert results == list(range(8))
    assert instance.result == '"end"'


@given(st.data())
def test_partly_stored_episode_is_completed_from_its_history(data: st.DataObject) -> None:
    """More than 99 events take several transactions. After a crash between them all messages are delivered again."""
    answer = finished(*data.draw(programs))
    instance, environment = Instance(), Environment(data)
    environment.receive(instance.episode(answer))
    before, events = instance.history, environment.send()
    decisions = instance.episode(answer, *events)
    if len(instance.history) == len(before) or (instance.has_ended):
        return
    messages = 1 + sum(event.event_id == -1 for event in instance.history[len(before) + 1 : -1])
    instance.history = instance.history[: data.draw(st.integers(len(before) + messages, len(instance.history) - 1))]
    stored = {event.event_id for event in instance.history}

    again = instance.episode(answer, *(event for event in events if not isinstance(event, EventRaised)))

    missing = [decision for decision in decisions if decision.id not in stored]
    assert without_wall_clock(again) == without_wall_clock(missing)
    assert decided_on(instance.history, answer) == []


@given(st.lists(st.integers(0, 3_000_000), max_size=4))
def test_episode_clock_never_decreases_and_follows_fired_timers(delays: Sequence[int]) -> None:
    instance = Instance()
    answer = finished(
        *(CreateTimer(BEGIN.plus_ticks(delay)) for delay in range(len(delays))), WaitForExternalEvent("x")
    )
    instance.episode(answer)
    clock = BEGIN
    for number, delay in enumerate(delays):
        fire_at = instance.now.plus_ticks(delay * 10)
        state = instance.begin(fired(number, fire_at))
        assert state is not None
        assert state.new[0].timestamp >= max(clock, fire_at)
        clock = state.new[0].timestamp
        instance.episode(answer, fired(number, fire_at))


@given(st.permutations([0, 1, 2]))
def test_events_before_start_message_follow_execution_started(order: Sequence[int]) -> None:
    instance = Instance()
    messages = [instance.start, raised("x"), raised("y")]
    state = begin_episode([], [TaskMessage(messages[number], INSTANCE) for number in order], BEGIN)
    assert state is not None
    assert state.new[1] == instance.start
    assert len(state.new) == 4


def decided_on(history: Sequence[HistoryEvent], answer: OrchestratorResponse) -> Sequence[Decision]:
    replayed = replay(history, [], answer, started=Instance().start, settings=ReplaySettings())
    return [decision for decision in replayed.decisions if not isinstance(decision, Complete)]


def without_wall_clock(decisions: Sequence[Decision]) -> list[Decision]:
    return [
        replace(decision, input=re.sub(r'"requestTime":"[^"]*"', "", decision.input or ""))
        if isinstance(decision, SendEvent)
        else decision
        for decision in decisions
    ]
