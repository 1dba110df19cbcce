"""Which events an execution already has, and which messages are for it."""

from __future__ import annotations

import pytest

from emulator.durable.core.events import (
    EventRaised,
    ExecutionSuspended,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.core.known_results import KnownResults, is_for_execution
from emulator.durable.core.messages import TaskMessage
from emulator.instant import Instant

NOON = Instant.parse("2026-03-01T12:00:00Z")
LATER = Instant.parse("2026-03-01T12:00:01Z")
COMPLETED = TaskCompleted(timestamp=NOON, task_scheduled_id=1, result="1")
FAILED = TaskFailed(timestamp=NOON, task_scheduled_id=1, reason="r", details=None)
CHILD = SubOrchestrationInstanceCompleted(timestamp=NOON, task_scheduled_id=1, result="1")
CHILD_FAILED = SubOrchestrationInstanceFailed(timestamp=NOON, task_scheduled_id=1, reason="r", details=None)
FIRED = TimerFired(timestamp=NOON, timer_id=1, fire_at=NOON)
# Results of the same kind of action and with the same id answer the same action.
ACTIONS = [(COMPLETED, FAILED), (CHILD, CHILD_FAILED), (FIRED,)]
RESULTS = [(result, action) for action in ACTIONS for result in action]


@pytest.mark.parametrize(("result", "action"), RESULTS, ids=lambda value: type(value).__name__)
def test_an_action_has_one_result(result: HistoryEvent, action: tuple[HistoryEvent, ...]) -> None:
    known = KnownResults([result])
    assert [other for other, _ in RESULTS if known.has(other)] == list(action)


def test_the_content_of_a_result_does_not_matter() -> None:
    assert KnownResults([COMPLETED]).has(TaskCompleted(timestamp=LATER, task_scheduled_id=1, result="2"))
    assert not KnownResults([COMPLETED]).has(TaskCompleted(timestamp=NOON, task_scheduled_id=2, result="1"))


def test_negative_timer_ids_of_other_backends_may_repeat() -> None:
    fired = TimerFired(timestamp=NOON, timer_id=-100, fire_at=NOON)
    assert not KnownResults([fired]).has(fired)


@pytest.mark.parametrize(
    "event",
    [EventRaised(timestamp=NOON, name="word", input="1"), ExecutionSuspended(timestamp=NOON, reason="r")],
    ids=lambda event: type(event).__name__,
)
def test_an_external_event_is_known_only_if_it_was_delivered_before(event: HistoryEvent) -> None:
    known = KnownResults([event])
    assert (known.has(event), known.has(event, redelivered=True)) == (False, True)
    assert not KnownResults([]).has(event, redelivered=True)


def test_results_of_this_episode_are_known_but_equal_external_events_are_not() -> None:
    event = EventRaised(timestamp=NOON, name="word", input="1")
    known = KnownResults([])
    known.add(COMPLETED)
    known.add(event)
    assert (known.has(COMPLETED), known.has(event, redelivered=True)) == (True, False)


@pytest.mark.parametrize(
    ("target", "execution", "is_for"),
    [(None, "e1", True), ("", "e1", True), ("e1", "e1", True), ("e0", "e1", False), ("e0", None, False)],
)
def test_a_message_is_for_its_execution_or_for_all(target: str | None, execution: str | None, is_for: bool) -> None:
    message = TaskMessage(TaskScheduled(timestamp=NOON, event_id=0, name="f"), OrchestrationInstance("i1", target))
    assert is_for_execution(message, execution) is is_for
