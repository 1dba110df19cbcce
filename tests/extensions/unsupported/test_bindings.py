"""Inputs and outputs of services that azemu does not connect to, and what the host says about such bindings."""

from __future__ import annotations

import io
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.host.console.banner import print_manual_functions
from emulator.host.console.output import Console, LevelRules
from tests.running_apps import DURABLE_APP, HTTP_APP, RunningApp, run_app
from tests.waiting import eventually, logged

OUTPUTS = """
@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "hello"

@app.route(route="order/{id}", methods=["POST"])
@app.service_bus_queue_output(arg_name="msg", queue_name="outbox-{id}", connection="C")
@app.cosmos_db_output(arg_name="doc", connection="C", database_name="d", container_name="c")
@app.generic_output_binding(arg_name="blob", type="redis", command="SET {id}")
@app.service_bus_queue_output(arg_name="bus", queue_name="q", connection="C")
@app.generic_output_binding(arg_name="row", type="acmeRow", tableName="t", connection="C")
def order(
    req: func.HttpRequest, msg: func.Out[str], doc: func.Out[func.Document], blob: func.Out[bytes], bus, row
):
    msg.set(req.get_body().decode())
    doc.set(func.Document.from_dict({"id": "1"}))
    blob.set(b"\\xff\\x00")
    row.set({"RowKey": "r"})
    return "stored"

@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
@app.event_hub_output(arg_name="$return", event_hub_name="h", connection="C")
def forward(msg: func.ServiceBusMessage):
    return ["a", msg.get_body().decode()]

@app.service_bus_queue_trigger(arg_name="msg", queue_name="in", connection="C")
@app.event_hub_output(arg_name="out", event_hub_name="h", connection="C")
def messages(msg: func.ServiceBusMessage, out: func.Out[typing.List[str]]):
    out.set(["x", "text"])

@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
def tick(timer: func.TimerRequest):
    print("tick")
"""
INPUTS = """
@app.route(route="show/{id}")
@app.cosmos_db_input(arg_name="doc", connection="C", database_name="d", container_name="c", id="{id}")
@app.generic_input_binding(arg_name="info", type="signalRConnectionInfo", hubName="h")
def show(req: func.HttpRequest, doc: func.DocumentList, info: str):
    return json.dumps([doc[0]["id"], json.loads(info)["url"]])

@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
@app.generic_input_binding(arg_name="blob", type="redis", command="GET {messageId}")
@app.sql_input(arg_name="rows", command_text="select", connection_string_setting="C")
@app.service_bus_queue_output(arg_name="out", queue_name="q", connection="C")
def join(msg: func.ServiceBusMessage, blob: str, rows: func.SqlRowList, out: func.Out[str]):
    out.set(f"{msg.get_body().decode()} {blob} {rows[0]['id']}")
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, HTTP_APP, "import typing\n", OUTPUTS, INPUTS) as site:
        yield site


async def outputs_of(site: RunningApp, function: str) -> list[tuple[str, str, Any]]:
    captured = (await site.get(f"/admin/azemu/functions/{function}/outputs")).json()
    return [(one["binding"], one["dataType"], one.get("value", one.get("valueBase64"))) for one in captured]


async def test_an_http_function_answers_and_its_outputs_are_captured(
    site: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert (await site.get("/api/hello")).text == "hello"
    answer = await site.post("/api/order/7", "o" * 500)
    assert (answer.status, answer.text) == (200, "stored")
    # In the order of declaration, and without the one that is not set.
    assert sorted(await outputs_of(site, "ORDER")) == [
        ("blob", "bytes", "/wA="),
        ("doc", "json", [{"id": "1"}]),
        ("msg", "string", "o" * 500),
        ("row", "json", {"RowKey": "r"}),
    ]
    [queue] = [one for one in (await site.get("/admin/azemu/outputs")).json() if one["binding"] == "msg"]
    assert (queue["function"], queue["type"], queue["properties"]["queueName"]) == ("order", "serviceBus", "outbox-7")
    assert f"Output 'msg' (serviceBus) is captured, not sent: {'o' * 200}… (500 characters)" in caplog.messages
    assert "Output 'blob' (redis) is captured, not sent: 2 bytes" in caplog.messages
    assert (await site.request("DELETE", "/admin/azemu/outputs")).status == 204
    assert (await site.get("/admin/azemu/outputs")).json() == []


async def test_return_values_and_messages_of_the_library_are_captured(site: RunningApp) -> None:
    answer = await site.request("POST", "/admin/azemu/functions/forward/invoke", json={"input": "b"})
    assert answer.json()["result"] == ["a", "b"]
    assert await outputs_of(site, "forward") == [("$return", "json", ["a", "b"])]
    # The real endpoint answers before the function has run.
    assert (await site.post("/admin/functions/messages", '{"input": "m"}')).status == 202
    captured = await eventually(lambda: outputs_of(site, "messages"), "captured messages")
    assert captured == [("out", "json", ["x", "text"])]


async def test_an_input_needs_a_value_of_the_caller(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    assert (await site.get("/api/show/1")).status == 500
    assert (
        "azemu does not read signalRConnectionInfo inputs, and no value is supplied for 'info' of function 'show'. "
        "Supply one with `azemu invoke show … --input info=VALUE`" in caplog.text
    )
    inputs = "/admin/azemu/functions/show/inputs"
    headers = {"Content-Type": "application/json"}
    assert (await site.request("PUT", f"{inputs}/doc", data='{"id": "d"}', headers=headers)).status == 204
    assert (await site.request("PUT", f"{inputs}/INFO", data='{"url": "u"}')).status == 204
    assert (await site.get("/api/show/1")).json() == ["d", "u"]
    assert (await site.request("DELETE", f"{inputs}/doc")).status == 204
    assert (await site.request("DELETE", f"{inputs}/doc")).status == 404
    assert (await site.get("/api/show/1")).status == 500
    for path, body, status, message in (
        ("show/inputs/other", "x", 404, "has no input binding 'other' whose value can be supplied. It has: "),
        ("hello/inputs/req", "x", 404, "It has: none."),
        ("shwo/inputs/doc", "x", 404, "The app has no function 'shwo'. Did you mean 'show'?"),
        ("show/inputs/doc", "{", 400, "The body is not JSON"),
    ):
        answer = await site.request("PUT", f"/admin/azemu/functions/{path}", data=body, headers=headers)
        assert (answer.status, message in answer.json()["error"]) == (status, True), answer.text


async def test_values_of_one_invocation_win_over_supplied_ones(site: RunningApp) -> None:
    url = "/admin/azemu/functions/join/invoke"
    await site.request("PUT", "/admin/azemu/functions/join/inputs/blob", data="kept")
    answer = await site.request("POST", url, json={"input": "m", "inputs": {"rows": [{"id": 5}], "blob": "mine"}})
    assert answer.json()["outputs"][0]["value"] == "m mine 5"
    answer = await site.request("POST", url, json={"input": "m", "inputs": {"Rows": {"id": 6}}})
    assert answer.json()["outputs"][0]["value"] == "m kept 6"
    failed = await site.request("POST", url, json={"input": "m"})
    assert (failed.status, "no value is supplied for 'rows'" in failed.json()["error"]) == (500, True)
    refused = await site.request("POST", url, json={"input": "m", "inputs": {"row": 1}})
    assert refused.status == 400
    assert refused.json()["error"].startswith("Function 'join' has no input binding 'row'")


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("tick", "[]", 400, 'The body must be a JSON object, such as {"input": "text"}.'),
        ("tick", '{"metadata": 1}', 400, '"metadata" must be a JSON object.'),
        ("tick", '{"inputBase64": "?"}', 400, '"inputBase64" must be base64 text.'),
        ("tcik", "{}", 404, "The app has no function 'tcik'. Did you mean 'tick'?"),
        ("hello", "{}", 400, "An HttpRequest is required. Call http://localhost:"),
    ],
)
async def test_mistakes_of_an_invocation_are_explained(
    site: RunningApp, path: str, body: str, status: int, message: str
) -> None:
    answer = await site.post(f"/admin/azemu/functions/{path}/invoke", body)
    assert (answer.status, answer.json()["error"][: len(message)]) == (status, message)


async def test_orchestrators_and_entities_are_not_invoked_but_activities_are(tmp_path: Path) -> None:
    functions = """
    @app.orchestration_trigger(context_name="context")
    def flow(context):
        return 1

    @app.entity_trigger(context_name="context")
    def counter(context):
        pass

    @app.activity_trigger(input_name="name")
    def greet(name: str):
        return {"hello": name}
    """
    async with run_app(tmp_path, DURABLE_APP, functions) as site:
        for function, advice in (
            ("flow", f"Start one with POST {site.url}/runtime/webhooks/durabletask/orchestrators/flow"),
            ("counter", f"Signal one with POST {site.url}/runtime/webhooks/durabletask/entities/counter/KEY"),
        ):
            answer = await site.post(f"/admin/functions/{function}", "{}")
            # The status is that of the Functions host.
            assert (answer.status, advice in answer.text) == (202, True), answer.text
            assert (await site.post(f"/admin/azemu/functions/{function}/invoke", "{}")).status == 400
        started = await site.post("/runtime/webhooks/durabletask/orchestrators/flow", '""')
        assert started.status == 202
        answer = await site.post("/admin/azemu/functions/greet/invoke", '{"input": "Ada"}')
        assert answer.json()["result"] == {"hello": "Ada"}


async def test_the_start_lists_what_azemu_does_not_connect_to(site: RunningApp) -> None:
    functions = (await site.get("/admin/functions")).json()
    assert [one["name"] for one in functions] == ["forward", "hello", "join", "messages", "order", "show", "tick"]
    stream = io.StringIO()
    console = Console(stream, clock=SystemClock(), rules=LevelRules())
    print_manual_functions(console, site.app.host.manual_bindings(), port=7071)
    text = stream.getvalue()
    assert "Nothing needs to be installed." in text
    listed = "forward (serviceBusTrigger), join (serviceBusTrigger), messages (serviceBusTrigger)"
    assert listed in " ".join(text.split())
    assert "azemu invoke forward [DATA|@FILE]\n" in text
    assert 'POST http://localhost:7071/admin/functions/forward  {"input": "DATA"}' in text
    assert "order: msg (serviceBus)" in text
    assert "show: doc (cosmosDB)" in text
    assert "--port 7100" not in text
    print_manual_functions(console, site.app.host.manual_bindings(), port=7100)
    assert "azemu invoke forward --port 7100 [DATA|@FILE]\n" in stream.getvalue()


async def test_an_app_of_such_functions_only_is_not_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    misspelt = """
    @app.generic_trigger(arg_name="message", type="serivceBusTrigger")
    def consume(message: str):
        print("got", message)

    @app.generic_trigger(arg_name="message", type="acmeQueueTrigger")
    def custom(message: str):
        pass
    """
    caplog.set_level(logging.INFO)
    async with run_app(tmp_path, HTTP_APP, misspelt) as site:
        assert (await site.post("/admin/functions/consume", '{"input": "it"}')).status == 202
        await logged(caplog, "got it")
    assert "No job functions found" not in caplog.text
    assert "in error" not in caplog.text
    hint = (
        "of function 'consume' has the type 'serivceBusTrigger', which no extension of Microsoft has. Did you mean "
        "'serviceBusTrigger'?"
    )
    assert hint in caplog.text
    assert "acmeQueueTrigger" not in caplog.text


async def test_a_value_that_the_library_drops_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    functions = """
    @app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
    @app.event_hub_output(arg_name="event", event_hub_name="h", connection="C")
    def tick(timer: func.TimerRequest, event):
        event.set({"a": 1})
    """
    async with run_app(tmp_path, HTTP_APP, functions) as site:
        answer = await site.post("/admin/azemu/functions/tick/invoke", "{}")
        assert (answer.status, answer.json()["outputs"]) == (200, [])
    assert "The output 'event' of function 'tick' is lost, as on Azure" in caplog.text


async def test_only_triggers_that_support_retries_on_azure_have_them_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    functions = """
    @app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
    @app.retry(strategy="fixed_delay", max_retry_count="1", delay_interval="00:00:00")
    def tick(timer: func.TimerRequest, context: func.Context):
        if context.retry_context.retry_count == 0:
            raise RuntimeError("again")

    @app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
    @app.retry(strategy="fixed_delay", max_retry_count="1", delay_interval="00:00:00")
    def consume(msg: func.ServiceBusMessage):
        pass
    """
    async with run_app(tmp_path, HTTP_APP, functions) as site:
        assert (await site.post("/admin/azemu/functions/tick/invoke", "{}")).status == 200
    assert "Soon retries will not be supported for function 'consume'" in caplog.text
    assert "Soon retries will not be supported for function 'tick'" not in caplog.text
