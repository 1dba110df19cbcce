"""Entity scheduler: batches, locks, delayed signals, states, and the JSON of entity messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from emulator.durable.core.decisions import SendEvent, StartNextGeneration
from emulator.durable.core.entities.messages import NO_TIMESTAMP, Release, Request, Response, Timestamp
from emulator.durable.core.entities.scheduler import BatchPlan, BatchResult, SchedulerState, commit, plan
from emulator.durable.core.events import EventRaised, ExecutionStarted
from emulator.durable.core.identity import EntityId, OrchestrationInstance
from emulator.instant import Instant

COUNTER = EntityId("counter", "k")
OTHER = EntityId("other", "k")
NOON = Instant.parse("2026-03-01T12:00:00Z")
SECOND = timedelta(seconds=1)
WINDOW = timedelta(minutes=30)


def started(state: SchedulerState | None = None) -> ExecutionStarted:
    return ExecutionStarted(
        timestamp=NOON,
        instance=OrchestrationInstance("@counter@k", "e1"),
        name="@counter@k",
        version="",
        input=None if state is None else state.text,
    )


def arriving(request: Request) -> EventRaised:
    return EventRaised(timestamp=NOON, name=request.event_name, input=request.from_client())


def signal(number: int, **more: Any) -> Request:
    return Request(id=f"s{number}", operation="add", is_signal=True, **more)


def call(number: int, parent: str = "i1") -> Request:
    caller = {"parent": parent, "parent_execution": "e9"}
    return Request(id=f"c{number}", operation="get", timestamp=Timestamp(NOON.plus_ticks(number)), **caller)  # type: ignore[arg-type]


def lock(*entities: EntityId, position: int = 0, parent: str = "i1", number: int = 1) -> Request:
    caller = {"parent": parent, "parent_execution": "e9"}
    at = Timestamp(NOON.plus_ticks(number))
    return Request(id=f"l{number}", lockset=entities, position=position, timestamp=at, **caller)  # type: ignore[arg-type]


def release(parent: str = "i1", id: str = "l1") -> EventRaised:
    return EventRaised(timestamp=NOON, name="release", input=Release(parent, id).text)


def after(*events: EventRaised, state: SchedulerState | None = None) -> SchedulerState:
    """The stored state after messages without operations."""
    return SchedulerState.parse(commit(COUNTER, planned(*events, state=state), None, NOON)[1].text)


def planned(
    *events: EventRaised, state: SchedulerState | None = None, now: Instant = NOON, max_batch: int = 10
) -> BatchPlan:
    return plan(started(state), events, now, window=WINDOW, max_batch=max_batch)


def batch_result(*results: str, exists: bool = True, state: str | None = "1") -> BatchResult:
    return BatchResult(exists=exists, state=state, responses=[Response(result) for result in results])


def ids(requests: Sequence[Request]) -> list[str]:
    return [request.id for request in requests]


def sent(batch: BatchPlan, result: BatchResult | None = None) -> list[SendEvent]:
    decisions, _ = commit(COUNTER, batch, result, NOON)
    *messages, end = decisions
    assert isinstance(end, StartNextGeneration)
    assert [decision.id for decision in decisions] == list(range(len(decisions)))
    return [message for message in messages if isinstance(message, SendEvent)]


# Batches -------------------------------------------------------------------------------------------------------


def test_batch_contains_operations_in_order_of_arrival() -> None:
    batch = planned(arriving(signal(1)), arriving(call(2)), arriving(signal(3)))
    assert ids(batch.operations) == ["s1", "c2", "s3"]
    assert not batch.has_more


def test_response_goes_to_calling_execution_and_signals_get_none() -> None:
    batch = planned(arriving(signal(1)), arriving(call(2)))
    [reply] = sent(batch, batch_result("null", "5"))
    assert (reply.target, reply.name, reply.recorded) == (OrchestrationInstance("i1", "e9"), "c2", False)
    assert json.loads(reply.input or "")["result"] == "5"
    assert "exceptionType" not in (reply.input or "")


def test_full_batch_suspends_entity_until_continue_arrives() -> None:
    batch = planned(*(arriving(signal(number)) for number in range(3)), max_batch=2)
    assert (ids(batch.operations), ids(batch.state.queue), batch.has_more) == (["s0", "s1"], ["s2"], True)
    [to_itself] = sent(batch, batch_result("null", "null"))
    assert (to_itself.target.instance_id, to_itself.name, to_itself.input) == ("@counter@k", "continue", None)

    _, state = commit(COUNTER, batch, batch_result("null", "null"), NOON)
    assert not planned(state=state).has_work
    assert ids(planned(EventRaised(timestamp=NOON, name="continue"), state=state).operations) == ["s2"]
    # A lost `continue` message delays the entity by ten seconds only.
    assert ids(planned(state=state, now=NOON + 11 * SECOND).operations) == ["s2"]


def test_state_is_stored_as_json_text() -> None:
    _, state = commit(COUNTER, planned(arriving(signal(1))), batch_result("null", state='{"v": 1}'), NOON)
    assert state.text == '{"exists":true,"state":"{\\"v\\": 1}","sorter":{}}'
    assert state.status_text == '{"entityExists":true}'


def test_deleted_entity_keeps_state_text() -> None:
    _, state = commit(COUNTER, planned(arriving(signal(1))), batch_result("null", exists=False, state="null"), NOON)
    assert (state.text, state.status_text) == ('{"state":"null","sorter":{}}', "{}")


# Delayed signals -----------------------------------------------------------------------------------------------


def test_early_delayed_signal_is_sent_again() -> None:
    batch = planned(arriving(signal(1, due=NOON + 60 * SECOND)))
    assert batch.operations == []
    [again] = sent(batch)
    assert (again.target.instance_id, again.name) == ("@counter@k", "op@2026-03-01T12:01:00.0000000Z")


def test_delay_longer_than_six_days_is_sent_in_pieces() -> None:
    [piece] = sent(planned(arriving(signal(1, due=NOON + timedelta(days=30)))))
    assert piece.name == "op@2026-03-04T12:00:00.0000000Z"
    assert Request.parse(piece.input or "").due == NOON + timedelta(days=30)


@pytest.mark.parametrize("late", [-SECOND, timedelta(0), timedelta(milliseconds=100)])
def test_due_signal_runs(late: timedelta) -> None:
    assert ids(planned(arriving(signal(1, due=NOON + late))).operations) == ["s1"]


# Locks ---------------------------------------------------------------------------------------------------------


def test_lock_request_ends_batch_and_last_entity_of_set_grants_it() -> None:
    batch = planned(arriving(signal(1)), arriving(lock(COUNTER)), arriving(signal(2)))
    assert (ids(batch.operations), ids(batch.state.queue)) == (["s1"], ["s2"])
    [grant] = sent(batch, batch_result("null"))
    assert (grant.target, grant.name) == (OrchestrationInstance("i1", "e9"), "l1")
    assert json.loads(grant.input or "")["result"] == "Lock Acquisition Completed"

    _, state = commit(COUNTER, batch, batch_result("null"), NOON)
    assert state.locked_by == "i1"
    assert state.status_text == '{"entityExists":true,"queueSize":1,"lockedBy":"i1"}'
    assert not planned(state=state).has_work


def test_lock_request_is_forwarded_to_next_entity_of_set() -> None:
    [forwarded] = sent(planned(arriving(lock(COUNTER, OTHER))))
    assert (forwarded.target.instance_id, forwarded.name) == ("@other@k", "op")
    assert Request.parse(forwarded.input or "").position == 1


def test_locked_entity_runs_only_operations_of_lock_holder() -> None:
    locked = SchedulerState(exists=True, state="1", locked_by="i1", queue=(call(1, parent="i2"),))
    batch = planned(arriving(call(2, parent="i3")), arriving(call(3, parent="i1")), state=locked)
    assert ids(batch.operations) == ["c3"]
    assert ids(batch.state.queue) == ["c1", "c2"]


def test_release_by_holder_unlocks_entity() -> None:
    locked = SchedulerState(exists=True, state="1", locked_by="i1", queue=(call(1, parent="i2"),))

    assert not planned(release("i2"), state=locked).has_work
    assert ids(planned(release("i1"), state=locked).operations) == ["c1"]


@pytest.mark.parametrize("position", [0, 1])
def test_lock_request_that_arrives_again_locks_an_entity_once_only(position: int) -> None:
    """An episode that is repeated after a crash forwards the request again, and nobody releases a second lock."""
    again = arriving(lock(OTHER, COUNTER, position=position))
    waiting = after(again, again, state=SchedulerState(locked_by="i2"))
    assert ids(waiting.queue) == ["l1"]
    locked = after(release("i2"), again, state=waiting)
    assert (locked.locked_by, locked.queue) == ("i1", ())
    free = after(again, release(), again, state=locked)
    assert (free.locked_by, free.queue) == (None, ())
    assert after(arriving(lock(OTHER, COUNTER, position=position, number=2)), state=free).locked_by == "i1"


def test_release_that_arrives_again_or_late_does_not_end_the_next_lock_of_its_sender() -> None:
    locked = after(arriving(lock(COUNTER)))
    next_lock = after(arriving(lock(COUNTER, number=2)), state=locked)
    assert after(release(id="l1"), state=next_lock).locked_by == "i1"
    assert after(release(id="l2"), state=next_lock).locked_by is None
    # Of a client that removes the locks of instances that have ended.
    assert after(release(id="fix-orphaned-lock"), state=next_lock).locked_by is None


def test_granted_lock_is_forgotten_after_the_window() -> None:
    free = after(release(), state=after(arriving(lock(COUNTER))))
    later = replace(call(1, parent="i2"), timestamp=Timestamp(NOON + 3 * WINDOW))
    batch = planned(arriving(later), state=free)
    _, state = commit(COUNTER, batch, batch_result("null"), NOON)
    assert list(state.sorter["ReceivedFromInstance"]) == ["i2"]


# Signals to other entities -------------------------------------------------------------------------------------


def test_signals_to_other_entities_are_labelled_and_sorter_is_stored() -> None:
    to_other = Request(id="x", operation="ping", is_signal=True, parent="@counter@k")
    result = BatchResult(exists=True, state="1", responses=[Response("null")], signals=[(OTHER, to_other)] * 2)
    batch = planned(arriving(signal(1)))
    first, second = (Request.parse(message.input or "") for message in sent(batch, result))
    assert first.predecessor == NO_TIMESTAMP
    assert second.predecessor == first.timestamp

    _, state = commit(COUNTER, planned(arriving(signal(1))), result, NOON)
    assert list(state.sorter["LastSentToInstance"]) == ["@other@k"]


# JSON ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '{"exists":true,"state":"42","sorter":{}}',
        '{"state":"null","sorter":{}}',
        '{"exists":true,"state":"5","sorter":{"ReceivedFromInstance":{"i1":{"Last":"2026-11-24T03:40:34.2528044",'
        '"ExecutionId":"5270b8f3-ccab-4087-9ba2-05a13abf57e5"}},"ReceiveHorizon":"2026-11-24T03:10:34.2528043Z"}}',
        '{"exists":true,"state":"100","queue":[{"op":"add","signal":true,"input":"\\"1\\"",'
        '"id":"0b6c2f0e-35a4-4a52-9c4b-8f1c1e0f7a11","Timestamp":"0001-01-01T00:00:00",'
        '"Predecessor":"0001-01-01T00:00:00"}],"lockedBy":"inst-1","sorter":{}}',
    ],
)
def test_scheduler_state_round_trips(text: str) -> None:
    assert SchedulerState.parse(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        '{"op":"add","signal":true,"input":"\\"5\\"","id":"0b6c2f0e-35a4-4a52-9c4b-8f1c1e0f7a11",'
        '"Timestamp":"0001-01-01T00:00:00","Predecessor":"0001-01-01T00:00:00"}',
        '{"op":"ping","signal":true,"id":"5a3f0a2c-1b7e-4d16-8a5e-0c7f3f6f1b22","due":"2026-03-01T10:00:00Z",'
        '"Timestamp":"0001-01-01T00:00:00","Predecessor":"0001-01-01T00:00:00"}',
        '{"op":null,"id":"c1c1b1f0-6e6a-5a35-9a0c-1c0c7b4a2f10","parent":"inst-1",'
        '"parentExecution":"00000000000000000000000000000001","Timestamp":"2026-03-01T09:00:00Z",'
        '"Predecessor":"0001-01-01T00:00:00","lockset":[{"name":"account","key":"a"},{"name":"account","key":"b"}],'
        '"pos":1}',
    ],
)
def test_request_round_trips(text: str) -> None:
    assert Request.parse(text).from_client() == text


def test_request_ignores_unknown_members() -> None:
    text = '{"$type":"X","IsLockRequest":false,"op":"add","id":"1","createTrace":true,"parentTraceContext":null}'
    assert Request.parse(text) == Request(id="1", operation="add")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        "{}",
        pytest.param("[" * 100_000, id="deep"),
        '{"op":"add"}',
        '{"op":"add","id":7}',
        '{"op":["add"],"id":"1"}',
        '{"op":"add","id":"1","due":5}',
        '{"op":"add","id":"1","Timestamp":{}}',
        '{"id":"1","lockset":["@account@a"]}',
        '{"id":"1","lockset":5}',
        '{"id":"1","pos":"1"}',
    ],
)
def test_invalid_request_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Request.parse(text)


@pytest.mark.parametrize("text", ["[]", "5", '{"parent":5}', '{"parent":"i1","id":[]}'])
def test_invalid_release_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Release.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "5",
        '{"state":5}',
        '{"queue":[5]}',
        '{"lockedBy":{}}',
        '{"sorter":"no"}',
        '{"sorter":{"ReceiveHorizon":5}}',
        '{"sorter":{"LastSentToInstance":["i1"]}}',
        '{"sorter":{"ReceivedFromInstance":{"i1":"no"}}}',
        '{"sorter":{"ReceivedFromInstance":{"i1":{"Buffered":{"2026-03-01T12:00:00Z":5}}}}}',
    ],
)
def test_invalid_scheduler_state_raises_value_error(text: str) -> None:
    beginning = replace(started(), input=text)
    with pytest.raises(ValueError, match=r"."):
        plan(beginning, [], NOON, window=WINDOW, max_batch=10)
