"""Timelines of histories that the .NET extension has recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from emulator.dashboard.durable.timeline import Row, Timeline, timeline
from emulator.durable.core.events import HistoryEvent
from emulator.durable.core.identity import RuntimeStatus
from emulator.instant import Instant
from tests.dashboard.histories import midflight_history, recorded_history
from tests.recordings import GOLDEN, rows_of

LATER = Instant.parse("2027-01-01T00:00:00Z")


def timeline_of(scenario: str, instance_id: str = "i1") -> Timeline:
    return timeline(recorded_history(scenario, instance_id), now=LATER)


def short(rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    return [(row.kind.value, row.name, [attempt.outcome.value for attempt in row.attempts]) for row in rows]


def test_tasks_of_a_chain_follow_each_other() -> None:
    chain = timeline_of("chain")
    assert short(chain.rows) == [
        ("activity", "Hello", ["completed"]),
        ("activity", "Hello", ["completed"]),
        ("activity", "Nothing", ["completed"]),
    ]
    for before, after in zip(chain.rows, chain.rows[1:], strict=False):
        assert before.last.ended_at is not None
        assert before.first.scheduled_at < before.last.ended_at <= after.first.scheduled_at
    assert (chain.name, chain.status, chain.episodes, len(chain.runs)) == ("chain", RuntimeStatus.COMPLETED, 4, 4)
    assert chain.start <= chain.rows[0].first.scheduled_at
    assert chain.end >= chain.runs[-1].start


def test_an_activity_waits_in_its_queue_before_it_begins() -> None:
    history = recorded_history("chain")
    scheduled = timeline(history, now=LATER).rows[0].first.scheduled_at
    begins = {0: scheduled + timedelta(milliseconds=1)}
    first, second, _ = timeline(history, now=LATER, began_at=begins.get).rows
    assert (first.first.began_at, second.first.began_at) == (begins[0], None)
    # Those of the execution before, of which continue_as_new has reused the id, and of a repeated run.
    for other in (timedelta(seconds=-1), timedelta(hours=1)):
        begins[0] = scheduled + other
        assert timeline(history, now=LATER, began_at=begins.get).rows[0].first.began_at is None


def test_tasks_of_a_fan_out_overlap() -> None:
    fan_out = timeline_of("fan_out_120")
    assert len(fan_out.rows) == 120
    last_start = max(row.first.scheduled_at for row in fan_out.rows)
    assert all(row.last.ended_at is not None and row.last.ended_at > last_start for row in fan_out.rows)


def test_retries_are_attempts_of_one_row() -> None:
    retried = timeline_of("fan_out_retry")
    assert short(retried.rows) == [("activity", "Flaky", ["failed", "completed"])] * 2
    first, second = retried.rows[0].attempts
    assert first.ended_at is not None
    assert second.scheduled_at > first.ended_at
    # The timers of the pauses, and the one that .NET creates behind the last attempt, are not rows.
    assert short(timeline_of("retry_never").rows) == [("activity", "Flaky", ["failed", "failed", "failed"])]
    assert short(timeline_of("child_retry_fails").rows) == [("child", "child", ["failed", "failed"])]


def test_a_pause_before_a_retry_is_a_timer_until_it_is_over() -> None:
    waiting = timeline(midflight_history("between_retries", "i1"), now=LATER)
    kinds = [row.kind.value for row in waiting.rows]
    assert kinds.count("activity") >= 1
    assert waiting.rows[-1].last.outcome.value == "open"
    assert waiting.end == LATER


def test_a_failure_in_a_fan_out_leaves_the_others_alone() -> None:
    rows = short(timeline_of("fan_out_one_boom").rows)
    assert ("activity", "Boom", ["failed"]) in rows
    assert rows.count(("activity", "Square", ["completed"])) + rows.count(("activity", "Slow", ["completed"])) == 2


def test_events_and_timers_of_an_approval() -> None:
    won = timeline_of("approval_wins")
    assert short(won.rows) == [("timer", "timer", ["abandoned"]), ("event", "approval", ["completed"])]
    late = timeline_of("approval_times_out")
    [timer] = late.rows
    assert (timer.kind.value, timer.last.outcome.value, timer.last.ended_at) == ("timer", "completed", timer.fire_at)


def test_suspension_is_a_period() -> None:
    [span] = timeline_of("suspend_resume_then_event").suspended
    assert span.end is not None
    assert timedelta(0) < span.end - span.start < timedelta(minutes=1)
    [open_span] = timeline(midflight_history("suspended", "i1"), now=LATER).suspended
    assert open_span.end is None


def test_entity_calls_locks_and_signals() -> None:
    assert short(timeline_of("entity_calls").rows) == [
        ("signal", "add", ["completed"]),
        ("entity", "get", ["completed"]),
    ]
    assert timeline_of("entity_calls").rows[1].target == "@counter@k1"
    assert short(timeline_of("entity_call_fails").rows) == [("entity", "fail", ["failed"])]


def test_children_name_their_instances() -> None:
    children = timeline_of("fan_out_children").rows
    assert [(row.kind.value, row.target) for row in children] == [("child", "c-0"), ("child", "c-1")]


def test_a_new_generation_has_its_own_history() -> None:
    generation = timeline_of("counter_loop")
    assert short(generation.rows) == [("activity", "AddOne", ["completed"])]
    assert generation.status is RuntimeStatus.COMPLETED


def test_a_rewind_is_a_moment_between_the_attempts() -> None:
    assert short(timeline_of("rewind").rows) == [
        ("activity", "Hello", ["completed"]),
        ("rewind", "fixed", ["completed"]),
        ("activity", "Flaky", ["completed"]),
    ]


def test_a_termination_ends_what_is_open() -> None:
    terminated = timeline_of("terminate_parent")
    assert short(terminated.rows) == [("child", "approval", ["abandoned"])]
    assert terminated.status is RuntimeStatus.TERMINATED
    assert terminated.end < LATER


@pytest.mark.parametrize("scenario", GOLDEN.scenarios)
def test_every_recorded_history_has_a_consistent_timeline(scenario: str) -> None:
    for instance_id in sorted({row.partition_key for row in rows_of(GOLDEN.hub(scenario), "History")}):
        history: Sequence[HistoryEvent] = recorded_history(scenario, instance_id)
        if not history:
            continue
        result = timeline(history, now=LATER)
        indexes = [attempt.scheduled_index for row in result.rows for attempt in row.attempts]
        assert len(set(indexes)) == len(indexes)
        for attempt in (attempt for row in result.rows for attempt in row.attempts):
            assert result.start <= attempt.scheduled_at
            assert (attempt.ended_at is None) == (attempt.outcome.value in ("open", "abandoned"))
            if attempt.ended_at is not None:
                assert attempt.scheduled_at <= attempt.ended_at
