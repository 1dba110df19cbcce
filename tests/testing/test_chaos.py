"""Chaos in tests of apps: correct apps survive, a seed repeats its run, and the report says what has happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.chaos.plan import CRASHES, Fault
from emulator.errors import ConfigurationError
from emulator.testing import Chaos, ChaosReport, Intensities, RulesBroken, SyncAppUnderTest, start, start_sync
from tests.running_apps import DURABLE_APP, write_app

NOW = datetime(2030, 1, 1, tzinfo=UTC)
APP = """
@app.orchestration_trigger(context_name="context")
def trip(context):
    prices = yield context.task_all([context.call_activity("price", n) for n in range(3)])
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    booked = yield context.call_sub_orchestrator("booking", sum(prices))
    answer = yield context.wait_for_external_event("answer")
    return [prices, booked, answer]


@app.orchestration_trigger(context_name="context")
def booking(context):
    return (yield context.call_activity("book", context.get_input()))


@app.activity_trigger(input_name="n")
def price(n: int) -> int:
    return n * 2


@app.activity_trigger(input_name="total")
def book(total: int) -> str:
    with open(os.environ["BOOKINGS"], "a") as bookings:
        bookings.write(f"{total}\\n")
    return f"booked for {total}"


@app.route(route="bookings", methods=["GET"])
@app.durable_client_input(client_name="client")
async def bookings(req: func.HttpRequest, client) -> func.HttpResponse:
    instance = await client.start_new("booking", "b1", 7)
    return await client.wait_for_completion_or_create_check_status_response(req, instance, 10_000, 10)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_app(tmp_path / "app", "import os\n" + DURABLE_APP, APP)
    return tmp_path / "app"


def chaotic(folder: Path, seed: int, **options: Any) -> Any:
    settings = {"BOOKINGS": str(folder.parent / f"bookings-{seed}.txt")}
    return start_sync(folder, chaos=Chaos(seed, **options), now=NOW, settings=settings)


def travel(app: SyncAppUnderTest) -> Any:
    instance = app.client.start_new("trip", "t1")
    app.client.raise_event(instance, "answer", "yes")
    return app.wait(instance)


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 20), marks=pytest.mark.soak)])
def test_a_correct_app_survives_and_faults_have_happened(folder: Path, seeds: range) -> None:
    kinds = set[Fault]()
    for seed in seeds:
        with chaotic(folder, seed) as app:
            status = travel(app)
            assert status.output == [[0, 2, 4], "booked for 6", '"yes"'], seed
            kinds |= {fault.fault for fault in app.chaos_report().faults}
    assert len(kinds) > 4


def test_time_jumps_over_the_renewals_of_a_month(folder: Path) -> None:
    """Stopping at each of them takes far longer than the limit of a call in real time."""
    with chaotic(folder, 0) as app:
        app.client.start_new("trip", "t1")
        app.client.raise_event("t1", "answer", "yes")
        app.advance(days=30)
        assert app.now >= NOW + timedelta(days=30)
        assert app.client.get_status("t1").output == [[0, 2, 4], "booked for 6", '"yes"']


COUNTING = """
@app.route(route="counts", methods=["POST"])
@app.durable_client_input(client_name="client")
async def counts(req: func.HttpRequest, client) -> func.HttpResponse:
    for number in range(1, 6):
        await client.signal_entity(df.EntityId("seen", "all"), "add", number)
    return func.HttpResponse(status_code=202)


@app.route(route="counts", methods=["GET"])
@app.durable_client_input(client_name="client")
async def counted(req: func.HttpRequest, client) -> str:
    return json.dumps((await client.read_entity_state(df.EntityId("seen", "all"))).entity_state)


@app.entity_trigger(context_name="context")
def seen(context):
    # A client's signal may come twice.
    context.set_state(sorted({*context.get_state(list), context.get_input()}))


@app.queue_trigger(arg_name="message", queue_name="orders", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="out", queue_name="sent", connection="AzureWebJobsStorage")
def send(message: func.QueueMessage, out: func.Out[str]) -> None:
    out.set(message.get_body().decode())
"""
LOSSES = Intensities(fail_after=0.4, crash_before=0.05)


