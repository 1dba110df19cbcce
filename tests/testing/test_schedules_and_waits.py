"""Waits of tests in apps with timer functions, and requests to functions that wait for a retry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emulator.testing import AppUnderTest, NothingLeft, start
from tests.running_apps import DURABLE_APP, write_app

APP = """
import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
runs = []

@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def tick(timer: func.TimerRequest) -> None:
    runs.append("tick")

@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
@app.durable_client_input(client_name="client")
async def nightly(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
    runs.append("nightly")
    status = await client.get_status("asks")
    if status.runtime_status is df.OrchestrationRuntimeStatus.Running:
        await client.raise_event("asks", "night", "now")

@app.queue_trigger(arg_name="message", queue_name="orders", connection="AzureWebJobsStorage")
def take(message: func.QueueMessage) -> None:
    runs.append("take")

@app.blob_trigger(arg_name="blob", path="in/{name}", connection="AzureWebJobsStorage")
def sort(blob: func.InputStream) -> None:
    runs.append("sort")

@app.route(route="runs")
def seen(req: func.HttpRequest) -> str:
    return " ".join(runs)

@app.orchestration_trigger(context_name="context")
def asks(context: df.DurableOrchestrationContext):
    return (yield context.wait_for_external_event(context.get_input()))

@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:05:00")
@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent, context: func.Context) -> None:
    if context.retry_context.retry_count < 2:
        raise ValueError("not yet")
    runs.append("on_event")

@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:05:00")
@app.route(route="patient")
def patient(req: func.HttpRequest, context: func.Context) -> str:
    if context.retry_context.retry_count < 2:
        raise ValueError("not yet")
    return "done"
"""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[AppUnderTest]:
    write_app(tmp_path, DURABLE_APP, APP)
    async with start(tmp_path, now=datetime(2026, 3, 1, 2, 32, tzinfo=UTC), settings={"TZ": "UTC"}) as running:
        yield running


async def test_schedules_of_timers_do_not_keep_an_app_from_being_idle(app: AppUnderTest) -> None:
    begin = app.now
    assert await app.run_until_idle()
    assert app.now == begin
    assert (await app.get("/api/runs")).text == ""


async def test_timers_run_on_the_way_to_other_work(app: AppUnderTest) -> None:
    await app.put_message("orders", "x", hidden=timedelta(minutes=11))
    assert await app.run_until_idle()
    assert (await app.get("/api/runs")).text == "tick tick take"


async def test_an_instance_that_only_timers_could_end_is_given_up_after_runs_of_each(app: AppUnderTest) -> None:
    await app.client.start_new("asks", "asks", "day")
    text = r"only timer functions are left \(nightly, tick\), whose \d+ runs .* have not ended it.*client.raise_event"
    with pytest.raises(NothingLeft, match=text):
        await app.wait("asks")
    seen = (await app.get("/api/runs")).text.split()
    assert (seen.count("nightly"), seen.count("tick")) == (1, 100)


async def test_an_instance_that_a_timer_function_ends_is_waited_for(app: AppUnderTest) -> None:
    await app.client.start_new("asks", "asks", "night")
    assert (await app.wait("asks")).output == '"now"'


async def test_a_request_lets_time_pass_while_its_function_waits_for_a_retry(app: AppUnderTest) -> None:
    begin = app.now
    assert (await app.get("/api/patient")).text == "done"
    assert app.now - begin == timedelta(minutes=10)


async def test_an_event_at_the_webhook_lets_time_pass_while_its_function_waits_for_a_retry(app: AppUnderTest) -> None:
    begin = app.now
    event = {"id": "1", "subject": "s", "data": {}, "eventType": "t", "eventTime": "2026-01-01T00:00:00Z"}
    url, headers = "/runtime/webhooks/eventgrid?functionName=on_event", {"aeg-event-type": "Notification"}
    assert (await app.post(url, json=[{**event, "dataVersion": "1", "topic": "t"}], headers=headers)).status == 202
    assert "on_event" in (await app.get("/api/runs")).text
    assert app.now - begin == timedelta(minutes=10)


async def test_a_request_that_needs_no_time_lets_none_pass_beside_a_function_that_waits(app: AppUnderTest) -> None:
    begin = app.now
    await app.client.start_new("asks", "asks", "day")
    assert (await app.get("/api/runs")).status == 200
    assert app.now == begin
