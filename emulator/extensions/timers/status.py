"""Schedule status of a timer function: its stored form, and what a start makes of it.

The status says when the function has run and will run next, so that a host that starts later can catch up a missed
run. Source: docs/protocol/functions-host.md 8.2 (webjobs-sdk-extensions: ScheduleStatus, ScheduleMonitor).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.extensions.timers.local_time import NEVER, UNSET, LocalZone
from emulator.extensions.timers.schedule import Schedule
from emulator.instant import Instant

# Other hosts write the smallest time with the offset of their zone in the year 1, so it is within a day of UNSET.
_UNSET_BEFORE: Final = UNSET + timedelta(days=2)
# Likewise the greatest time.
_NEVER_FROM: Final = NEVER + timedelta(days=-2)
# Clocks of two machines differ, and what one has run just now must not run again on the other.
_CLOCK_TOLERANCE: Final = timedelta(minutes=15)


class InvalidStatus(EmulatorError):
    """A stored status cannot be read."""


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """When a timer function has run last and runs next. `last` UNSET: it has not run under this schedule."""

    last: Instant
    next: Instant
    last_updated: Instant

    @classmethod
    def after_run(cls, schedule: Schedule, started_at: Instant) -> ScheduleStatus:
        """Return the status after a run, successful or not. `started_at`: when it began."""
        return cls(started_at, schedule.next_after(started_at), started_at)

    @classmethod
    def first(cls, schedule: Schedule, now: Instant) -> ScheduleStatus:
        """Return the status of a function that has none yet, as the function itself sees it."""
        return cls(UNSET, schedule.next_after(now), UNSET)

    def members(self, zone: LocalZone) -> dict[str, str]:
        """Return the members of the JSON object, in the host's order, with local times."""
        return {
            "Last": zone.text(self.last),
            "Next": zone.text(self.next),
            "LastUpdated": zone.text(self.last_updated),
        }

    def encode(self, zone: LocalZone) -> bytes:
        """Return the content of the status blob."""
        return json.dumps(self.members(zone), separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class StartStatus:
    """What a start makes of the stored status.

    `status`: to continue with. `stored`: to be written; None: the blob stays as it is. `is_past_due`: a run was
    missed.
    """

    status: ScheduleStatus
    stored: ScheduleStatus | None
    is_past_due: bool


def decode(content: bytes, zone: LocalZone) -> ScheduleStatus | None:
    """Read the content of a status blob; None: it is empty, which counts as no status. Raises InvalidStatus."""
    if not content.strip():
        return None
    try:
        members = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidStatus("it is not JSON") from None
    if not isinstance(members, dict):
        raise InvalidStatus("it is not a JSON object")
    # .NET compares names without letter case.
    by_name = {str(name).lower(): value for name, value in members.items()}
    return ScheduleStatus(*(_time(name, by_name.get(name.lower()), zone) for name in ("Last", "Next", "LastUpdated")))


def status_at_start(stored: ScheduleStatus | None, schedule: Schedule, now: Instant) -> StartStatus:
    """Decide about a missed run, and about a status that belongs to another schedule (`CheckPastDue` in .NET)."""
    if stored is None or is_from_future(stored, now):
        first = ScheduleStatus.first(schedule, now)
        # The stored status has a time of its update, unlike the one that the function sees.
        return StartStatus(first, ScheduleStatus(first.last, first.next, now), is_past_due=False)
    basis = next((time for time in (stored.last, stored.last_updated) if time != UNSET), now)
    expected = schedule.next_after(basis)
    if stored.next == expected:
        return StartStatus(stored, None, is_past_due=now > stored.next)
    # The schedule has changed. What the new one has missed is not caught up, because it did not exist then.
    if now > expected:
        basis, expected = now, schedule.next_after(now)
    changed = ScheduleStatus(UNSET, expected, basis)
    return StartStatus(changed, changed, is_past_due=False)


def is_from_future(stored: ScheduleStatus, now: Instant) -> bool:
    """Return whether a status was stored when the clock was ahead. In .NET, nothing runs until the clock is there."""
    return max(stored.last, stored.last_updated) > now + _CLOCK_TOLERANCE


def _time(name: str, value: Any, zone: LocalZone) -> Instant:
    if value is None:
        return UNSET
    try:
        # Without the offset, which can move such a time out of the years 1 to 9999.
        shown = Instant.parse(value[: len("0001-01-01T00:00:00")])
        if shown < _UNSET_BEFORE:
            return UNSET
        if shown > _NEVER_FROM:
            return NEVER
        moment = Instant.parse(value)
    except (TypeError, ValueError, AttributeError):
        raise InvalidStatus(f"{name} is {json.dumps(value)[:100]}, which is not a time") from None
    # A time without an offset is local.
    has_offset = value[-1] in "Zz" or value[-6] in "+-" or value[-5] in "+-"
    return moment if has_offset else zone.instant(moment.datetime.replace(tzinfo=None))
