"""One app for the tests of the dashboard, with a function for each kind of page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulator.testing import AppUnderTest, start
from tests.running_apps import DURABLE_APP, write_app

APP = """
@app.route(route="start", methods=["GET", "POST"])
@app.durable_client_input(client_name="client")
async def start(req, client):
    '''Start a flow. The body can be {"drink": "tea"}.'''
    instance_id = await client.start_new("flow", instance_id=req.params.get("id"))
    return client.create_check_status_response(req, instance_id)

@app.orchestration_trigger(context_name="context")
def flow(context):
    logging.info("the flow begins")
    doubled = yield context.call_activity("double", 21)
    logging.warning("the flow ends")
    return doubled

@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    logging.info("doubling %s", n)
    return 2 * n

@app.queue_trigger(arg_name="msg", queue_name="orders", connection="AzureWebJobsStorage")
def consume(msg: func.QueueMessage) -> None:
    logging.info("received %s", msg.get_body().decode())
    if b"bad" in msg.get_body():
        raise ValueError("a bad order <script>alert(1)</script>")

@app.route(route="items/{id:int}", methods=["GET", "POST"])
def items(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(f"item {req.route_params['id']}: {req.get_body().decode()}")

@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="SB")
@app.service_bus_queue_output(arg_name="out", queue_name="answers", connection="SB")
def bus(msg: func.ServiceBusMessage, out: func.Out[str]) -> None:
    out.set("from the bus: " + msg.get_body().decode())
"""
HUB = {"extensions": {"durableTask": {"hubName": "DashHub", "storageProvider": {"partitionCount": 2}}}}
SETTINGS = {"GREETING": "hello", "API_SECRET": "s3cr3t", "SB": "Endpoint=sb://x;SharedAccessKey=abc"}


@pytest.fixture
def app_folder(tmp_path: Path) -> Path:
    return write_app(tmp_path / "shop", DURABLE_APP, APP, host=HUB, settings=SETTINGS)


@pytest.fixture
async def app(app_folder: Path) -> AsyncIterator[AppUnderTest]:
    """The app in virtual time, with storage in memory."""
    async with start(app_folder) as running:
        yield running
