"""Rules as tables: facts that are hard to arrange, and the cause and sentence that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from emulator.diagnosis.explanation import Explanation, explanation_of
from emulator.diagnosis.facts import (
    HostFacts,
    HubFacts,
    InstanceFacts,
    LeaseFacts,
    Limits,
    Position,
    QueueFacts,
    SeenMessage,
)
from emulator.diagnosis.finding import Cause
from emulator.diagnosis.rules import explain
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.core.entities.messages import Release, Request, Response
from emulator.durable.core.entities.scheduler import SchedulerState
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    HistoryEvent,
    OrchestratorStarted,
    TaskCompleted,
    TaskScheduled,
    TimerCreated,
)
from emulator.durable.core.identity import EntityId, FunctionKind, OrchestrationInstance, RuntimeStatus
from emulator.durable.core.replay.actions import CallHttp
from emulator.durable.core.replay.program import OpenWait
from emulator.durable.engine.work_log import FailedWork, WorkKey
from emulator.durable.hub import InstanceStatus
from emulator.instant import Instant

NOW = Instant.parse("2026-03-01T12:00:00Z")
NAMES = HubNames(hub="Hub", partition_count=1)
CONTROL, WORK = "hub-control-00", "hub-workitems"
TASK = TaskScheduled(timestamp=NOW, event_id=0, name="charge")


def instance(*events: HistoryEvent, id: str = "i1", **facts: Any) -> InstanceFacts:
    started = ExecutionStarted(
        timestamp=NOW, instance=OrchestrationInstance(id, "e1"), name="order", **facts.pop("started", {})
    )
    status = InstanceStatus(
        instance_id=id,
        execution_id="e1",
        name="order",
        runtime_status=RuntimeStatus.RUNNING,
        created_at=NOW,
        last_updated_at=NOW,
    )
    history = (OrchestratorStarted(timestamp=NOW), started, *events)
    return InstanceFacts(instance_id=id, status=status, events=history, **facts)


def seen(event: HistoryEvent, *, target: str = "i1", **members: Any) -> SeenMessage:
    return SeenMessage(id=f"m{members}", target=target, event=event, inserted_at=NOW, **members)


def hub(
    *, control: QueueFacts | None = None, work: QueueFacts | None = None, owner: str | None = "host-a", **facts: Any
) -> HubFacts:
    lease = LeaseFacts(queue=CONTROL, owner=owner, expires_at=NOW + timedelta(seconds=20), is_live=owner is not None)
    queues = {CONTROL: control or QueueFacts(name=CONTROL), WORK: work or QueueFacts(name=WORK)}
    return HubFacts(now=NOW, names=NAMES, storage="a store", queues=queues, leases={CONTROL: lease}, **facts)


def host(**facts: Any) -> HostFacts:
    return HostFacts(
        name="host-a", owned_queues=(CONTROL,), limits=Limits(activities=2, orchestrators=2, entities=2), **facts
    )


def why(of: InstanceFacts, where: HubFacts, *others: InstanceFacts) -> Explanation:
    instances = {facts.instance_id: facts for facts in (of, *others)}
    return explanation_of(of, explain(of.instance_id, where, instances), where)


ACTIVITIES: Mapping[str, tuple[HubFacts, Cause, str]] = {
    "in no queue": (hub(), Cause.LOST, 'the message of the activity "charge" is lost'),
    "in no queue of an emulator": (hub(may_lose_writes=True), Cause.LOST, "is in no queue"),
    "a hidden message may be it": (
        hub(work=QueueFacts(name=WORK, count=1)),
        Cause.HIDDEN,
        "which is hidden: a host runs it",
    ),
    "received by a host that was killed": (
        hub(work=QueueFacts(name=WORK, count=1), owner=None),
        Cause.NO_HOST,
        "no host runs",
    ),
    "retried later": (
        hub(
            work=QueueFacts(
                name=WORK,
                count=1,
                messages=[seen(TASK, visible_at=NOW + timedelta(seconds=8), dequeue_count=3)],
                shows_hidden=True,
            )
        ),
        Cause.HIDDEN,
        "hidden until 2026-03-01 12:00:08 UTC, received 3 times",
    ),
    "behind others": (
        hub(
            work=QueueFacts(
                name=WORK, count=2, messages=[seen(TASK, target="i0"), seen(TASK, dequeue_count=0, problem="")]
            )
        ),
        Cause.ACTIVITY_QUEUED,
        "1 message is before it",
    ),
    "cannot be run": (
        hub(
            host=host(
                failed={
                    WorkKey("i1", 0): FailedWork(
                        key=WorkKey("i1", 0),
                        kind=FunctionKind.ACTIVITY,
                        name="charge",
                        at=NOW,
                        attempts=2,
                        reason="no room",
                    )
                }
            )
        ),
        Cause.ACTIVITY_FAILS,
        "attempt 3 is in 4 s. Last error: no room",
    ),
    "its result waits": (
        hub(
            control=QueueFacts(
                name=CONTROL, count=1, messages=[seen(TaskCompleted(timestamp=NOW, task_scheduled_id=0))]
            ),
            host=host(received=("i1",)),
        ),
        Cause.RECEIVED,
        "this host has received its message",
    ),
    "an unreadable message may be it": (
        hub(
            work=QueueFacts(
                name=WORK,
                count=1,
                messages=[SeenMessage(id="bad", inserted_at=NOW, dequeue_count=4, problem="it is not JSON")],
            )
        ),
        Cause.UNREADABLE_MESSAGE,
        "one that cannot be read (bad, received 4 times): it is not JSON",
    ),
}


@pytest.mark.parametrize("name", ACTIVITIES)
def test_an_activity(name: str) -> None:
    where, cause, text = ACTIVITIES[name]
    found = why(instance(TASK), where)
    assert (found.finding.cause, text in found.sentence) == (cause, True), found.json()


def test_unread_messages_are_counted() -> None:
    messages: Sequence[SeenMessage] = [seen(TASK, target=f"other{number}") for number in range(32)]
    found = why(instance(TASK), hub(work=QueueFacts(name=WORK, count=500, messages=messages)))
    assert found.finding.cause is Cause.HIDDEN
    assert f"Of {WORK}, only 32 of 500 messages were read." in found.facts


def test_an_http_request_is_polled() -> None:
    timer = TimerCreated(timestamp=NOW, event_id=1, fire_at=NOW + timedelta(seconds=30))
    call = OpenWait(CallHttp(method="GET", uri="https://example.org/job", polls=True), number=1, steps=2)
    found = why(instance(timer, position=Position(wait=call)), hub(control=QueueFacts(name=CONTROL, count=1)))
    assert found.finding.cause is Cause.HTTP_POLL
    assert "https://example.org/job, which has answered 202; the next poll is in 30 s" in found.sentence


def test_an_entity_has_others_to_process_first() -> None:
    requests = [Request(id="r0", operation="add"), Request(id="r1", operation="get")]
    sent = EventSent(timestamp=NOW, event_id=0, instance_id="@account@a", name="op", input=requests[1].from_instance())
    state = SchedulerState(exists=True, queue=requests)
    entity = instance(id="@account@a", started={"input": state.text})
    found = why(instance(sent), hub(), entity)
    assert found.finding.cause is Cause.ENTITY_QUEUED
    assert "1 operation is before its call of get" in found.sentence


def test_a_released_lock_is_not_waited_for() -> None:
    lock = Request(id="r0", lockset=[EntityId("account", "a")])
    history = [
        EventSent(timestamp=NOW, event_id=0, instance_id="@account@a", name="op", input=lock.from_instance()),
        EventRaised(timestamp=NOW, name="r0", input=Response("Lock Acquisition Completed").text),
        EventSent(timestamp=NOW, event_id=1, instance_id="@account@a", name="release", input=Release("i1", "r0").text),
    ]
    found = why(instance(*history), hub(), instance(id="@account@a"))
    assert found.finding.cause is Cause.EVENT_NOT_RAISED


def test_two_instances_that_wait_for_each_other_are_explained() -> None:
    def waits_for(other: str) -> EventSent:
        request = Request(id=f"r-{other}", operation="get")
        return EventSent(timestamp=NOW, event_id=0, instance_id=other, name="op", input=request.from_instance())

    locked = [
        instance(id="@account@a", started={"input": SchedulerState(locked_by="i2").text}),
        instance(id="@account@b", started={"input": SchedulerState(locked_by="i1").text}),
    ]
    first, second = instance(waits_for("@account@a")), instance(waits_for("@account@b"), id="i2")
    found = why(first, hub(), second, *locked)
    assert found.finding.cause is Cause.ENTITY_LOCKED
    assert (
        'whose lock the instance "i2" holds, which waits for the entity @account@b, whose lock the instance "i1"'
        in (found.sentence)
    )


def test_a_damaged_history_is_named() -> None:
    found = why(replace(instance(), unreadable="row 0 is damaged"), hub())
    assert (found.finding.cause, found.sentence) == (
        Cause.UNREADABLE_HISTORY,
        "cannot run, because its history cannot be read: row 0 is damaged",
    )
