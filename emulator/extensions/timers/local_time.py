"""The local time zone of the host: wall clock times, offsets, and the texts of .NET for them.

Schedules go by the zone of the setting TZ, or else by the computer's. WEBSITE_TIME_ZONE has no effect outside Azure.
Source: docs/protocol/functions-host.md 8.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from emulator.errors import ConfigurationError
from emulator.instant import TICKS_PER_SECOND, Instant

NEVER: Final = Instant(Instant.of(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)).ticks + TICKS_PER_SECOND - 1)
"""The greatest time of .NET: the next occurrence of a schedule that never occurs."""
UNSET: Final = Instant(0)
"""The smallest time of .NET: the last run of a function that has not run yet."""

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_LOCALTIME: Final = Path("/etc/localtime")
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class LocalZone:
    """A time zone. `name`: for users, such as Europe/Berlin. All wall times are naive."""

    name: str
    zone: tzinfo

    def wall(self, moment: Instant) -> datetime:
        """Return the wall clock time of a moment. Its `fold` is 1 in the second pass of a repeated hour."""
        return moment.datetime.astimezone(self.zone).replace(tzinfo=None)

    def offset(self, moment: Instant) -> timedelta:
        """Return the distance to UTC at a moment."""
        return self._offset(moment.datetime.astimezone(self.zone))

    def instant(self, wall: datetime) -> Instant:
        """Return the moment of a wall clock time; of a repeated or missing one, by the offset after the change.

        A repeated time is the second one; a missing one is shifted: 02:30 becomes 03:30 when the clock goes from 02:00
        to 03:00. That is standard time where clocks change for daylight saving.
        """
        ambiguous = self.is_ambiguous(wall)
        # fold=0 means the offset before the change: summer time if clocks go back, standard time if they go forward.
        return Instant.of(wall.replace(tzinfo=self.zone, fold=1 if ambiguous else 0))

    def is_ambiguous(self, wall: datetime) -> bool:
        """Whether the clock shows this time twice."""
        first, second = (wall.replace(tzinfo=self.zone, fold=fold) for fold in (0, 1))
        return self._offset(first) > self._offset(second)

    @property
    def is_utc(self) -> bool:
        """Whether this zone is UTC under any name."""
        moments = (datetime(year, month, 1, tzinfo=self.zone) for year in (1, 2024) for month in (1, 7))
        return all(self._offset(moment) == timedelta(0) for moment in moments)

    def title(self, now: Instant) -> str:
        """Return the display name of .NET, such as `(UTC+01:00) Europe/Berlin`: with the offset of standard time."""
        return "(UTC) Coordinated Universal Time" if self.is_utc else f"(UTC{_sign(self._standard(now))}) {self.name}"

    def text(self, moment: Instant, *, digits: bool = False) -> str:
        """Return ISO 8601 with offset and up to seven digits of a fraction, as Newtonsoft.Json writes local times.

        `digits`: always seven of them, the format "o" of .NET.
        """
        if moment in (UNSET, NEVER):
            return self._extreme_text(moment, digits=digits)
        local = moment.datetime.astimezone(self.zone)
        fraction = f".{moment.ticks % TICKS_PER_SECOND:07d}"
        if not digits:
            fraction = fraction.rstrip("0").rstrip(".")
        return f"{local:%Y-%m-%dT%H:%M:%S}{fraction}{_sign(self._offset(local))}"

    def occurrence_text(self, moment: Instant) -> str:
        """Return a line of the list of occurrences, such as `11/30/2026 09:00:00+01:00 (11/30/2026 08:00:00Z)`."""
        utc = f"{moment.datetime:%m/%d/%Y %H:%M:%S}Z"
        if self.is_utc:
            return utc
        if moment == NEVER:
            return f"{moment.datetime:%m/%d/%Y %H:%M:%S}{_sign(self._offset_at(_LATEST))} ({utc})"
        return f"{self.wall(moment):%m/%d/%Y %H:%M:%S}{_sign(self.offset(moment))} ({utc})"

    def _extreme_text(self, moment: Instant, *, digits: bool) -> str:
        # These times cannot be converted, because the result may be before the year 1 or after 9999.
        if moment == NEVER:
            return f"9999-12-31T23:59:59.9999999{_sign(self._offset_at(_LATEST))}"
        # .NET has offsets of whole minutes. It cuts the difference between standard time and the time of the place,
        # which counted in the year 1: 5:30 + 0:23:28 in India, 1:00 - 0:06:32 in Berlin.
        standard = self._standard(Instant.of(datetime(2024, 1, 1, tzinfo=UTC)))
        difference = self._offset_at(_EARLIEST) - standard
        minutes = abs(difference) // _MINUTE * (-1 if difference < timedelta(0) else 1)
        offset = standard + minutes * _MINUTE
        clock = (_EARLIEST + max(offset, timedelta(0))).replace(tzinfo=None)
        return f"{clock.isoformat()}{'.0000000' if digits else ''}{_sign(offset)}"

    def _standard(self, now: Instant) -> timedelta:
        # Clocks are ahead of standard time in summer, which is in January on the southern half of the Earth.
        year = now.datetime.year
        return min(self._offset_at(datetime(year, month, 1, tzinfo=UTC)) for month in (1, 7))

    def _offset_at(self, wall: datetime) -> timedelta:
        # Whatever zone `wall` has, it is taken for the time of this one.
        return self._offset(wall.replace(tzinfo=self.zone))

    def _offset(self, local: datetime) -> timedelta:
        return local.utcoffset() or timedelta(0)


def local_zone(name: str | None) -> LocalZone:
    """Return the zone of this name, the value of the setting TZ; None: the computer's.

    An empty TZ means UTC, as in .NET. Raises ConfigurationError for a zone that does not exist.
    """
    if name is None:
        return _computer_zone()
    name = name.removeprefix(":")
    if not name:
        return LocalZone("UTC", UTC)
    try:
        if Path(name).is_absolute():
            with Path(name).open("rb") as file:
                return LocalZone(name, ZoneInfo.from_file(file, key=name))
        return LocalZone(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(
            f"The setting TZ is '{name}', which is not a time zone that this computer knows. Use a name of the IANA "
            "database, such as Europe/Berlin, or UTC. If the name is right, install the zones: pip install tzdata."
        ) from None


def _computer_zone() -> LocalZone:
    # POSIX systems have a link to a file, or a copy of it, at this place.
    try:
        with _LOCALTIME.open("rb") as file:
            _, found, name = _LOCALTIME.resolve().as_posix().partition("/zoneinfo/")
            name = name if found else "Local"
            return LocalZone(name, ZoneInfo.from_file(file, key=name))
    except (OSError, ValueError):
        return LocalZone("Local", _PlatformZone())


class _PlatformZone(tzinfo):
    """The zone of the computer by the rules of the operating system, which Windows does not keep in a file."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        if moment is None:
            return timedelta(0)
        try:
            return moment.replace(tzinfo=None).astimezone().utcoffset() or timedelta(0)
        except (OSError, OverflowError, ValueError):
            # Windows knows the years from 1970 to 3000 only.
            return datetime(2024, 1, 1, fold=moment.fold).astimezone().utcoffset() or timedelta(0)

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None

    def fromutc(self, moment: datetime) -> datetime:
        try:
            return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)
        except (OSError, OverflowError, ValueError):
            return moment + self.utcoffset(moment)


def _sign(offset: timedelta) -> str:
    """Write an offset as `+hh:mm`."""
    minutes = abs(offset) // _MINUTE
    return f"{'-' if offset < timedelta(0) else '+'}{minutes // 60:02d}:{minutes % 60:02d}"
