"""Schedules of timer functions: NCRONTAB expressions in local time, and time spans.

Source: docs/protocol/functions-host.md 8.2 (webjobs-sdk-extensions: CronSchedule, ConstantSchedule).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from emulator.dotnet.timespan import format_timespan, parse_timespan
from emulator.errors import EmulatorError
from emulator.extensions.timers.local_time import NEVER, LocalZone
from emulator.extensions.timers.ncrontab import CronExpression, NotNcrontab, parse_ncrontab
from emulator.instant import Instant

_SHORTEST_MONITORED = timedelta(minutes=1)


class InvalidSchedule(EmulatorError):
    """The schedule of a function cannot be read. The first sentence is the host's, the rest says what is wrong."""

    def __init__(self, text: str, problem: str) -> None:
        super().__init__(
            f"The schedule expression '{text}' was not recognized as a valid cron expression or timespan string."
            f" Reason: {problem}."
        )


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """An NCRONTAB expression by the wall clock of a time zone."""

    expression: CronExpression
    zone: LocalZone

    adjusts_for_daylight_saving = True

    def __str__(self) -> str:
        return f"Cron: '{self.expression.text}'"

    @property
    def can_be_monitored(self) -> bool:
        """Whether a missed run may be caught up: not of a schedule that occurs several times in a minute."""
        return not self.expression.runs_within_minutes

    def next_after(self, moment: Instant) -> Instant:
        """Return the next occurrence after a moment; NEVER if there is none.

        A time that the clock skips occurs one hour later. In a repeated hour an interval (`CronExpression.is_interval`)
        runs in both passes, any other schedule only in the first.
        """
        if moment >= NEVER:
            return NEVER
        wall = self.expression.next_after(self.zone.wall(moment))
        if wall is None:
            return NEVER
        occurrence = self.zone.instant(wall)
        is_ambiguous = self.zone.is_ambiguous(self.zone.wall(occurrence))
        # The clock goes back between both: positive in the first pass, and before it.
        back = self.zone.offset(moment) - self.zone.offset(occurrence)
        if self.expression.is_interval:
            if back and (is_ambiguous or self.zone.is_ambiguous(self.zone.wall(moment))):
                return occurrence + -back
            return occurrence
        if is_ambiguous:
            return occurrence + -back if back else self._after_repeated_hour(wall)
        return occurrence

    def _after_repeated_hour(self, wall: datetime) -> Instant:
        # In the second pass: the occurrences of this hour were in the first pass already.
        next_wall: datetime | None = wall
        while next_wall is not None and self.zone.is_ambiguous(next_wall):
            next_wall = self.expression.next_after(next_wall)
        return NEVER if next_wall is None else self.zone.instant(next_wall)


@dataclass(frozen=True, slots=True)
class ConstantSchedule:
    """A time span between two runs. Daylight saving has no effect on it."""

    interval: timedelta

    adjusts_for_daylight_saving = False

    def __str__(self) -> str:
        return f"Constant: {format_timespan(self.interval)}"

    @property
    def can_be_monitored(self) -> bool:
        """Whether a missed run may be caught up: only with at least a minute between two runs."""
        return self.interval >= _SHORTEST_MONITORED

    def next_after(self, moment: Instant) -> Instant:
        """Return the moment one interval later."""
        return min(moment + self.interval, NEVER)


Schedule = CronSchedule | ConstantSchedule


def parse_schedule(text: str, zone: LocalZone) -> Schedule:
    """Read the schedule of a timer trigger, `%settings%` resolved: NCRONTAB or a time span. Raises InvalidSchedule."""
    try:
        return CronSchedule(parse_ncrontab(text), zone)
    except NotNcrontab as error:
        problem = str(error)
    try:
        interval = parse_timespan(text)
    except (ValueError, OverflowError):
        if ":" in text:
            problem = (
                "a time span is written hh:mm:ss or d.hh:mm:ss, with hours up to 23 and minutes and seconds up to 59"
            )
        elif not text.strip():
            problem = "it is empty. Write an NCRONTAB expression, such as 0 */5 * * * *"
        raise InvalidSchedule(text, problem) from None
    # The Functions host accepts these, and calls the function again and again without a pause.
    if interval <= timedelta(0):
        raise InvalidSchedule(text, "the time between two runs must be greater than zero")
    return ConstantSchedule(interval)


def occurrences(schedule: Schedule, moment: Instant, count: int) -> list[Instant]:
    """Return the next `count` occurrences after a moment."""

    def following() -> Iterator[Instant]:
        at = moment
        while True:
            at = schedule.next_after(at)
            yield at

    return list(islice(following(), count))
