"""Delivery rules for messages that arrive twice, early, late, or for an instance that does not exist."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from emulator.durable.azurestorage.messaging.queues import ReceivedMessage
from emulator.durable.azurestorage.messaging.visibility import abandoned_for, hidden_for
from emulator.durable.azurestorage.messaging.wire import CLIENT, MessageData
from emulator.durable.azurestorage.tracking.history import History
from emulator.durable.azurestorage.work.delivery import (
    DeliveryPlan,
    Disposition,
    UnstartedPlan,
    disposition_of_start,
    plan,
    plan_unstarted,
)
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    ExecutionTerminated,
    HistoryEvent,
    OrchestratorStarted,
    TaskCompleted,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.core.identity import OrchestrationInstance, ParentInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage, due_at
from emulator.instant import Instant
from emulator.polling.locked_message import LockedMessage
from emulator.storage.port import QueueMessage, Row, Value

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = Instant.of(NOON)
LOCK = timedelta(minutes=5)
_numbers = itertools.count(1)


# Messages ----------------------------------------------------------------------------------------------------


def message(
    event: HistoryEvent,
    execution: str | None = "e1",
    *,
    id: str = "i1",
    times: int = 1,
    waited: timedelta | None = None,
    sender: OrchestrationInstance = CLIENT,
) -> ReceivedMessage:
    """`times`: how often it was delivered so far; `waited`: since it was sent, by default the delays of retries."""
    number = next(_numbers)
    task = TaskMessage(event, OrchestrationInstance(id, execution))
    data = MessageData(activity_id="a", message=task, sequence_number=number, sender=sender)
    delays = sum(map(abandoned_for, range(1, times)), timedelta())
    carrier = QueueMessage(f"m{number}", "", "r", times, NOON - (delays if waited is None else waited), NOON + LOCK)
    unused = cast(Any, None)
    lock = LockedMessage(unused, carrier, unused, locked_until=NOON + LOCK, locked_for=LOCK, lock_for=LOCK)
    return ReceivedMessage(unused, lock, data, task)


def start(execution: str = "e1", *, parent: int | None = None, times: int = 1, at: Instant = NOW) -> ReceivedMessage:
    origin = None if parent is None else ParentInstance("p", OrchestrationInstance("p1", "pe"), parent)
    instance = OrchestrationInstance("i1", execution)
    started = ExecutionStarted(timestamp=at, instance=instance, name="f", parent=origin, generation=0)
    return message(started, execution, times=times)


def result(id: int, execution: str = "e1", *, times: int = 1, waited: timedelta | None = None) -> ReceivedMessage:
    completed = TaskCompleted(timestamp=NOW, task_scheduled_id=id, result="1")
    return message(completed, execution, times=times, waited=waited)


def fired(id: int, execution: str = "e1", *, times: int = 1) -> ReceivedMessage:
    return message(TimerFired(timestamp=NOW, timer_id=id, fire_at=NOW), execution, times=times)


def raised(name: str = "word", *, id: str = "i1", times: int = 1, at: Instant = NOW) -> ReceivedMessage:
    return message(EventRaised(timestamp=at, name=name, input="1"), None, id=id, times=times)


def reply(request: str, execution: str = "e1", *, times: int = 1) -> ReceivedMessage:
    sender = OrchestrationInstance("@counter@k", "x")
    return message(EventRaised(timestamp=NOW, name=request, input="{}"), execution, times=times, sender=sender)


def terminate(*, times: int = 1) -> ReceivedMessage:
    return message(ExecutionTerminated(timestamp=NOW, input="enough"), None, times=times)


# Histories ---------------------------------------------------------------------------------------------------


def history(*more: HistoryEvent, execution: str = "e1", parent: int | None = None) -> History:
    started = start(execution, parent=parent).task.event
    begun = History(instance_id="i1", execution_id=execution, etag="x")
    return begun.with_events([OrchestratorStarted(timestamp=NOW), started, *more])


def scheduled(id: int) -> HistoryEvent:
    return TaskScheduled(timestamp=NOW, event_id=id, name="Hello")


def ended(status: RuntimeStatus = RuntimeStatus.COMPLETED) -> HistoryEvent:
    return ExecutionCompleted(timestamp=NOW, event_id=9, status=status)


NOTHING = History(instance_id="i1")
NOT_OURS = History(instance_id="i1", execution_id="e0", etag="x", is_loaded=False)


def check(found: DeliveryPlan, **lists: Sequence[ReceivedMessage]) -> None:
    """The lists that are named hold exactly these messages, all other lists none."""
    for name in ("run", "later", "too_early", "discard", "unstarted"):
        assert list(getattr(found, name)) == list(lists.get(name, ())), name


# Beginnings --------------------------------------------------------------------------------------------------


def test_a_start_begins_an_execution() -> None:
    first = start()
    found = plan(NOTHING, [first])
    check(found, run=[first])
    assert found.begins_execution


def test_events_that_arrived_before_the_start_follow_it() -> None:
    event, first = raised(), start()
    check(plan(NOTHING, [event, first]), run=[first, event])


def test_a_repeated_start_is_discarded() -> None:
    first, again = start(), start()
    check(plan(NOTHING, [first, again]), run=[first], discard=[again])


def test_a_running_execution_is_not_started_again() -> None:
    again = start()
    check(plan(history(), [again]), discard=[again])


def test_a_new_start_replaces_a_finished_execution() -> None:
    again, event = start("e2"), raised()
    found = plan(history(ended()), [event, again])
    check(found, run=[again, event])
    assert found.begins_execution


def test_a_new_start_replaces_an_execution_that_was_not_even_loaded() -> None:
    again = start("e2")
    check(plan(NOT_OURS, [again]), run=[again])


def test_messages_sent_before_a_replacing_start_go_to_the_replaced_execution() -> None:
    event, again, later = raised(), start("e2"), raised("later")
    check(plan(history(), [event, again, later]), run=[event], later=[again, later])


def test_answers_to_a_replaced_execution_are_dropped() -> None:
    again, stale = start("e2"), result(0, "e1")
    check(plan(history(scheduled(0), ended()), [again, stale]), run=[again], discard=[stale])


def test_messages_that_were_received_before_get_an_episode_without_new_ones() -> None:
    """A killed host may have sent messages for them; repeated with the same messages, the episode sends the same."""
    repeated, new = raised("a", times=2), raised("b")
    check(plan(history(), [new, repeated]), run=[repeated], later=[new])
    started = start(times=2)
    check(plan(NOTHING, [started, new]), run=[started], later=[new])
    unseen = start()
    check(plan(NOTHING, [unseen, repeated, new]), run=[unseen, repeated, new])


def test_a_second_response_of_an_entity_is_discarded_when_the_first_is_stored() -> None:
    first, second = reply("r1"), reply("r1")
    asked = EventSent(timestamp=NOW, event_id=0, instance_id="@c@k", name="op", input='{"id":"r1"}')
    check(plan(history(asked), [first, second]), run=[first], later=[second])
    check(plan(history(asked, first.task.event), [second]), discard=[second])


def test_a_parents_repeated_start_does_not_run_the_child_twice() -> None:
    again = start("e2", parent=3)
    check(plan(history(parent=3), [again]), discard=[again])


def test_the_next_attempt_of_a_child_with_the_same_id_replaces_the_last_one() -> None:
    again = start("e2", parent=4)
    check(plan(history(ended(RuntimeStatus.FAILED), parent=3), [again]), run=[again])


# Entities ----------------------------------------------------------------------------------------------------


def test_an_entity_begins_with_its_first_operation() -> None:
    first, second = raised("op", id="@c@k"), raised("op", id="@c@k")
    found = plan(History(instance_id="@c@k"), [first, second])
    check(found, run=[first, second])
    assert found.auto_start


def test_an_entity_does_not_begin_with_anything_else() -> None:
    other = message(ExecutionTerminated(timestamp=NOW), None, id="@c@k")
    check(plan(History(instance_id="@c@k"), [other]), unstarted=[other])


# Answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (scheduled(0), result(0)),
        (TimerCreated(timestamp=NOW, event_id=0, fire_at=NOW), fired(0)),
        (
            EventSent(timestamp=NOW, event_id=0, instance_id="@counter@k", name="op", input='{"op":"add","id":"r1"}'),
            reply("r1"),
        ),
    ],
)
def test_an_answer_is_retried_until_its_question_is_stored(question: HistoryEvent, answer: ReceivedMessage) -> None:
    check(plan(history(), [answer]), too_early=[answer])
    check(plan(history(question), [answer]), run=[answer])


def test_a_repeated_answer_is_discarded_when_the_first_is_stored() -> None:
    """Two hosts, one of which has lost the queue without knowing it, may each take another copy."""
    first, again = result(0), result(0)
    check(plan(history(scheduled(0)), [first, again]), run=[first], later=[again])
    check(plan(history(scheduled(0), first.task.event), [again]), discard=[again])


def test_the_result_of_an_action_that_was_never_stored_is_discarded() -> None:
    """A host was killed after it had sent a timer; the repeated episode had other messages and called an activity."""
    timer = TimerCreated(timestamp=NOW, event_id=1, fire_at=NOW)
    of_timer, of_activity = fired(0), result(1)
    planned = plan(history(scheduled(0), timer), [of_timer, of_activity, fired(1), result(0)])
    assert planned.discard == [of_timer, of_activity]
    assert [each.task.event for each in planned.run] == [fired(1).task.event, result(0).task.event]


def test_a_negative_timer_id_of_another_backend_may_repeat() -> None:
    first, again = fired(-100), fired(-100)
    dummy = TimerCreated(timestamp=NOW, event_id=-100, fire_at=NOW)
    check(plan(history(dummy, first.task.event), [again]), run=[again])


def test_answers_to_another_execution_are_retried_ten_times() -> None:
    fresh, old = result(0, "e7", times=10), result(0, "e7", times=11)
    check(plan(history(), [fresh, old]), too_early=[fresh], discard=[old])
    check(plan(NOTHING, [fresh]), too_early=[fresh])
    check(plan(NOTHING, [old]), unstarted=[old])


def test_deliveries_without_delays_do_not_make_an_answer_too_late() -> None:
    """A queue that goes from host to host, or hosts that are stopped, deliver a message many times in a minute."""
    often = result(0, "e7", times=30, waited=timedelta(minutes=2))
    check(plan(history(), [often]), too_early=[often])
    check(plan(NOTHING, [often]), too_early=[often])


@pytest.mark.parametrize("answer", [result(0, times=40), fired(0, times=40), reply("r1", times=40)])
def test_an_answer_to_an_episode_that_was_not_stored_waits_until_the_episode_is_repeated(
    answer: ReceivedMessage,
) -> None:
    """The first episode has sent its messages, and its host was killed. Entities and children answer once only."""
    begin = start(times=3)
    check(plan(NOTHING, [answer, begin]), run=[begin], later=[answer])


def test_answers_to_a_replaced_execution_are_discarded_at_once() -> None:
    stale = result(0, "e0")
    check(plan(history(), [stale], replaced={"e0"}), discard=[stale])


# Redelivery --------------------------------------------------------------------------------------------------


def test_an_event_that_was_stored_before_the_crash_is_not_stored_again() -> None:
    event = raised(times=2)
    found = plan(history(event.task.event), [event])
    check(found, discard=[event])
    assert found.check_row


def test_equal_events_delivered_for_the_first_time_are_both_kept() -> None:
    first, second = raised(), raised()
    check(plan(history(first.task.event), [second]), run=[second])


# Ends --------------------------------------------------------------------------------------------------------


def test_messages_to_a_finished_instance_are_discarded() -> None:
    late = [result(0), raised(), start()]
    found = plan(history(scheduled(0), ended()), late)
    check(found, discard=late)
    assert found.check_row


def test_an_answer_to_another_execution_is_retried_even_if_the_stored_one_has_ended() -> None:
    early = result(0, "e2")
    check(plan(history(ended()), [early]), too_early=[early])


def test_the_history_is_reloaded_when_its_events_are_needed() -> None:
    assert plan(NOT_OURS, [raised()]).reload


def test_the_status_row_is_checked_when_a_message_of_a_replaced_execution_comes_again() -> None:
    """A host was killed between the history of an execution that continues as new and its status row."""
    assert not plan(NOT_OURS, [result(0)]).reload
    again = result(0, times=2)
    assert plan(NOT_OURS, [again]).reload
    ended = history(ExecutionCompleted(timestamp=NOW, status=RuntimeStatus.COMPLETED, result="1"), execution="e2")
    for stored in (ended, history(execution="e2")):
        planned = plan(stored, [again])
        assert planned.check_row
        assert planned.too_early == [again]


@pytest.mark.parametrize("response", [result, reply, fired])
def test_a_response_without_a_request_is_retried_for_the_time_of_all_locks(response: Any) -> None:
    """The repeated episode has not made the request again, because other messages had arrived."""
    request = "r1" if response is reply else 1
    early, late = response(request, times=10), response(request, times=11)
    assert plan(history(), [early]).too_early == [early]
    assert plan(history(), [late]).discard == [late]


# Nobody there ------------------------------------------------------------------------------------------------


def status_row(status: RuntimeStatus, **columns: Value) -> Row:
    usual: dict[str, Value] = {"ExecutionId": "e1", "Generation": 0, "CreatedTime": NOW}
    return Row("i1", "", usual | {"RuntimeStatus": status.wire_name} | columns)


def test_messages_to_an_unknown_instance_are_discarded() -> None:
    lost = [raised(), terminate()]
    check(plan(NOTHING, lost), unstarted=lost)
    assert plan_unstarted(lost, None) == UnstartedPlan(discard=lost)
    assert plan_unstarted(lost, status_row(RuntimeStatus.COMPLETED)) == UnstartedPlan(discard=lost)


def test_a_pending_instance_can_be_terminated() -> None:
    found = plan_unstarted([end := terminate()], status_row(RuntimeStatus.PENDING))
    assert found == UnstartedPlan(terminated=cast(ExecutionTerminated, end.task.event), discard=[end])


def test_events_wait_for_the_start_of_a_pending_instance() -> None:
    event = raised()
    assert plan_unstarted([event], status_row(RuntimeStatus.PENDING)) == UnstartedPlan(too_early=[event])
    tomorrow = NOW + timedelta(days=1)
    row = status_row(RuntimeStatus.PENDING, ScheduledStartTime=tomorrow)
    assert plan_unstarted([event], row) == UnstartedPlan(too_early=[event], until=tomorrow)


# Starts and their rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "row", "disposition"),
    [
        pytest.param(start(), status_row(RuntimeStatus.PENDING), Disposition.ACCEPT, id="its row"),
        pytest.param(
            start("E1"), status_row(RuntimeStatus.PENDING), Disposition.ACCEPT, id="letter case does not count"
        ),
        pytest.param(start(), status_row(RuntimeStatus.RUNNING), Disposition.BEGUN, id="runs already"),
        pytest.param(
            start(), status_row(RuntimeStatus.TERMINATED), Disposition.DISCARD, id="terminated before it began"
        ),
        pytest.param(start(), None, Disposition.RETRY, id="row not there yet"),
        pytest.param(start(times=9), None, Disposition.RETRY, id="row still not there"),
        pytest.param(start(times=10), None, Disposition.DISCARD, id="row will never be there"),
        pytest.param(
            start("e2", at=NOW.plus_ticks(1)),
            status_row(RuntimeStatus.PENDING),
            Disposition.DISCARD,
            id="lost the race",
        ),
        pytest.param(start("e2"), status_row(RuntimeStatus.PENDING), Disposition.RETRY, id="may have won the race"),
        pytest.param(
            start("e2", times=2),
            status_row(RuntimeStatus.RUNNING, CreatedTime=NOW.plus_ticks(-1)),
            Disposition.DISCARD,
            id="lost the race, as the second look shows",
        ),
        pytest.param(
            start("e2"),
            status_row(RuntimeStatus.COMPLETED, Generation=3),
            Disposition.RETRY,
            id="an older generation's row",
        ),
    ],
)
def test_a_start_is_judged_by_the_status_row(found: ReceivedMessage, row: Row | None, disposition: Disposition) -> None:
    assert disposition_of_start(found, row) is disposition


# Delays ------------------------------------------------------------------------------------------------------


def test_due_times_of_messages() -> None:
    entity = OrchestrationInstance("@c@k", None)
    at = Instant.parse("2026-06-24T11:00:00.0000000Z")
    signal = EventRaised(timestamp=NOW, name="op@2026-06-24T11:00:00.0000000Z", input="{}")
    assert due_at(TaskMessage(signal, entity)) == at
    assert due_at(TaskMessage(signal, OrchestrationInstance("c", None))) is None
    assert due_at(TaskMessage(EventRaised(timestamp=NOW, name="op@noon", input="{}"), entity)) is None
    assert due_at(TaskMessage(TimerFired(timestamp=NOW, timer_id=0, fire_at=at), entity)) == at


@pytest.mark.parametrize(
    ("remaining", "hidden"), [(-1, 0), (0, 0), (0.9, 0), (1.9, 1), (3600, 3600), (8 * 86400, 7 * 86400)]
)
def test_a_queue_hides_whole_seconds_and_a_week_at_most(remaining: float, hidden: int) -> None:
    assert hidden_for(timedelta(seconds=remaining)) == timedelta(seconds=hidden)


def test_retry_delays_grow() -> None:
    seconds = [abandoned_for(count).total_seconds() for count in (1, 2, 3, 8, 9, 10, 50)]
    assert seconds == [2, 4, 8, 256, 512, 600, 600]
