"""Timer functions as users see them: when they run, what they are told, and what is stored, in virtual time."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.testing import AppUnderTest, start
from emulator.virtual_time import VirtualClock
from tests.running_apps import HTTP_APP, run_app, write_app
from tests.waiting import logged

SHOW = """
def show(name, timer):
    status = timer.schedule_status
    print(json.dumps([name, timer.past_due, status.get("Last"), status.get("Next")]))
"""
UTC_SETTINGS = {"TZ": "UTC", "AzureFunctionsWebHost__hostid": "timers-1"}
SHOWING_TIMERS = {"logging": {"logLevel": {"Host.Triggers.Timer": "Information"}}}
NEVER_RUN = "0001-01-01T00:00:00+00:00"


def timer(schedule: str, name: str = "tick", *, body: str = "", decorators: str = "", **options: Any) -> str:
    """Return the source of a timer function that prints its name, past_due, Last and Next, before `body`."""
    arguments = "".join(f", {key}={value!r}" for key, value in options.items())
    return (
        f'\n@app.timer_trigger(arg_name="timer", schedule="{schedule}"{arguments})\n{decorators}'
        f"def {name}(timer: func.TimerRequest, context: func.Context):\n"
        f"    show({name!r}, timer)\n    {body or 'pass'}\n"
    )


def at(text: str) -> datetime:
    """Return that time of 2026-11-29, UTC, or of another day if the text has one."""
    return datetime.fromisoformat(text if "T" in text else f"2026-11-29T{text}").replace(tzinfo=UTC)


def runs(app: AppUnderTest, name: str = "tick") -> list[list[Any]]:
    """Return past_due, Last and Next that the runs of a function have printed."""
    lines = [json.loads(line.message) for line in app.logs if line.message.startswith("[")]
    return [line[1:] for line in lines if line[0] == name]


async def advance_to(app: AppUnderTest, text: str) -> None:
    await app.advance(at(text) - app.now)


def status_blob(name: str = "tick") -> str:
    return f"timers/timers-1/Host.Functions.{name}/status"


async def blobs(app: AppUnderTest) -> dict[str, bytes]:
    """Return the blobs of azure-webjobs-hosts."""

    async def read() -> dict[str, bytes]:
        container = app._running.app.accounts("AzureWebJobsStorage").container("azure-webjobs-hosts")
        return {blob.name: await container.read(blob.name) async for blob in container.list()}

    return await app._run("read blobs", read())


async def write_blob(app: AppUnderTest, name: str, content: bytes) -> None:
    container = app._running.app.accounts("AzureWebJobsStorage").container("azure-webjobs-hosts")
    await app._run("write a blob", container.write(name, content))


async def stored(app: AppUnderTest, name: str = "tick") -> dict[str, str] | None:
    """Return the stored status of a function."""
    content = (await blobs(app)).get(status_blob(name))
    return None if content is None else json.loads(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "app"


async def test_a_daily_report_runs_once_a_day(folder: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 30 6 * * *"), timer("45 6 * * MON-FRI", "workdays"))
    async with start(folder, now=at("10:00"), settings=UTC_SETTINGS) as app:
        await app.advance(days=7)
        assert [run[2] for run in runs(app)] == [f"2026-{day}T06:30:00+00:00" for day in DAYS_OF_A_WEEK]
        assert [run[1] for run in runs(app)][:2] == [NEVER_RUN, "2026-11-30T06:30:00+00:00"]
        # 2026-11-30 is a Monday.
        assert [run[2][:10] for run in runs(app, "workdays")] == [f"2026-{day}" for day in DAYS_OF_A_WEEK[:5]]
        assert not any(run[0] for run in runs(app))


DAYS_OF_A_WEEK = ["11-30", "12-01", "12-02", "12-03", "12-04", "12-05", "12-06"]


async def test_the_first_run_sees_no_times_and_the_blob_has_one(folder: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 */5 * * * *"))
    async with start(folder, now=at("10:01:30"), settings=UTC_SETTINGS) as app:
        first = {"Last": NEVER_RUN, "Next": "2026-11-29T10:05:00+00:00"}
        assert await stored(app) == {**first, "LastUpdated": "2026-11-29T10:01:30+00:00"}
        await advance_to(app, "10:05")
        assert runs(app) == [[False, NEVER_RUN, "2026-11-29T10:05:00+00:00"]]
        assert await stored(app) == {
            "Last": "2026-11-29T10:05:00+00:00",
            "Next": "2026-11-29T10:10:00+00:00",
            "LastUpdated": "2026-11-29T10:05:00+00:00",
        }


@pytest.mark.parametrize("ran_before", [True, False])
async def test_a_start_makes_up_for_one_missed_run(folder: Path, tmp_path: Path, ran_before: bool) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 0 * * * *"), timer("0 0 * * * *", "unmonitored", use_monitor=False))
    store = tmp_path / "storage.db"
    async with start(folder, storage=store, now=at("09:30"), settings=UTC_SETTINGS) as app:
        await advance_to(app, "10:10" if ran_before else "09:40")
    async with start(folder, storage=store, now=at("14:20"), settings=UTC_SETTINGS) as app:
        await advance_to(app, "14:21")
        last = "2026-11-29T10:00:00+00:00" if ran_before else NEVER_RUN
        missed = "2026-11-29T11:00:00+00:00" if ran_before else "2026-11-29T10:00:00+00:00"
        assert runs(app) == [[True, last, missed]]
        await advance_to(app, "15:30")
        assert [run[0] for run in runs(app)] == [True, False]
        # Without monitoring nothing is stored, so nothing is caught up.
        assert runs(app, "unmonitored") == [[False, None, None]]
        assert await stored(app, "unmonitored") is None


async def test_run_on_startup_runs_at_every_start_and_only_once_if_a_run_is_missed(
    folder: Path, tmp_path: Path
) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 0 3 * * *", run_on_startup=True))
    store = tmp_path / "storage.db"
    for begin, past_due in (("T10:00", False), ("T10:01", False), ("T10:02", True)):
        day = "2026-11-30" if past_due else "2026-11-29"
        async with start(folder, storage=store, now=at(day + begin), settings=UTC_SETTINGS) as app:
            await app.advance(minutes=1)
            assert [run[0] for run in runs(app)] == [past_due]


async def test_bad_schedules_are_explained_and_leave_the_others_alone(folder: Path) -> None:
    bad = ["0 0 6 * * 1-7", "0 0 6 ? * MON", "0 0 6 * * 1 2027", "@daily", "", "%NOT_SET%"]
    functions = [timer(schedule, f"bad{number}") for number, schedule in enumerate(bad)]
    write_app(folder, HTTP_APP, SHOW, *functions, timer("30 6 * * *"))
    async with start(folder, now=at("06:00"), settings=UTC_SETTINGS) as app:
        await advance_to(app, "06:31")
        assert len(runs(app)) == 1
        for number, schedule in enumerate(bad[:-1]):
            assert f"Error indexing method 'Functions.bad{number}'" in app.console
            refusal = "was not recognized as a valid cron expression or timespan string."
            assert f"The schedule expression '{schedule}' {refusal}" in app.console
        assert "Sunday is 0" in app.console
        assert "'%NOT_SET%' does not resolve to a value." in app.console


async def test_a_schedule_may_be_a_setting(folder: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("%EVERY%"))
    async with start(folder, now=at("10:00"), settings={**UTC_SETTINGS, "EVERY": "00:01:30"}) as app:
        await advance_to(app, "10:03")
        assert [run[2] for run in runs(app)] == ["2026-11-29T10:01:30+00:00", "2026-11-29T10:03:00+00:00"]


async def test_the_next_five_occurrences_are_logged_in_local_time(folder: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 0 9 * * *"), host=SHOWING_TIMERS)
    settings = {**UTC_SETTINGS, "TZ": "Europe/Berlin", "WEBSITE_TIME_ZONE": "America/New_York"}
    async with start(folder, now=at("10:00"), settings=settings) as app:
        assert (
            "The next 5 occurrences of the 'tick' schedule (Cron: '0 0 9 * * *') will be:\n"
            "11/30/2026 09:00:00+01:00 (11/30/2026 08:00:00Z)\n"
            "12/01/2026 09:00:00+01:00 (12/01/2026 08:00:00Z)\n"
        ) in app.console
        await advance_to(app, "2026-11-30T08:00:00")
        assert runs(app) == [[False, "0001-01-01T00:54:00+00:54", "2026-11-30T09:00:00+01:00"]]
        # TZ counts, so there is nothing to warn of.
        assert "WEBSITE_TIME_ZONE" not in app.console


async def test_the_time_zone_setting_of_azure_has_no_effect_and_that_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TZ", raising=False)
    write_app(folder, HTTP_APP, SHOW, timer("0 0 9 * * *"), host=SHOWING_TIMERS)
    settings = {"AzureFunctionsWebHost__hostid": "timers-1", "WEBSITE_TIME_ZONE": "America/New_York"}
    async with start(folder, now=at("10:00"), settings=settings) as app:
        assert "The setting WEBSITE_TIME_ZONE (America/New_York) has no effect outside Azure." in app.console
        assert "The next 5 occurrences" in app.console
        assert "-05:00" not in app.console


async def test_a_clock_that_changes_skips_and_repeats_nothing(folder: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 30 2 * * *"), timer("0 */30 * * * *", "often"))
    settings = {**UTC_SETTINGS, "TZ": "America/Los_Angeles"}
    # In the night of 2027-11-07 the clock goes back from 02:00 to 01:00.
    async with start(folder, now=datetime(2027, 11, 7, 7, 45, tzinfo=UTC), settings=settings) as app:
        await app.advance(hours=3)
        assert [run[2][11:] for run in runs(app, "often")] == [
            "01:00:00-07:00",
            "01:30:00-07:00",
            "01:00:00-08:00",
            "01:30:00-08:00",
            "02:00:00-08:00",
            "02:30:00-08:00",
        ]
        assert [run[2][11:] for run in runs(app)] == ["02:30:00-08:00"]


async def test_a_manual_run_is_not_past_due_and_leaves_the_status_alone(folder: Path) -> None:
    disabled = timer("0 0 3 * * *", "off")
    write_app(folder, HTTP_APP, SHOW, timer("0 0 3 * * *", "nightly"), disabled)
    settings = {**UTC_SETTINGS, "AzureWebJobs.off.Disabled": "true"}
    async with start(folder, now=at("10:00"), settings=settings) as app:
        before = await stored(app, "nightly")
        assert (await app.post("/admin/functions/nightly")).status == 400
        assert (await app.post("/admin/functions/unknown", json={})).status == 404
        for name in ("nightly", "off"):
            assert (await app.post(f"/admin/functions/{name}", json={})).status == 202
        await app.advance(seconds=1)
        assert runs(app, "nightly") == [[False, NEVER_RUN, "2026-11-30T03:00:00+00:00"]]
        assert [run[0] for run in runs(app, "off")] == [False]
        assert await stored(app, "nightly") == before is not None
        await app.invoke("nightly", {"IsPastDue": True})
        assert [run[0] for run in runs(app, "nightly")] == [False, True]


@pytest.mark.parametrize(
    ("settings", "runs_expected"),
    [
        ({"AzureWebJobs.nightly.Disabled": "true"}, 0),
        ({"AzureWebJobs_nightly_Disabled": "1"}, 0),
        ({"AzureWebJobs.nightly.Disabled": "false"}, 1),
        ({"AzureWebJobs.nightly.Disabled": "0"}, 1),
        # The name is the declared one.
        ({"AzureWebJobs.python_name.Disabled": "true"}, 1),
    ],
)
async def test_a_disabled_function_has_no_run_no_lock_and_no_status(
    folder: Path, settings: dict[str, str], runs_expected: int
) -> None:
    declared = timer("0 0 3 * * *", "python_name").replace("@app", '@app.function_name("nightly")\n@app', 1)
    write_app(folder, HTTP_APP, SHOW, declared, timer("0 0 3 * * *"))
    async with start(folder, now=at("02:59"), settings={**UTC_SETTINGS, **settings}) as app:
        await advance_to(app, "03:01")
        assert len(runs(app, "python_name")) == runs_expected
        assert len(runs(app)) == 1
        names = list(await blobs(app))
        assert any("nightly" in name for name in names) is bool(runs_expected)
        assert any("tick" in name for name in names)
        listed = {function["name"]: function["isDisabled"] for function in (await app.get("/admin/functions")).json()}
        assert listed == {"nightly": not runs_expected, "tick": False}


@pytest.mark.parametrize("fails", [2, 9])
async def test_attempts_of_one_occurrence_share_its_id_and_its_status(folder: Path, fails: int) -> None:
    retry = '@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:02")\n'
    body = f"""retry = context.retry_context
    print("attempt", context.invocation_id, retry.retry_count, retry.max_retry_count)
    if retry.retry_count < {fails}: raise ValueError("not yet")"""
    write_app(folder, HTTP_APP, SHOW, timer("0 * * * * *", body=body, decorators=retry))
    async with start(folder, now=at("10:00:30"), settings=UTC_SETTINGS) as app:
        await advance_to(app, "10:01:03")
        assert (await stored(app) or {})["Last"] == NEVER_RUN
        await advance_to(app, "10:01:59")
        attempts = [line.message.split() for line in app.logs if line.message.startswith("attempt")]
        assert [attempt[2:] for attempt in attempts] == [["0", "2"], ["1", "2"], ["2", "2"]]
        assert len({attempt[1] for attempt in attempts}) == 1
        assert ("Function execution failed after '2' retries." in app.console) is (fails > 2)
        assert (await stored(app) or {})["Last"] == "2026-11-29T10:01:00+00:00"
        await advance_to(app, "10:02:01")
        assert len(runs(app)) == 4


async def test_a_name_with_underscores_is_accepted(folder: Path) -> None:
    source = timer("0 * * * * *").replace('arg_name="timer"', 'arg_name="my_timer"').replace("(timer:", "(my_timer:")
    write_app(folder, HTTP_APP, SHOW, source.replace("'tick', timer", "'tick', my_timer"))
    async with start(folder, now=at("10:00:30"), settings=UTC_SETTINGS) as app:
        await advance_to(app, "10:01:01")
        assert len(runs(app)) == 1


async def test_a_status_that_is_not_json_is_named_and_read_again(folder: Path, tmp_path: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 0 3 * * *"))
    store, path = tmp_path / "storage.db", status_blob()
    async with start(folder, storage=store, now=at("10:00"), settings=UTC_SETTINGS) as app:
        await write_blob(app, path, b"not json")
    async with start(folder, storage=store, now=at("10:01"), settings=UTC_SETTINGS) as app:
        assert "The listener for function 'Functions.tick' was unable to start." in app.console
        assert f"it is not JSON. Delete the blob azure-webjobs-hosts/{path}" in app.console
        await write_blob(app, path, b"")
        await app.advance(minutes=1)
        assert (await stored(app) or {})["Next"] == "2026-11-30T03:00:00+00:00"


async def test_an_app_without_storage_has_timers_without_memory(
    folder: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    write_app(folder, HTTP_APP, timer("*/10 * * * * *", body='print("runs")').replace("show('tick', timer)", "pass"))
    async with run_app(folder, clock=clock, storage=None, settings={"TZ": "UTC"}) as app:
        assert app.app.storage is None
        await clock.sleep(25)
    assert "The app has no storage (AzureWebJobsStorage), so timer functions run without a stored status" in caplog.text
    assert caplog.text.count("Executed 'Functions.tick' (Succeeded") in (2, 3)


async def test_a_schedule_that_never_occurs_is_said_and_keeps_no_test_waiting(folder: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 0 0 30 2 *"))
    async with start(folder, now=at("10:00"), settings=UTC_SETTINGS) as app:
        assert await app.run_until_idle(None)
        assert "The schedule of function 'tick' (Cron: '0 0 0 30 2 *') never occurs" in app.console
        assert (await stored(app) or {})["Next"] == "9999-12-31T23:59:59.9999999+00:00"


async def test_a_schedule_may_be_far_away(folder: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 0 0 1 1 *"), timer("30.00:00:00", "span"))
    async with start(folder, now=at("10:00"), settings=UTC_SETTINGS) as app:
        await app.advance(days=100)
        assert [run[2] for run in runs(app)] == ["2027-01-01T00:00:00+00:00"]
        assert [run[2][:10] for run in runs(app, "span")] == ["2026-12-29", "2027-01-28", "2027-02-27"]


async def test_a_time_span_of_days_that_looks_like_hours_is_said(folder: Path) -> None:
    spans = {"day": "24:00:00", "number": "30", "hour": "01:00:00", "clear": "1.00:00:00"}
    write_app(folder, HTTP_APP, SHOW, *(timer(span, name) for name, span in spans.items()))
    async with start(folder, now=at("10:00"), settings=UTC_SETTINGS) as app:
        assert "The schedule '24:00:00' of function 'day' means every 24 days" in app.console
        assert "The schedule '30' of function 'number' means every 30 days" in app.console
        assert app.console.count(" days, here and on Azure") == 2


class _SetClock:
    """Virtual time with a clock that a test sets."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return self._clock.now() + self.ahead

    async def sleep(self, seconds: float, *, upkeep: bool = False, recurring: bool = False) -> None:
        await self._clock.sleep(seconds, upkeep=upkeep, recurring=recurring)

    def busy(self) -> AbstractContextManager[None]:
        return self._clock.busy()


