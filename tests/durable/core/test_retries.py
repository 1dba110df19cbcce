"""Retry options: delays between the attempts of a call."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from emulator.durable.core.replay.retries import RetryOptions, pause_after
from emulator.instant import Instant

NOON = Instant.parse("2026-03-01T12:00:00Z")
SECOND = timedelta(seconds=1)


def pauses(count: int, now: Instant = NOON, **options: Any) -> list[timedelta | None]:
    retry = RetryOptions(**{"first_interval": SECOND, "max_attempts": 100, **options})
    return [pause_after(retry, attempt, first_try=NOON, now=now) for attempt in range(count)]


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, [1, 1, 1]),
        ({"backoff_coefficient": 2.0}, [1, 2, 4]),
        ({"backoff_coefficient": 10.0, "max_interval": 20 * SECOND}, [1, 10, 20]),
        ({"backoff_coefficient": 0.5}, [1, 0.5, 0.25]),
        ({"first_interval": timedelta(0)}, [None, None, None]),
        ({"max_attempts": 2}, [1, 0, 1]),
    ],
)
def test_pauses(options: dict[str, Any], seconds: list[float | None]) -> None:
    assert pauses(3, **options) == [None if delay is None else timedelta(seconds=delay) for delay in seconds]


def test_no_attempt_begins_after_retry_timeout() -> None:
    assert pauses(1, NOON + 9 * SECOND, timeout=10 * SECOND) == [SECOND]
    assert pauses(1, NOON + 10 * SECOND, timeout=10 * SECOND) == [None]


def test_overflowing_interval_becomes_max_interval() -> None:
    retry = RetryOptions(first_interval=SECOND, max_attempts=10_000, backoff_coefficient=10.0)
    assert pause_after(retry, 5000, first_try=NOON, now=NOON) == timedelta(days=6)
