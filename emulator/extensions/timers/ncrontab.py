"""NCRONTAB expressions: parsing, canonical text, and the next matching time of the wall clock.

The grammar is that of the NCrontab library, which the Functions host uses. It differs from cron: there are five or six
fields (seconds first), Sunday is 0 and 7 is not a day, reversed ranges are swapped and never wrapped, day of month and
day of week must both match. Time zones are the subject of schedule.py.
Source: docs/protocol/functions-host.md 8.2.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final

from emulator.errors import EmulatorError

_MONTHS: Final = "January February March April May June July August September October November December".lower().split()
_DAYS: Final = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".lower().split()
_ALL: Final = "*"
# NCrontab reads numbers into 32-bit integers.
_MAX_INT: Final = 2**31 - 1
# Zeros in front count as no digits, and ten digits are more than any allowed number has.
_STEP: Final = re.compile(r"([+-]?)0*(\d{1,10})", re.ASCII)
_NUMBER: Final = re.compile(r"0*(\d{1,10})", re.ASCII)
# The calendar repeats after 400 years, so a date that does not occur within them never does.
_CALENDAR_YEARS: Final = 400

MACROS: Final = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
"""Macros of other cron implementations, which NCrontab does not have, and what to write instead."""


class NotNcrontab(EmulatorError):
    """A text is not a NCRONTAB expression. The message says which part is wrong and what to write instead."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of the expression. `names`: English names that stand for `low`, `low` + 1, …"""

    title: str
    low: int
    high: int
    names: Sequence[str] = ()

    def parse(self, text: str) -> Sequence[int]:
        """Return the sorted values of the field. Raises NotNcrontab."""
        values: set[int] = set()
        for item in text.split(","):
            if not item:
                raise NotNcrontab(f"the {self.title} field '{text}' has an empty list element")
            values.update(self._item(item))
        return sorted(values)

    def canonical(self, values: Sequence[int]) -> str:
        """Return the field as NCrontab prints it: `*`, or values and ranges such as `0,15,40-45`."""
        if len(values) == self.high - self.low + 1:
            return _ALL
        runs: list[list[int]] = []
        for value in values:
            if runs and runs[-1][-1] == value - 1:
                runs[-1].append(value)
            else:
                runs.append([value])
        return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)

    def _item(self, item: str) -> range:
        base, slash, step_text = item.partition("/")
        match = _STEP.fullmatch(step_text)
        step = int(match[1] + match[2]) if match else None
        if slash and (step is None or abs(step) > _MAX_INT):
            raise NotNcrontab(f"the step '{step_text}' of '{item}' in the {self.title} field is not a whole number")
        # The first character is not a separator, because NCrontab looks for the dash behind it.
        dash = base.find("-", 1)
        if base == _ALL:
            first, last = self.low, self.high
        elif dash > 0:
            first, last = sorted((self._value(base[:dash], item), self._value(base[dash + 1 :], item)))
        else:
            first = self._value(base, item)
            last = self.high if slash else first
        return range(first, last + 1, max(step or 1, 1))

    def _value(self, text: str, item: str) -> int:
        if digits := _NUMBER.fullmatch(text):
            value = int(digits[1])
            if self.low <= value <= self.high:
                return value
            problem = f"{value} in the {self.title} field: it takes {self.low} to {self.high}"
            if self.names is _DAYS and value == 7:
                problem += ". Sunday is 0"
            raise NotNcrontab(problem)
        # The first name in calendar order wins: T is Tuesday, JU is June.
        for number, name in enumerate(self.names, self.low):
            if text and name.startswith(text.lower()):
                return number
        raise NotNcrontab(f"'{item}' in the {self.title} field {self._advice(item)}")

    def _advice(self, item: str) -> str:
        if item == "?":
            return "is not supported. Write * instead"
        if re.fullmatch(r"L|LW|\d*[LW]|\w+#\d+", item, re.IGNORECASE):
            return "is not supported: NCRONTAB has no L, W and #"
        if self.names:
            return f"is neither a number from {self.low} to {self.high} nor an English name such as {self.names[0][:3]}"
        return f"is not a number from {self.low} to {self.high}, range (1-5), list (1,5) or step (*/5)"


_FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class CronExpression:
    """A parsed expression. `text`: its canonical text. The other members: the values of each field, sorted."""

    text: str
    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: Sequence[int]
    months: Sequence[int]
    weekdays: Sequence[int]

    @property
    def is_interval(self) -> bool:
        """Whether the time of day is an interval for daylight saving: it then runs in both passes of a repeated hour.

        That is so if seconds, minutes or hours (of an expression with five fields: minutes or hours) contain `*` or a
        range in the canonical text.
        """
        fields = self.text.split(" ")
        return any(_ALL in field or "-" in field for field in fields[: 3 if len(fields) == 6 else 2])

    @property
    def runs_within_minutes(self) -> bool:
        """Whether it occurs several times in every minute. Such a schedule is not monitored."""
        fields = self.text.split(" ")
        return len(fields) == 6 and len(self.seconds) > 1 and all(field == _ALL for field in fields[1:])

    def next_after(self, wall: datetime) -> datetime | None:
        """Return the first matching wall-clock second after `wall` (naive); None: there is none before the year 10000.

        The fraction of the second of `wall` is dropped before.
        """
        if self._has(wall.date()) and (at := self._time_after(wall.time())) is not None:
            return datetime.combine(wall.date(), at)
        for day in self._days_after(wall.date()):
            return datetime.combine(day, time(self.hours[0], self.minutes[0], self.seconds[0]))
        return None

    def _has(self, day: date) -> bool:
        # Python counts weekdays from Monday, NCRONTAB from Sunday.
        return day.month in self.months and day.day in self.days and day.isoweekday() % 7 in self.weekdays

    def _time_after(self, base: time) -> time | None:
        after = (base.hour, base.minute, base.second)
        for hour in self.hours:
            if hour > base.hour:
                return time(hour, self.minutes[0], self.seconds[0])
            if hour < base.hour:
                continue
            for minute in self.minutes:
                if (hour, minute, self.seconds[-1]) <= after:
                    continue
                return time(hour, minute, next(s for s in self.seconds if (hour, minute, s) > after))
        return None

    def _days_after(self, base: date) -> Iterator[date]:
        for year in range(base.year, min(base.year + _CALENDAR_YEARS, date.max.year) + 1):
            for month in self.months:
                if (year, month) < (base.year, base.month):
                    continue
                length = monthrange(year, month)[1]
                for number in self.days:
                    if number <= length and (day := date(year, month, number)) > base and self._has(day):
                        yield day


def parse_ncrontab(text: str) -> CronExpression:
    """Read an expression of five or six fields; with five the second is 0. Raises NotNcrontab."""
    # Only the blank separates fields: a tab is part of a field, and makes it wrong.
    parts = [part for part in text.split(" ") if part]
    if len(parts) == 5:
        values = [[0], *(field.parse(part) for field, part in zip(_FIELDS[1:], parts, strict=True))]
    elif len(parts) == 6:
        values = [field.parse(part) for field, part in zip(_FIELDS, parts, strict=True)]
    else:
        raise NotNcrontab(_wrong_number(text, parts))
    used = list(zip(_FIELDS, values, strict=True))[-len(parts) :]
    return CronExpression(" ".join(field.canonical(numbers) for field, numbers in used), *values)


def _wrong_number(text: str, parts: Sequence[str]) -> str:
    macro = MACROS.get(text.strip().lower())
    if macro is not None:
        return f"macros such as {text.strip()} are not supported. Write {macro}"
    count = f"it has {len(parts)} field{'' if len(parts) == 1 else 's'}"
    needed = "a schedule has five (minute hour day month weekday) or six (second first)"
    if len(parts) == 7:
        return f"{count}; {needed}. There is no field for the year"
    return f"{count}; {needed}"
