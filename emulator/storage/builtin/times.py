"""Times as the built-in store keeps them: whole microseconds since 1970, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000


def micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def whole_second(micros: int) -> datetime:
    """Cut to the second: the resolution of times in HTTP headers."""
    return moment(micros - micros % SECOND)


def whole_seconds(span: timedelta) -> int:
    """The span in micros, cut to whole seconds: the service's time-outs have no fractions."""
    return int(span.total_seconds()) * SECOND
