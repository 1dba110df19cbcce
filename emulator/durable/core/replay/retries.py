"""When a failed call is tried again.

Source: DurableTask.Core, src/DurableTask.Core/RetryInterceptor.cs and RetryOptions.cs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from emulator.instant import Instant

NO_PAUSE = timedelta(0)
LONGEST_INTERVAL = timedelta(days=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """`timeout`: no new attempt begins later than this after the first one; None: no such limit."""

    first_interval: timedelta
    max_attempts: int
    backoff_coefficient: float = 1.0
    max_interval: timedelta = LONGEST_INTERVAL
    timeout: timedelta | None = None


def pause_after(options: RetryOptions, attempt: int, *, first_try: Instant, now: Instant) -> timedelta | None:
    """How long to wait after the failed `attempt` (counted from 0); None: give up without waiting.

    The last attempt is followed by a pause, too, of no length: .NET records a useless timer there, and the Python
    SDK counts its id.
    """
    if attempt == options.max_attempts - 1:
        return NO_PAUSE
    if options.timeout is not None and now >= first_try + options.timeout:
        return None
    return _interval(options, attempt) or None


def _interval(options: RetryOptions, attempt: int) -> timedelta:
    longest = options.max_interval.total_seconds()
    try:
        grown = options.first_interval.total_seconds() * options.backoff_coefficient**attempt
    except OverflowError:
        grown = longest
    return timedelta(seconds=min(grown, longest))
