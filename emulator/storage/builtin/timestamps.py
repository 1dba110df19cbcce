"""Times in the built-in store: whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# In microseconds.
SECOND = 1_000_000


def to_micros(moment: datetime) -> int:
    """Convert a time to what is stored."""
    # Integer arithmetic: datetime.timestamp() is a float and rounds.
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Convert a stored time to a datetime."""
    return _EPOCH + timedelta(microseconds=micros)


def whole_second(micros: int) -> datetime:
    """Convert a stored time to a datetime, cut to whole seconds as times in HTTP headers are."""
    return from_micros(micros - micros % SECOND)


def span_micros(span: timedelta) -> int:
    """Convert a time-out to microseconds, cut to whole seconds: those of the service have no fractions."""
    return int(span.total_seconds()) * SECOND