@pytest.mark.parametrize("hours", [-4, 4])
async def test_a_clock_that_is_set_does_not_silence_a_timer(
    folder: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, hours: int
) -> None:
    write_app(folder, HTTP_APP, timer("0 */10 * * * *").replace("show('tick', timer)", "pass"))
    set_clock = _SetClock(clock)
    async with run_app(folder, clock=set_clock, settings={"TZ": "UTC"}) as app:
        assert app.app.storage is not None
        # Until the middle between two occurrences: none is at the moment when the clock is set, or at the end.
        await clock.sleep(15 * 60 - clock.now().timestamp() % 600)
        before = caplog.text.count("Executed 'Functions.tick' (Succeeded")
        set_clock.ahead = timedelta(hours=hours)
        # As in real time, the listener looks at the clock now and then.
        with clock.running(upkeep=True):
            await clock.sleep(30 * 60)
        # Forward: what was missed is caught up by one run.
        assert caplog.text.count("Executed 'Functions.tick' (Succeeded") - before == (3 if hours < 0 else 4)


async def test_a_status_from_the_future_is_replaced(folder: Path, tmp_path: Path) -> None:
    write_app(folder, HTTP_APP, SHOW, timer("0 0 * * * *"))
    store = tmp_path / "storage.db"
    # A start with a clock that is ahead.
    async with start(folder, storage=store, now=at("2030-01-01T10:59"), settings=UTC_SETTINGS) as app:
        await app.advance(minutes=2)
    async with start(folder, storage=store, now=at("10:10"), settings=UTC_SETTINGS) as app:
        assert "The schedule status of function 'tick' is from the future (2030-01-01T11:00" in app.console
        await advance_to(app, "11:30")
        assert runs(app) == [[False, NEVER_RUN, "2026-11-29T11:00:00+00:00"]]


