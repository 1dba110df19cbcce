"""Instant: a point in time in units of 100 nanoseconds, the precision of .NET and Azure Tables.

Protocol data uses Instant instead of datetime. datetime has microseconds only, so a timestamp that is read and written
again would lose its seventh digit and differ from what another host has stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

TICKS_PER_SECOND = 10_000_000

_EPOCH = datetime(1, 1, 1, tzinfo=UTC)
# The last tick of the year 9999, DateTime.MaxValue of .NET.
_MAX_TICKS = 3_155_378_975_999_999_999
_TEXT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,7})\d*)?(Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """A point in time. `ticks` are units of 100 ns since 0001-01-01T00:00:00 UTC, as in .NET."""

    ticks: int

    @classmethod
    def of(cls, moment: datetime) -> Self:
        """Convert an aware datetime."""
        # Integers only: total_seconds() is a float, which cannot hold this many digits.
        since = moment - _EPOCH
        return cls((since.days * 86_400 + since.seconds) * TICKS_PER_SECOND + since.microseconds * 10)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ISO 8601. No time zone means UTC; more than seven digits of a fraction are cut off.

        Raises ValueError for anything else, and for a time zone that moves the time out of the years 1 to 9999.
        """
        # datetime.fromisoformat accepts other forms, too, and loses the seventh digit.
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not a point in time: {text!r}")
        year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
        whole = cls.of(datetime(year, month, day, hour, minute, second, tzinfo=UTC))
        ticks = whole.ticks + int((match.group(7) or "").ljust(7, "0"))
        offset = match.group(8)
        if offset is None or offset in "Zz":
            return cls(ticks)
        minutes = int(offset[1:3]) * 60 + int(offset[-2:])
        # A clock ahead of UTC (+) shows a later time than UTC, so its offset is subtracted.
        sign = -1 if offset[0] == "-" else 1
        ticks -= sign * minutes * 60 * TICKS_PER_SECOND
        if not 0 <= ticks <= _MAX_TICKS:
            raise ValueError(f"not a point in time between the years 1 and 9999: {text!r}")
        return cls(ticks)

    @property
    def datetime(self) -> datetime:
        """The datetime in UTC, cut to microseconds."""
        return _EPOCH + timedelta(microseconds=self.ticks // 10)

    @property
    def text(self) -> str:
        """Text of a UTC DateTime in Newtonsoft.Json: up to seven digits without trailing zeros, and `Z`."""
        fraction = self.ticks % TICKS_PER_SECOND
        digits = f".{fraction:07d}".rstrip("0") if fraction else ""
        return f"{self._seconds}{digits}Z"

    @property
    def text7(self) -> str:
        """Text in table columns, OData filters and entity requests: always seven digits, and `Z`."""
        return f"{self._seconds}.{self.ticks % TICKS_PER_SECOND:07d}Z"

    @property
    def _seconds(self) -> str:
        return self.datetime.isoformat(timespec="seconds").removesuffix("+00:00")

    def __add__(self, delta: timedelta) -> Instant:
        seconds = delta.days * 86_400 + delta.seconds
        return Instant(self.ticks + seconds * TICKS_PER_SECOND + delta.microseconds * 10)

    def __sub__(self, other: Instant) -> timedelta:
        # Differences are used for waiting, for which microseconds are enough.
        return timedelta(microseconds=(self.ticks - other.ticks) / 10)

    def plus_ticks(self, ticks: int) -> Instant:
        return Instant(self.ticks + ticks)


MIN_INSTANT = Instant(0)
