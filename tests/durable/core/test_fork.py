"""Rules of a fork that orchestrations in Python cannot show: locks of entities, which only .NET's can hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from emulator.durable.core.entities.messages import OPERATION, RELEASE, Release, Request
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
    TaskScheduled,
)
from emulator.durable.core.fork import Fork, ForkRefused, ForkRequest, fork
from emulator.durable.core.identity import EntityId, OrchestrationInstance, ParentInstance
from emulator.instant import Instant

AT = Instant.parse("2026-05-01T08:00:00Z")
NOW = Instant.parse("2026-06-01T08:00:00Z")
OLD, NEW = OrchestrationInstance("old", "execution-1"), OrchestrationInstance("new", "execution-2")
LOCK = Request(id="lock-1", parent="old", parent_execution="execution-1", lockset=(EntityId("account", "a"),))


def in_critical_section() -> Sequence[HistoryEvent]:
    """Three episodes: request a lock, call an activity under it, release it."""
    return [
        OrchestratorStarted(timestamp=AT),
        ExecutionStarted(
            timestamp=AT,
            instance=OLD,
            name="transfer",
            input="1",
            parent=ParentInstance("p", OrchestrationInstance("p", "e"), 0),
        ),
        EventSent(timestamp=AT, event_id=0, instance_id="@account@a", name=OPERATION, input=LOCK.from_instance()),
        OrchestratorCompleted(timestamp=AT),
        OrchestratorStarted(timestamp=AT),
        EventRaised(timestamp=AT, name="lock-1", input="{}"),
        TaskScheduled(timestamp=AT, event_id=1, name="move"),
        OrchestratorCompleted(timestamp=AT),
        OrchestratorStarted(timestamp=AT),
        TaskCompleted(timestamp=AT, task_scheduled_id=1, result="true"),
        EventSent(
            timestamp=AT, event_id=2, instance_id="@account@a", name=RELEASE, input=Release("old", "lock-1").text
        ),
        OrchestratorCompleted(timestamp=AT),
    ]


def forked(at: int) -> Fork:
    return fork(in_critical_section(), ForkRequest(at=at, instance=NEW, now=NOW))


def test_there_is_no_fork_while_locks_are_held() -> None:
    with pytest.raises(ForkRefused, match=r"has locked @account@a.*Fork at event 0, where the lock is requested"):
        forked(8)
    assert [type(event) for event in forked(12).history].count(GenericEvent) == 0


def test_a_request_for_a_lock_is_sent_again_although_its_grant_is_recorded() -> None:
    result = forked(4)
    assert result.undone == ["@account@a"]
    assert [type(event) for event in result.history] == [
        OrchestratorStarted,
        ExecutionStarted,
        GenericEvent,
        OrchestratorCompleted,
    ]
    # Only the message that lets the next episode send the request.
    assert [type(message.event) for message in result.messages] == [GenericEvent]


def test_a_fork_of_a_child_has_no_parent_and_names_its_origin() -> None:
    started = next(event for event in forked(4).history if isinstance(event, ExecutionStarted))
    assert (started.instance, started.parent, started.input) == (NEW, None, "1")
    assert started.tags == {"MS_DurableFunctions_SourceInstanceId": "old"}
