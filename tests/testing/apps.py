"""Small apps for the tests of `emulator.testing`."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

HEAD = """
import asyncio, logging, os, time
from datetime import timedelta
import azure.functions as func
import azure.durable_functions as df
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""

SHOP = """
@app.orchestration_trigger(context_name="context")
def order(context):
    item = context.get_input()
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=60_000, max_number_of_attempts=3)
    yield context.call_activity_with_retry("charge", retry, item)
    return (yield context.call_activity("send", item))


@app.activity_trigger(input_name="item")
def charge(item: dict) -> str:
    logging.info("charging %s", item["name"])
    return "charged"


@app.activity_trigger(input_name="item")
def send(item: dict) -> str:
    print("sending", item["name"])
    return f"{item['name']} sent"


@app.orchestration_trigger(context_name="context")
def reminder(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(days=3))
    return "reminded"


@app.orchestration_trigger(context_name="context")
def approval(context):
    return (yield context.wait_for_external_event("decision"))


@app.route(route="order/{name}")
@app.durable_client_input(client_name="client")
async def place(req: func.HttpRequest, client) -> func.HttpResponse:
    instance = await client.start_new("order", client_input={"name": req.route_params["name"]})
    return client.create_check_status_response(req, instance)
"""


def write_app(folder: Path, *parts: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "function_app.py").write_text("".join(dedent(part) for part in (HEAD, *parts)))
    (folder / "host.json").write_text('{"version": "2.0"}')
    return folder
