"""Console of a host whose storage goes away for a while: one line at the beginning, one at the end."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from emulator.virtual_time import VirtualClock
from tests.running_apps import DURABLE_APP, run_app
from tests.storage_calls import StorageCalls

# All kinds of listeners, and an orchestration in work.
APP = """
@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return await client.start_new("flow")

@app.orchestration_trigger(context_name="context")
def flow(context):
    for _ in range(30):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=3))
        yield context.call_activity("act", "x")

@app.activity_trigger(input_name="x")
def act(x: str) -> str:
    return x

@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *")
def often(timer: func.TimerRequest) -> None: ...

@app.queue_trigger(arg_name="message", queue_name="jobs", connection="AzureWebJobsStorage")
def job(message: func.QueueMessage) -> None: ...

@app.blob_trigger(arg_name="blob", path="incoming/{name}", connection="AzureWebJobsStorage")
def picture(blob: func.InputStream) -> None: ...
"""


# The second time is longer than the leases of partitions and listeners.
@pytest.mark.parametrize("seconds", [20, pytest.param(70, marks=pytest.mark.soak)])
# The second client repeats its requests for this long before it gives up, as `rest` does.
@pytest.mark.parametrize("repeats_for", [0, 9])
async def test_an_outage_is_one_line_and_its_end_another(
    tmp_path: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture, seconds: float, repeats_for: float
) -> None:
    calls = StorageCalls()
    calls.before_failing = lambda: clock.sleep(repeats_for, upkeep=True)
    caplog.set_level(logging.INFO)
    async with run_app(tmp_path, DURABLE_APP, APP, clock=clock, around_account=calls.around) as app:
        with clock.running(upkeep=True):
            await app.post("/api/go")
            await clock.sleep(10)
            caplog.clear()
            calls.cut_off = True
            await clock.sleep(seconds)
            calls.cut_off = False
            # A loop pauses for up to half a minute between its attempts, and its request is repeated for a while.
            await clock.sleep(120)
            lines = [
                record.getMessage().replace(":", ".").partition(".")[0]
                for record in caplog.records
                if "categories.Function" not in record.name and ".durable.tracing." not in record.name
            ]
            lines = [line for line in lines if not line.startswith(("Execut", "The next 5 occurrences"))]
            assert lines == ["Storage does not respond", "Storage responds again"]
