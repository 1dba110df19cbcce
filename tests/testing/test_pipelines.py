"""Tests of apps whose functions trigger each other: settle follows messages, blobs and events from one to the next."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from emulator.testing import InvocationFailed, NotSettled, start, start_sync
from tests.running_apps import HTTP_APP, write_app

STORAGE = 'connection="AzureWebJobsStorage"'
APP = f"""
@app.queue_trigger(arg_name="msg", queue_name="orders", {STORAGE})
@app.blob_output(arg_name="bill", path="bills/{{number}}.txt", {STORAGE})
def write_bill(msg: func.QueueMessage, bill: func.Out[str]):
    bill.set(f"{{msg.get_json()['sum']}} EUR")

@app.blob_trigger(arg_name="bill", path="bills/{{name}}.txt", {STORAGE})
@app.queue_output(arg_name="$return", queue_name="sent", {STORAGE})
def send_bill(bill: func.InputStream) -> str:
    return f"{{bill.name}}: {{bill.read().decode()}}"

@app.event_grid_trigger(arg_name="event")
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="01:00:00")
@app.queue_output(arg_name="$return", queue_name="events", {STORAGE})
def on_event(event: func.EventGridEvent, context: func.Context) -> str:
    if context.retry_context.retry_count < event.get_json().get("failures", 0):
        raise ValueError("not yet")
    return f"{{event.event_type}} {{event.subject}}"
"""


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app", HTTP_APP, APP)


async def test_an_order_becomes_a_bill_and_the_bill_is_sent(app_folder: Path) -> None:
    async with start(app_folder) as app:
        await app.put_message("orders", {"number": 7, "sum": 12})
        await app.settle()
        assert await app.blob("bills/7.txt") == b"12 EUR"
        assert await app.messages("sent") == ["bills/7.txt: 12 EUR"]
        assert [output.function for output in app.outputs()] == ["write_bill", "send_bill"]
        assert app.outputs("write_bill")[0].properties["path"] == "bills/7.txt"


def test_an_uploaded_blob_is_processed(app_folder: Path) -> None:
    with start_sync(app_folder) as app:
        app.upload("bills/8.txt", "13 EUR")
        app.upload("bills/notes.md", "no bill")
        app.settle()
        assert app.messages("sent") == ["bills/8.txt: 13 EUR"]


async def test_an_event_runs_a_function_and_its_retries_take_virtual_time(app_folder: Path) -> None:
    async with start(app_folder) as app:
        await app.send_event("on_event", {"eventType": "created", "subject": "s", "data": {}})
        assert await app.messages("events") == ["created s"]
        begin = app.now
        await app.send_event("on_event", [{"subject": "late", "data": {"failures": 2}}])
        assert app.now - begin == timedelta(hours=2)
        with pytest.raises(InvocationFailed, match=r"Exception while executing function: Functions\.on_event"):
            await app.send_event("on_event", {"data": {"failures": 9}})


async def test_an_app_with_a_timer_of_a_few_seconds_does_not_settle(tmp_path: Path) -> None:
    timer = """
@app.timer_trigger(arg_name="timer", schedule="*/5 * * * * *")
def often(timer: func.TimerRequest): ...
"""
    async with start(write_app(tmp_path / "app", HTTP_APP, timer)) as app:
        with pytest.raises(NotSettled, match="The app has not settled within 0:00:30"):
            await app.settle(timedelta(seconds=30))