BAD_NAME = "The binding name {} is invalid. Please assign a valid name to the binding."


async def test_names_and_flags_of_timers(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Situation 2: underscores are allowed, two in a row and 129 letters are not; only those functions are missing."""
    names = {"good": "my_timer", "leading": "_timer", "twice": "my__timer", "longest": "t" * 128, "longer": "t" * 129}
    functions = [
        f"""
@app.timer_trigger(arg_name="{argument}", schedule="0 0 3 * * *", run_on_startup=True)
def {name}({argument}: func.TimerRequest):
    print("ran {name}")
"""
        for name, argument in names.items()
    ]
    flag = """
@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *", run_on_startup="yes")
def flag(timer: func.TimerRequest): ...
"""
    write_app(folder, HTTP_APP, *functions, flag)
    async with run_app(folder, clock=SystemClock()):
        for name in ("good", "leading", "longest"):
            await logged(caplog, f"ran {name}")
    for name in ("twice", "longer"):
        assert f"The '{name}' function is in error: {BAD_NAME.format(names[name])}" in caplog.text
        assert f"ran {name}" not in caplog.text
    assert (
        "Error indexing method 'Functions.flag'. 'runOnStartup' of the timer trigger 'timer' is 'yes'; allowed: true, "
        "false." in caplog.text
    )
