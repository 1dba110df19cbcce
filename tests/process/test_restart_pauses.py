"""Pauses before a host process that has ended unexpectedly is started again."""

from __future__ import annotations

from datetime import timedelta

from emulator.process.restart_pauses import RestartPauses

SHORT, MINUTE = timedelta(seconds=2), timedelta(minutes=1)


def test_pauses_grow_to_a_minute() -> None:
    pauses = RestartPauses()
    seconds = [pauses.next_seconds(SHORT, served=True) for _ in range(9)]
    assert seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_pauses_begin_again_after_a_minute_of_health() -> None:
    pauses = RestartPauses()
    assert [pauses.next_seconds(SHORT, served=False) for _ in range(3)] == [1, 2, 4]
    assert [pauses.next_seconds(MINUTE, served=False), pauses.next_seconds(SHORT, served=False)] == [1, 2]


def test_fifth_end_in_a_row_without_an_invocation_is_the_last() -> None:
    pauses = RestartPauses()
    assert [pauses.next_seconds(SHORT, served=False) for _ in range(5)] == [1, 2, 4, 8, None]


def test_completed_invocation_begins_a_new_row() -> None:
    pauses = RestartPauses()
    served = [False] * 4 + [True] + [False] * 5
    assert [pauses.next_seconds(SHORT, served=one) for one in served] == [1, 2, 4, 8, 16, 32, 60, 60, 60, None]
