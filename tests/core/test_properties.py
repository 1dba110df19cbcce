"""What holds for every program, every order of messages and every repetition."""

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
from tests.core.episodes import BEGIN, INSTANCE, Instance, done, failed, finished, fired, raised

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


class Outside:
    """Everything that answers an instance: activities, timers, entities, people."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._owed: list[HistoryEvent] = []

    def hear(self, decisions: Sequence[Decision]) -> None:
        for decision in decisions:
            match decision:
                case ScheduleTask():
                    result = done if self._draw(st.booleans()) else failed
                    self._owed.append(result(decision.id))
                case TimerDecision():
                    self._owed.append(fired(decision.id, decision.fire_at))
                case SendEvent():
                    request = Request.parse(decision.input or "")
                    if not request.is_signal:
                        self._owed.append(raised(request.id, '{"result":"1"}'))

    def speak(self) -> list[HistoryEvent]:
        """Some of what is owed, in any order, and perhaps an event."""
        self._owed = self._draw(st.permutations(self._owed))
        count = self._draw(st.integers(0, len(self._owed)))
        said, self._owed = self._owed[:count], self._owed[count:]
        return [*said, *(raised(name) for name in self._draw(st.lists(st.sampled_from(EVENTS), max_size=2)))]


@given(st.data())
def test_replaying_a_saved_history_decides_nothing_new(data: st.DataObject) -> None:
    answer = finished(*data.draw(programs))
    instance, outside = Instance(), Outside(data.draw)
    for _ in range(data.draw(st.integers(1, 6))):
        outside.hear(instance.episode(answer, *outside.speak()))
        if instance.state is not None and instance.state.ended is not None:
            return  # nothing is ever replayed on an ended execution
        assert decided_on(instance.history, answer) == []


@given(st.data())
def test_every_number_is_given_once_and_none_is_left_out(data: st.DataObject) -> None:
    answer = finished(*data.draw(programs))
    instance, outside = Instance(), Outside(data.draw)
    numbers: list[int] = []
    for _ in range(6):
        decisions = instance.episode(answer, *outside.speak())
        numbers += [decision.id for decision in decisions]
        outside.hear(decisions)
    assert numbers == list(range(len(numbers)))


@given(st.data())
def test_repeated_results_change_nothing(data: st.DataObject) -> None:
    """A queue may deliver a message twice, at once or much later."""
    answer = finished(*data.draw(programs))
    once, twice, outside = Instance(), Instance(), Outside(data.draw)
    seen: list[HistoryEvent] = []
    for _ in range(5):
        said = outside.speak()
        results = [event for event in said if not isinstance(event, EventRaised)]
        repeated = data.draw(st.lists(st.sampled_from(seen + results), max_size=4)) if seen + results else []
        seen += results
        decisions = once.episode(answer, *said)
        assert twice.episode(answer, *said, *repeated) == decisions
        outside.hear(decisions)


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=8), st.data())
def test_any_order_of_deliveries_gives_the_same_end(
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
def test_an_episode_that_was_cut_off_is_taken_up_where_its_history_ends(data: st.DataObject) -> None:
    """More than 99 events are stored in several transactions; after a crash between them all messages come again."""
    answer = finished(*data.draw(programs))
    instance, outside = Instance(), Outside(data.draw)
    outside.hear(instance.episode(answer))
    before, said = instance.history, outside.speak()
    decisions = instance.episode(answer, *said)
    if len(instance.history) == len(before) or (instance.state is not None and instance.state.ended is not None):
        return
    messages = 1 + sum(event.event_id == -1 for event in instance.history[len(before) + 1 : -1])
    instance.history = instance.history[: data.draw(st.integers(len(before) + messages, len(instance.history) - 1))]
    stored = {event.event_id for event in instance.history}

    again = instance.episode(answer, *(event for event in said if not isinstance(event, EventRaised)))

    left_out = [decision for decision in decisions if decision.id not in stored]
    assert without_wall_clock(again) == without_wall_clock(left_out)
    assert decided_on(instance.history, answer) == []


@given(st.lists(st.integers(0, 3_000_000), max_size=4))
def test_time_never_goes_back_and_is_never_before_a_timer_that_fired(delays: Sequence[int]) -> None:
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
def test_a_start_may_be_overtaken(order: Sequence[int]) -> None:
    instance = Instance()
    messages = [instance.start, raised("x"), raised("y")]
    state = begin_episode([], [TaskMessage(messages[number], INSTANCE) for number in order], BEGIN)
    assert state is not None
    assert state.new[1] == instance.start
    assert len(state.new) == 4


def decided_on(history: Sequence[HistoryEvent], answer: OrchestratorResponse) -> Sequence[Decision]:
    replayed = replay(history, [], answer, started=Instance().start, settings=ReplaySettings(), wall_clock=BEGIN)
    return [decision for decision in replayed.decisions if not isinstance(decision, Complete)]


def without_wall_clock(decisions: Sequence[Decision]) -> list[Decision]:
    return [
        replace(each, input=re.sub(r'"requestTime":"[^"]*"', "", each.input or ""))
        if isinstance(each, SendEvent)
        else each
        for each in decisions
    ]
