"""Retry options of a call, and the delay before its next attempt.

Source: DurableTask.Core, src/DurableTask.Core/RetryInterceptor.cs and RetryOptions.cs;
docs/protocol/durable-orchestration.md 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from emulator.instant import Instant

NO_PAUSE = timedelta(0)
# The extension's default, which is the longest durable timer on Azure Storage.
LONGEST_INTERVAL = timedelta(days=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """Options of a call with retry. `timeout`: time after the first attempt within which others may begin, or None."""

    first_interval: timedelta
    max_attempts: int
    backoff_coefficient: float = 1.0
    max_interval: timedelta = LONGEST_INTERVAL
    timeout: timedelta | None = None


def pause_after(options: RetryOptions, attempt: int, *, first_try: Instant, now: Instant) -> timedelta | None:
    """Return the delay after the failed `attempt` (counted from 0), or None to give up without a timer.

    `now`: the clock of the episode that processes the failure.
    """
    if attempt == options.max_attempts - 1:
        # .NET creates a timer even after the last attempt. It is useless, but the Python SDK counts its id.
        return NO_PAUSE
    if options.timeout is not None and now >= first_try + options.timeout:
        return None
    longest = options.max_interval.total_seconds()
    try:
        seconds = min(options.first_interval.total_seconds() * options.backoff_coefficient**attempt, longest)
    except OverflowError:
        seconds = longest
    # .NET gives up as well if the computed delay is zero.
    return timedelta(seconds=seconds) or None
