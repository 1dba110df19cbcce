"""Episodes: from received messages and decisions to history events and sent messages."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from emulator.durable.core.decisions import (
    Complete,
    ScheduleTask,
    SendEvent,
    StartNextGeneration,
    StartSubOrchestration,
)
from emulator.durable.core.episode import AppliedDecisions, Outbox, apply_decisions, outcome_of
from emulator.durable.core.events import (
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskScheduled,
)
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.core.replay.actions import CallActivity, CallSubOrchestrator, ContinueAsNew, WaitForExternalEvent
from emulator.durable.core.state import RuntimeState, begin_episode
from emulator.instant import Instant
from tests.durable.core.episodes import BEGIN, INSTANCE, Instance, done, finished, raised, started, waiting

PARENT = ParentInstance("parent", OrchestrationInstance("p1", "pe1"), 7)


def to(execution_id: str | None, event: object) -> TaskMessage:
    return TaskMessage(event, OrchestrationInstance("i1", execution_id))  # type: ignore[arg-type]


def first_turn(start: ExecutionStarted | None = None) -> RuntimeState:
    state = begin_episode([], [to("e1", start or started())], BEGIN)
    assert state is not None
    return state


def apply(state: RuntimeState, *decisions: object, outbox: Outbox | None = None, **options: bool) -> AppliedDecisions:
    return apply_decisions(
        state,
        decisions,  # type: ignore[arg-type]
        outbox or Outbox(),
        played=len(state.new),
        now=BEGIN,
        **options,
    )


# Which messages count ------------------------------------------------------------------------------------------


def test_messages_for_older_execution_are_ignored() -> None:
    instance = Instance()
    instance.episode(waiting(CallActivity("A", "1")))
    assert begin_episode(instance.history, [to("e0", done(0))], BEGIN) is None
    state = begin_episode(instance.history, [to("e0", done(0)), to(None, raised("go")), to("e1", done(0, "1"))], BEGIN)
    assert state is not None
    assert [type(event).__name__ for event in state.new] == ["OrchestratorStarted", "EventRaised", "TaskCompleted"]


def test_repeated_start_is_ignored() -> None:
    again = replace(started(), instance=OrchestrationInstance("i1", "e2"))
    assert len(first_turn().new) == 2
    state = begin_episode([], [to("e1", started()), to("e2", again)], BEGIN)
    assert state is not None
    assert state.instance == INSTANCE
    instance = Instance()
    instance.episode(waiting(CallActivity("A", "1")))
    assert begin_episode(instance.history, [to("e1", started())], BEGIN) is None


def test_the_time_of_an_episode_is_that_of_its_oldest_message() -> None:
    """So that an episode that is repeated after a crash, perhaps with more messages, has the same time."""
    first, second = (replace(raised("go"), timestamp=BEGIN + timedelta(seconds=seconds)) for seconds in (3, 4))
    instance = Instance()
    instance.episode(waiting(CallActivity("A", "1")))

    def time_of(*events: HistoryEvent, seconds: float, redelivered: bool = False) -> Instant:
        now, messages = BEGIN + timedelta(seconds=seconds), [to(None, event) for event in events]
        state = begin_episode(instance.history, messages, now, redelivered=redelivered)
        assert state is not None
        return state.clock

    assert time_of(first, seconds=5) == first.timestamp
    assert time_of(second, first, seconds=300, redelivered=True) == first.timestamp
    # Nobody has seen the message before, so it has waited for a host: the current time is that of the clock.
    assert time_of(first, seconds=300) == BEGIN + timedelta(seconds=300)
    assert time_of(first, seconds=3600, redelivered=True) == BEGIN + timedelta(seconds=3600)
    # The clock of the sender is ahead.
    assert time_of(first, seconds=1) == BEGIN + timedelta(seconds=1)
    # The time never stands still.
    assert time_of(replace(first, timestamp=BEGIN), seconds=1) == BEGIN.plus_ticks(1)


def test_the_messages_of_an_episode_have_the_same_time_however_late_it_is_repeated() -> None:
    """An entity drops a request that is older than the one of the first attempt, and its caller waits for ever."""
    message = to(None, replace(raised("go"), timestamp=BEGIN + timedelta(seconds=3)))
    instance = Instance()
    instance.episode(waiting(CallActivity("A", "1")))
    request = SendEvent(1, OrchestrationInstance("@counter@k", None), "op", "{}")

    def sent(seconds: float, *, redelivered: bool) -> list[TaskMessage]:
        now, outbox = BEGIN + timedelta(seconds=seconds), Outbox()
        state = begin_episode(instance.history, [message], now, redelivered=redelivered)
        assert state is not None
        apply(state, request, StartSubOrchestration(2, "child", "c1", "1"), outbox=outbox)
        return outbox.control

    assert sent(30, redelivered=False) == sent(70, redelivered=True) == sent(3600, redelivered=True)


def test_a_message_that_comes_again_with_another_time_does_not_change_what_is_sent() -> None:
    """An entity that repeats its episode sends a response again, with the time of a message that came in between."""
    first, second = (to(None, replace(raised("go"), timestamp=BEGIN + timedelta(seconds=at))) for at in (7, 3))
    instance = Instance()
    instance.episode(waiting(CallActivity("A", "1")))

    def sent(*messages: TaskMessage) -> list[TaskMessage]:
        outbox = Outbox()
        state = begin_episode(instance.history, messages, BEGIN + timedelta(seconds=30))
        assert state is not None
        apply(state, SendEvent(1, OrchestrationInstance("@counter@k", None), "op", "{}"), outbox=outbox)
        return outbox.control

    assert sent(first) == sent(first, second) == sent(second)


def test_a_repeated_episode_has_the_same_ids() -> None:
    def sent() -> list[TaskMessage]:
        outbox = Outbox()
        child, following = StartSubOrchestration(0, "child", "c1", "1"), StartNextGeneration(1, '"2"')
        applied = apply(first_turn(), child, following, outbox=outbox)
        apply(applied.state, StartSubOrchestration(0, "child", "c1", "1"), outbox=outbox)
        return outbox.control

    assert sent() == sent()
    first, second = sent()
    assert first.target.execution_id != second.target.execution_id


def test_no_episode_for_unstarted_or_ended_instance() -> None:
    assert begin_episode([], [to(None, raised("go"))], BEGIN) is None
    instance = Instance()
    instance.episode(finished())
    assert begin_episode(instance.history, [to(None, raised("go")), to(None, terminated())], BEGIN) is None


def terminated() -> ExecutionTerminated:
    return ExecutionTerminated(timestamp=BEGIN, input="enough")


# What goes out -------------------------------------------------------------------------------------------------


def test_inputs_are_in_messages_but_not_in_history() -> None:
    outbox = Outbox()
    decisions = (ScheduleTask(0, "A", '["1"]'), StartSubOrchestration(1, "child", "c1", '"1"'))
    applied = apply(first_turn(), *decisions, outbox=outbox)
    assert [event.input for event in applied.state.new if isinstance(event, TaskScheduled)] == [None]
    assert [getattr(message.event, "input", None) for message in (*outbox.activities, *outbox.control)] == [
        '["1"]',
        '"1"',
    ]
    kept = apply(first_turn(), *decisions, store_inputs=True).state.new
    assert [event.input for event in kept if isinstance(event, TaskScheduled | SubOrchestrationInstanceCreated)] == [
        '["1"]',
        '"1"',
    ]


def test_child_has_parent_and_its_tags() -> None:
    outbox = Outbox()
    state = first_turn(replace(started(), tags={"a": "1", "b": "1", "FireAndForget": ""}, version="2.0"))
    apply(state, StartSubOrchestration(3, "child", "c1", "1", tags={"b": "2"}), outbox=outbox)
    [message] = outbox.control
    assert isinstance(message.event, ExecutionStarted)
    assert message.event.parent == ParentInstance("flow", INSTANCE, 3, "2.0")
    assert message.event.tags == {"a": "1", "b": "2"}
    assert message.event.instance == message.target
    assert re.fullmatch("[0-9a-f]{32}", message.target.execution_id or "")


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (
            Complete(0, RuntimeStatus.COMPLETED, "5"),
            SubOrchestrationInstanceCompleted(timestamp=BEGIN, task_scheduled_id=7, result="5"),
        ),
        (
            Complete(0, RuntimeStatus.FAILED, "bad", "why"),
            SubOrchestrationInstanceFailed(timestamp=BEGIN, task_scheduled_id=7, reason="bad", details="why"),
        ),
        (
            Complete(0, RuntimeStatus.TERMINATED, "enough"),
            SubOrchestrationInstanceFailed(timestamp=BEGIN, task_scheduled_id=7, reason="enough"),
        ),
    ],
)
def test_result_is_sent_to_parent_execution(end: Complete, answer: object) -> None:
    outbox = Outbox()
    apply(first_turn(started(parent=PARENT)), end, outbox=outbox)
    assert outbox.control == [TaskMessage(answer, PARENT.instance)]  # type: ignore[arg-type]


def test_fire_and_forget_child_sends_no_result() -> None:
    outbox = Outbox()
    forgotten = replace(started(parent=PARENT), tags={"FireAndForget": ""})
    apply(first_turn(forgotten), Complete(0, RuntimeStatus.COMPLETED, None), outbox=outbox)
    assert outbox.control == []


def test_outcome_has_number_of_stored_events() -> None:
    instance = Instance()
    instance.episode(waiting(CallActivity("A", "1")))
    stored = len(instance.history)
    instance.episode(finished(CallActivity("A", "1")), done(0))
    assert instance.state is not None
    outcome = outcome_of(instance.state, instance.outbox, '"status"')
    assert (outcome.past_count, instance.status, outcome.custom_status) == (
        stored,
        RuntimeStatus.COMPLETED,
        '"status"',
    )


# Generations ---------------------------------------------------------------------------------------------------


def test_next_generation_starts_with_carried_events() -> None:
    carried = raised("tick", "1")
    state = first_turn(replace(started(parent=PARENT), version="1.0", tags={"a": "1"}, generation=3))
    applied = apply(state, StartNextGeneration(0, '"2"', (carried,)))
    assert applied.continues
    clock, start, event, end = applied.state.new
    assert isinstance(clock, OrchestratorStarted)
    assert event == replace(carried, is_played=True)
    assert end == OrchestratorCompleted(timestamp=BEGIN)
    assert isinstance(start, ExecutionStarted)
    assert re.fullmatch("[0-9a-f]{32}", start.instance.execution_id or "")
    assert clock.timestamp == start.timestamp > state.clock
    assert start == replace(
        state.started,
        timestamp=start.timestamp,
        instance=OrchestrationInstance("i1", start.instance.execution_id),
        input='"2"',
        generation=None,
    )
    assert applied.state.past == ()


def test_messages_of_all_generations_are_sent() -> None:
    outbox = Outbox()
    first = apply(first_turn(), ScheduleTask(0, "A", "1"), StartNextGeneration(1, '"2"'), outbox=outbox)
    second = apply(first.state, ScheduleTask(0, "B", "1"), outbox=outbox)
    assert [message.event.name for message in outbox.activities if isinstance(message.event, TaskScheduled)] == [
        "A",
        "B",
    ]
    assert [message.target.execution_id for message in outbox.activities] == ["e1", second.state.instance.execution_id]


def test_waiting_generation_has_one_orchestrator_completed() -> None:
    instance = Instance()
    instance.episode(waiting(WaitForExternalEvent("x")))
    applied = apply(first_turn(), StartNextGeneration(0, "1"))
    idle = apply(applied.state)
    assert [type(event).__name__ for event in idle.state.new] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
    ]
    assert [event.is_played for event in idle.state.new] == [False, True, True]


def test_continue_as_new_waits_for_running_tasks() -> None:
    instance, child = Instance(), CallSubOrchestrator("child", "1")
    instance.episode(waiting(child, CallActivity("A", "1")))
    ended = SubOrchestrationInstanceCompleted(timestamp=BEGIN, task_scheduled_id=0)
    assert instance.episode(finished(child, ContinueAsNew("9")), ended) == [StartNextGeneration(1, '"9"')]