def test_an_app_is_idle_only_after_it_has_recovered_from_the_faults(tmp_path: Path) -> None:
    write_app(tmp_path, "import json\n" + DURABLE_APP, COUNTING)
    for seed in range(3):
        with start_sync(tmp_path, chaos=Chaos(seed, LOSSES), now=NOW) as app:
            app.post("/api/counts")
            assert app.run_until_idle()
            assert app.get("/api/counts").json() == [1, 2, 3, 4, 5], seed
            for number in range(5):
                app.put_message("orders", str(number))
            app.settle()
            assert {*app.messages("sent")} == {"0", "1", "2", "3", "4"}, seed
            assert app.messages("orders") == []


def test_the_limit_of_a_run_until_idle_holds_under_chaos(tmp_path: Path) -> None:
    write_app(tmp_path, DURABLE_APP, APP)
    with start_sync(tmp_path, chaos=Chaos(0), now=NOW) as app:
        app.client.start_new("trip", "t1")
        assert not app.run_until_idle(timedelta(minutes=20))
        assert app.now <= NOW + timedelta(minutes=20)


def test_a_seed_repeats_the_whole_run(folder: Path) -> None:
    def run(seed: int) -> tuple[object, ...]:
        with chaotic(folder, seed, intensities=Intensities(crash_after=0.05)) as app:
            travel(app)
            report = app.chaos_report()
            assert report.faults
            return [str(fault) for fault in report.faults], app.history("t1"), report.repeated, app.now

    assert run(3) == run(3)


def test_the_report_names_activities_that_ran_twice_and_what_they_do_outside(folder: Path) -> None:
    for seed in range(9):
        with chaotic(folder, seed, intensities=Intensities(lose_lock=0.5, crash_after=0)) as app:
            app.wait(app.client.start_new("booking", "b1", 7))
            report = app.chaos_report()
        if report.repeated:
            break
    [repeated] = report.repeated
    assert (repeated.call.function, repeated.call.instance_id, repeated.times) == ("book", "b1", 2)
    line = next(number for number, line in enumerate(code(folder), start=1) if "with open" in line)
    assert repeated.effects == (f"calls open() at {folder / 'function_app.py'}:{line}",)
    text = f'"book" (instance "b1", task 0) ran 2 times. Each time it {repeated.effects[0]}.'
    assert text in str(report)
    assert str(report).startswith(f"Chaos with seed {seed}: {len(report.faults)} faults.")
    assert "All rules of the task hub hold." in str(report)


def code(folder: Path) -> list[str]:
    return (folder / "function_app.py").read_text().splitlines()


async def test_a_broken_rule_fails_the_test_with_the_report(folder: Path) -> None:
    settings = {"BOOKINGS": str(folder.parent / "bookings.txt")}

    async def test() -> None:
        async with start(folder, chaos=Chaos(1, faults=0), settings=settings) as app:
            await app.wait(await app.client.start_new("booking", "b1", 7))
            row = {"PartitionKey": "b1", "RowKey": "", "RuntimeStatus": "Failed", "Name": "booking"}
            await app.insert("TestHubNameInstances", row)

    with pytest.raises(RulesBroken, match="the status row agrees with the history") as broken:
        await test()
    assert isinstance(broken.value.report, ChaosReport)
    assert [violation.instance_id for violation in broken.value.report.violations][:1] == ["b1"]


def test_the_error_of_the_test_comes_before_broken_rules(folder: Path) -> None:
    def test() -> None:
        with chaotic(folder, 1) as app:
            app.insert("TestHubNameInstances", {"PartitionKey": "b1", "RowKey": "", "RuntimeStatus": "Failed"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        test()


def test_an_http_function_may_wait_for_an_orchestration(folder: Path) -> None:
    with chaotic(folder, 2) as app:
        assert app.get("/api/bookings").text == "booked for 7"


def test_values_that_the_test_has_given_and_fakes_survive_crashes(folder: Path) -> None:
    with chaotic(folder, 5, intensities=Intensities(crash_before=0.2), crashes=5) as app:
        app.replace("book", lambda total: f"fake {total}")
        assert travel(app).output[1] == "fake 6"
        crashes = [fault for fault in app.chaos_report().faults if fault.fault in CRASHES]
        assert len(crashes) == 5
        assert app.console.count("The host starts again") == 5


@pytest.mark.parametrize("options", [{"clock": "real"}, {"storage": Path("store.db")}])
def test_chaos_needs_virtual_time_and_storage_in_memory(folder: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="azemu start --chaos"), start_sync(folder, chaos=Chaos(1), **options):
        pass


def test_without_chaos_there_is_no_report(folder: Path) -> None:
    with start_sync(folder) as app, pytest.raises(ConfigurationError, match=r"chaos=Chaos\(…\)"):
        app.chaos_report()
