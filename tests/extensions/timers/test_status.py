"""Schedule status: its stored form, and what a start makes of it."""

from __future__ import annotations

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from emulator.extensions.timers.local_time import NEVER, UNSET, LocalZone
from emulator.extensions.timers.schedule import parse_schedule
from emulator.extensions.timers.status import InvalidStatus, ScheduleStatus, decode, status_at_start
from emulator.instant import Instant

UTC_ZONE = LocalZone("UTC", UTC)
BERLIN = LocalZone("Europe/Berlin", ZoneInfo("Europe/Berlin"))
HOURLY = parse_schedule("0 0 * * * *", UTC_ZONE)


def status(last: str | None, next: str, updated: str | None) -> ScheduleStatus:
    times = [UNSET if text is None else Instant.parse(text) for text in (last, next, updated)]
    return ScheduleStatus(*times)


def test_the_stored_form_is_the_hosts() -> None:
    stored = status("2026-11-29T04:02:00.003223Z", "2026-11-29T04:03:00Z", "2026-11-29T04:02:00.003223Z")
    assert stored.encode(BERLIN) == (
        b'{"Last":"2026-11-29T05:02:00.003223+01:00","Next":"2026-11-29T05:03:00+01:00",'
        b'"LastUpdated":"2026-11-29T05:02:00.003223+01:00"}'
    )
    assert decode(stored.encode(BERLIN), UTC_ZONE) == stored


@pytest.mark.parametrize("zone", [UTC_ZONE, BERLIN, LocalZone("LA", ZoneInfo("America/Los_Angeles"))])
def test_extreme_times_are_read_in_any_zone(zone: LocalZone) -> None:
    extreme = ScheduleStatus(UNSET, NEVER, UNSET)
    assert decode(extreme.encode(zone), UTC_ZONE) == extreme


def test_members_may_be_missing_or_in_another_form() -> None:
    assert decode(b"", UTC_ZONE) is None
    assert decode(b"{}", UTC_ZONE) == ScheduleStatus(UNSET, UNSET, UNSET)
    content = b'{"last":"2026-11-28T03:00:00Z","NEXT":"2026-11-29T04:00:00+01:00","LastUpdated":null,"Extra":1}'
    assert decode(content, UTC_ZONE) == status("2026-11-28T03:00:00Z", "2026-11-29T03:00:00Z", None)
    # Without an offset the time is local.
    assert decode(b'{"Next":"2026-07-01T10:00:00"}', BERLIN) == status(None, "2026-07-01T08:00:00Z", None)


@pytest.mark.parametrize("content", [b"not json", b"[]", b'"x"', b'{"Last":"soon"}', b'{"Next":7}'])
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidStatus):
        decode(content, UTC_ZONE)


def test_a_first_start_stores_its_time_but_shows_none() -> None:
    now = Instant.parse("2026-11-29T10:10:00Z")
    start = status_at_start(None, HOURLY, now)
    assert start.status == status(None, "2026-11-29T11:00:00Z", None)
    assert start.stored == status(None, "2026-11-29T11:00:00Z", "2026-11-29T10:10:00Z")
    assert not start.is_past_due


@pytest.mark.parametrize(
    ("stored", "now", "past_due"),
    [
        (("2026-11-29T10:00:00.1Z", "2026-11-29T11:00:00Z", "2026-11-29T10:00:00.1Z"), "2026-11-29T14:20:00Z", True),
        (("2026-11-29T10:00:00.1Z", "2026-11-29T11:00:00Z", "2026-11-29T10:00:00.1Z"), "2026-11-29T11:00:00Z", False),
        ((None, "2026-11-29T11:00:00Z", "2026-11-29T10:10:00Z"), "2026-11-29T14:20:00Z", True),
        ((None, "2026-11-29T11:00:00Z", "2026-11-29T10:10:00Z"), "2026-11-29T10:50:00Z", False),
    ],
)
def test_a_run_is_missed_once_its_time_has_passed(
    stored: tuple[str | None, str, str], now: str, past_due: bool
) -> None:
    start = status_at_start(status(*stored), HOURLY, Instant.parse(now))
    assert (start.status, start.stored, start.is_past_due) == (status(*stored), None, past_due)


@pytest.mark.parametrize(
    ("now", "expected", "updated"),
    [
        ("2026-11-29T10:50:00Z", "2026-11-29T11:00:00Z", "2026-11-29T10:30:00Z"),
        # The new schedule would have been due, but did not exist then.
        ("2026-11-29T14:20:00Z", "2026-11-29T15:00:00Z", "2026-11-29T14:20:00Z"),
    ],
)
def test_another_schedule_misses_nothing(now: str, expected: str, updated: str) -> None:
    daily = status("2026-11-29T10:30:00Z", "2026-11-30T03:00:00Z", "2026-11-29T10:30:00Z")
    start = status_at_start(daily, HOURLY, Instant.parse(now))
    assert start.status == start.stored == status(None, expected, updated)
    assert not start.is_past_due
