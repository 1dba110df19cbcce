"""Schedules: all cases of tests/conformance/ncrontab-cases.yaml, and the local time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from emulator.errors import ConfigurationError
from emulator.extensions.timers.local_time import NEVER, UNSET, LocalZone, local_zone
from emulator.extensions.timers.ncrontab import parse_ncrontab
from emulator.extensions.timers.schedule import InvalidSchedule, Schedule, occurrences, parse_schedule
from emulator.instant import Instant

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[2] / "conformance" / "ncrontab-cases.yaml").read_text(encoding="utf-8")
)
UTC_ZONE = LocalZone("UTC", UTC)


def cases(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES[section]])


def zone(name: str) -> LocalZone:
    return LocalZone(name, ZoneInfo(name))


def following(schedule: Schedule, base: datetime, count: int = 3) -> list[datetime]:
    return [moment.datetime for moment in occurrences(schedule, Instant.of(base), count)]


def test_the_cases_are_complete() -> None:
    assert {section: len(found) for section, found in CASES.items() if section != "version"} == {
        "cron": 74,
        "cron_never": 2,
        "invalid": 43,
        "timespan": 12,
        "dst": 12,
    }


@cases("cron")
def test_cron(case: dict[str, Any]) -> None:
    expression = parse_ncrontab(case["expression"])
    assert (expression.text, expression.is_interval) == (case["canonical"], case["interval"])
    schedule = parse_schedule(case["expression"], UTC_ZONE)
    assert str(schedule) == f"Cron: '{case['canonical']}'"
    assert schedule.can_be_monitored is not case["monitor_off"]
    base = datetime.fromisoformat(case["base"]).replace(tzinfo=UTC)
    assert following(schedule, base) == [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in case["next"]]


@cases("cron_never")
def test_a_date_that_never_comes(case: dict[str, Any]) -> None:
    schedule = parse_schedule(case["expression"], UTC_ZONE)
    base = Instant.of(datetime.fromisoformat(case["base"]).replace(tzinfo=UTC))
    assert occurrences(schedule, base, 2) == [NEVER, NEVER]


@cases("invalid")
def test_texts_that_are_no_schedule(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidSchedule) as error:
        parse_schedule(case["expression"], UTC_ZONE)
    sentence = (
        f"The schedule expression '{case['expression']}' was not recognized as a valid cron expression or timespan "
        "string."
    )
    assert str(error.value).startswith(f"{sentence} Reason: ")


@cases("timespan")
def test_time_spans(case: dict[str, Any]) -> None:
    schedule = parse_schedule(case["expression"], UTC_ZONE)
    base = datetime.fromisoformat(case["base"]).replace(tzinfo=UTC)
    assert following(schedule, base) == [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in case["next"]]
    assert schedule.next_after(Instant.of(base)) - Instant.of(base) == timedelta(seconds=case["seconds"])
    assert schedule.can_be_monitored is not case["monitor_off"]


@cases("dst")
def test_daylight_saving(case: dict[str, Any]) -> None:
    local = zone(case["zone"])
    schedule = parse_schedule(case["expression"], local)
    base = Instant.of(datetime.fromisoformat(case["base"]))
    assert [local.text(moment) for moment in occurrences(schedule, base, 3)] == case["next"]
    if "interval" in case:
        assert parse_ncrontab(case["expression"]).is_interval is case["interval"]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("0 0 6 * * 1-7", "7 in the day of week field: it takes 0 to 6. Sunday is 0"),
        ("0 0 6 * * 7", "Sunday is 0"),
        ("0 0 6 ? * MON", "'?' in the day of month field is not supported. Write * instead"),
        ("0 0 6 L * *", "NCRONTAB has no L, W and #"),
        ("0 0 6 * * MON#2", "NCRONTAB has no L, W and #"),
        ("0 0 6 * * 1 2027", "it has 7 fields"),
        ("0 0 6 * * 1 2027", "There is no field for the year"),
        ("@daily", "macros such as @daily are not supported. Write 0 0 0 * * *"),
        ("@Hourly", "Write 0 0 * * * *"),
        ("0 60 * * * *", "60 in the minute field: it takes 0 to 59"),
        ("0 0 0 1 Foo *", "neither a number from 1 to 12 nor an English name such as jan"),
        ("* * *", "it has 3 fields; a schedule has five (minute hour day month weekday) or six (second first)"),
        ("00:90:00", "a time span is written hh:mm:ss"),
        ("", "it is empty"),
        ("00:00:00", "must be greater than zero"),
        ("-00:01:00", "must be greater than zero"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said(text: str, advice: str) -> None:
    with pytest.raises(InvalidSchedule) as error:
        parse_schedule(text, UTC_ZONE)
    assert advice in str(error.value)


def test_rare_dates_of_the_recordings() -> None:
    schedule = parse_schedule("0 0 0 29 2 1", UTC_ZONE)
    years = [moment.year for moment in following(schedule, datetime(2026, 11, 29, tzinfo=UTC), 5)]
    assert years == [2044, 2072, 2112, 2140, 2168]


@pytest.mark.parametrize(
    ("name", "unset", "never"),
    [
        ("UTC", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.9999999+00:00"),
        ("Europe/Berlin", "0001-01-01T00:54:00+00:54", "9999-12-31T23:59:59.9999999+01:00"),
        ("Asia/Kolkata", "0001-01-01T05:53:00+05:53", "9999-12-31T23:59:59.9999999+05:30"),
    ],
)
def test_the_first_and_the_last_time_have_the_forms_of_dotnet(name: str, unset: str, never: str) -> None:
    assert (zone(name).text(UNSET), zone(name).text(NEVER)) == (unset, never)


def test_local_texts() -> None:
    berlin, moment = zone("Europe/Berlin"), Instant.parse("2026-07-01T08:00:00.0123Z")
    assert berlin.text(moment) == "2026-07-01T10:00:00.0123+02:00"
    assert berlin.text(moment, digits=True) == "2026-07-01T10:00:00.0123000+02:00"
    assert berlin.occurrence_text(moment) == "07/01/2026 10:00:00+02:00 (07/01/2026 08:00:00Z)"
    assert zone("Etc/GMT").occurrence_text(moment) == "07/01/2026 08:00:00Z"
    assert zone("Africa/Abidjan").occurrence_text(moment) == "07/01/2026 08:00:00+00:00 (07/01/2026 08:00:00Z)"
    now = Instant.of(datetime(2026, 7, 1, tzinfo=UTC))
    assert berlin.title(now) == "(UTC+01:00) Europe/Berlin"
    assert zone("America/New_York").title(now) == "(UTC-05:00) America/New_York"
    assert zone("UTC").title(now) == "(UTC) Coordinated Universal Time"


def test_the_zone_is_the_setting_or_the_computers() -> None:
    assert local_zone("Europe/Berlin").name == "Europe/Berlin"
    assert local_zone(":Asia/Tokyo").name == "Asia/Tokyo"
    assert local_zone("").is_utc
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    computer = local_zone(None)
    assert computer.offset(Instant.of(moment)) == moment.astimezone().utcoffset()


@pytest.mark.parametrize("name", ["Europe/Nowhere", "../etc/passwd", "/does/not/exist", "Europe"])
def test_a_zone_that_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"The setting TZ is '{name}'"):
        local_zone(name)


def test_the_zone_of_a_system_without_zone_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("emulator.extensions.timers.local_time._LOCALTIME", tmp_path / "missing")
    moment = datetime(2026, 7, 1, 12, tzinfo=UTC)
    computer = local_zone(None)
    assert computer.offset(Instant.of(moment)) == moment.astimezone().utcoffset()
    assert computer.text(NEVER).startswith("9999-12-31T23:59:59.9999999")
    assert computer.text(UNSET).startswith("0001-01-01T")
    wall = computer.wall(Instant.of(moment))
    assert computer.instant(wall) == Instant.of(moment)
