"""Pauses between the restarts of a host process that dies."""

from __future__ import annotations

from datetime import timedelta

from emulator.process.deaths import Deaths

SHORT, MINUTE = timedelta(seconds=2), timedelta(minutes=1)


def test_pauses_grow_to_a_minute() -> None:
    deaths = Deaths()
    pauses = [deaths.pause_seconds(SHORT, served=True) for _ in range(9)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_pauses_begin_again_after_a_minute_of_health() -> None:
    deaths = Deaths()
    assert [deaths.pause_seconds(SHORT, served=False) for _ in range(3)] == [1, 2, 4]
    assert [deaths.pause_seconds(MINUTE, served=False), deaths.pause_seconds(SHORT, served=False)] == [1, 2]


def test_fifth_death_in_a_row_without_an_invocation_is_the_last() -> None:
    deaths = Deaths()
    assert [deaths.pause_seconds(SHORT, served=False) for _ in range(5)] == [1, 2, 4, 8, None]


def test_completed_invocation_begins_a_new_row() -> None:
    deaths = Deaths()
    served = [False] * 4 + [True] + [False] * 5
    assert [deaths.pause_seconds(SHORT, served=one) for one in served] == [1, 2, 4, 8, 16, 32, 60, 60, 60, None]
