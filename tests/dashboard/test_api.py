"""The API of the pages Home, Functions, Storage, Settings and Logs, over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from emulator.dashboard.api import storage_accounts
from emulator.durable.azurestorage.messaging.wire import MessageData, encode
from emulator.durable.core.events import ExecutionStarted
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.core.messages import TaskMessage
from emulator.instant import Instant
from emulator.testing import AppUnderTest, start
from emulator.testing.http import Answer
from tests.running_apps import DURABLE_APP, HTTP_APP, run_app, write_app

REAL = "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"


async def read(app: AppUnderTest, path: str, **parameters: str) -> Any:
    answer = await app.get(f"/azemu/api/{path}", params=parameters)
    assert answer.status == 200, answer.text
    return answer.json()


def lines_of(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


def error_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["message"]


async def test_home_shows_the_host_its_queues_and_partitions(app: AppUnderTest) -> None:
    await app.put_message("orders", "bad")
    await app.settle()
    home, storage = await read(app, "home"), await read(app, "home/storage")
    assert (home["state"], home["app"], home["taskHub"], home["mayWrite"]) == ("Running", "shop", "DashHub", True)
    assert (home["functions"], home["startedInvocations"], home["failedInvocations"]) == (6, 5, 5)
    assert "a bad order" in home["recentErrors"][0]["message"]
    depths = {queue["name"]: queue["messages"] for queue in storage["queues"]}
    assert depths == {
        "dashhub-control-00": 0,
        "dashhub-control-01": 0,
        "dashhub-workitems": 0,
        "orders": 0,
        "orders-poison": 1,
    }
    assert [(found["queue"], found["owner"] is not None) for found in storage["partitions"]] == [
        ("dashhub-control-00", True),
        ("dashhub-control-01", True),
    ]


async def test_an_error_is_listed_once(tmp_path: Path) -> None:
    failing = """
@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.call_activity(context.get_input(), None)

@app.activity_trigger(input_name="n")
def explode(n) -> None: raise ValueError("boom")
"""
    async with start(write_app(tmp_path, DURABLE_APP, failing)) as app:
        for name in ("explode", "missing"):
            await app.client.start_new("flow", name, name)
            await app.wait(name)
        errors = (await read(app, "home"))["recentErrors"]
    # The extension logs the failure of a function again, and is the only one to log that there is no such function.
    assert [error["function"] for error in errors if "boom" in error["message"]] == ["flow", "explode"]
    assert [error["function"] for error in errors if "'missing' doesn't exist" in error["message"]] == [None, None]


async def test_functions_have_their_invocations_outputs_and_samples(app: AppUnderTest) -> None:
    await app.post("/api/start?id=one")
    await app.wait("one")
    await app.invoke("bus", "hello")
    functions = {function["name"]: function for function in (await read(app, "functions"))["functions"]}
    assert (functions["items"]["methods"], functions["items"]["path"]) == (["GET", "POST"], "/api/items/{id:int}")
    assert functions["consume"]["detail"] == "orders"
    assert (functions["flow"]["succeeded"], functions["bus"]["isManual"]) == (2, True)
    [run] = (await read(app, "functions/double/runs"))["runs"]
    assert (run["state"], run["input"], run["result"], run["instanceId"]) == ("Succeeded", "21", "42", "one")
    [start] = (await read(app, "functions/start/runs"))["runs"]
    assert start["input"].startswith("POST http://")
    assert start["result"].startswith("202, ")
    [output] = (await read(app, "functions/bus/outputs"))["outputs"]
    assert (output["value"], output["sent"]) == ("from the bus: hello", False)
    assert (await read(app, "functions/items"))["sample"]["path"] == "/api/items/1"
    assert error_of(await app.get("/azemu/api/functions/itmes"))[0] == 404


async def test_functions_that_cannot_run_have_their_reason(tmp_path: Path) -> None:
    broken = """
    @app.route(route="a")
    def works(req): return "a"
    @app.queue_trigger(arg_name="msg", queue_name="Not_A_Name", connection="AzureWebJobsStorage")
    def fails(msg: func.QueueMessage): pass
    """
    folder = write_app(tmp_path, HTTP_APP, broken, settings={"AzureWebJobs.works.Disabled": "true"})
    async with run_app(folder) as app:
        functions = {
            function["name"]: function for function in (await app.get("/azemu/api/functions")).json()["functions"]
        }
    assert functions["works"]["state"] == "Disabled"
    assert functions["fails"]["state"] == "Error"
    assert "not_a_name" in functions["fails"]["reason"]


async def test_lines_of_the_log_have_level_function_and_instance(app: AppUnderTest) -> None:
    await app.post("/api/start?id=one")
    await app.post("/api/start?id=other")
    await app.wait("one")
    await app.wait("other")
    user_lines = lines_of(await app.get("/azemu/api/logs", params={"instance": "one", "text": "the flow"}))
    assert [(line["message"], line["level"], line["isReplay"]) for line in user_lines] == [
        ("the flow begins", "Information", False),
        ("the flow begins", "Information", True),
        ("the flow ends", "Warning", False),
    ]
    assert {(line["function"], line["instanceId"], line["category"]) for line in user_lines} == {
        ("flow", "one", "Function.flow.User")
    }
    of_one = lines_of(await app.get("/azemu/api/logs", params={"instance": "one", "replay": "false"}))
    assert [line["message"] for line in of_one if line["message"] == "the flow begins"] == ["the flow begins"]
    warnings = lines_of(await app.get("/azemu/api/logs", params={"level": "warning", "last": "1"}))
    assert [line["message"] for line in warnings] == ["the flow ends"]
    after = lines_of(await app.get("/azemu/api/logs", params={"after": str(warnings[0]["seq"] - 1)}))
    assert after[0]["seq"] == warnings[0]["seq"]
    assert error_of(await app.get("/azemu/api/logs?level=loud"))[0] == 400


async def test_new_lines_follow_until_the_host_stops(app_folder: Path) -> None:
    # A session of its own: that of the app is closed before the host stops.
    async with aiohttp.ClientSession() as client:
        async with run_app(app_folder) as app:
            response = await client.get(f"{app.url}/azemu/api/logs?follow=true&text=doubling")
            changes = await client.get(f"{app.url}/azemu/api/changes")
            assert [await response.content.readline() for _ in range(2)] == [b": open\n", b"\n"]
            await app.post("/api/start")
            event = (await response.content.readline()).decode()
            assert json.loads(event.removeprefix("data: "))["message"] == "doubling 21"
        # The stop of the host did not wait for the open streams, and ended them in order.
        assert await response.content.read() == b"\n"
        assert (await changes.content.read()).startswith(b": open\n\ndata: {")


async def test_a_poison_message_is_looked_at_and_tried_again(app: AppUnderTest) -> None:
    await app.put_message("orders", "bad 1")
    await app.put_message("orders", "bad 2")
    await app.settle()
    poison = await read(app, "storage/queues/orders-poison/messages")
    # Both run at the same time, so either may be the first to fail for the last time.
    assert sorted(message["text"] for message in poison["messages"]) == ["bad 1", "bad 2"]
    assert poison["canRequeue"] is True
    second = poison["messages"][1]["id"]
    answer = await app.post("/azemu/api/storage/queues/orders-poison/requeue", json={"id": second})
    assert answer.json() == {"moved": 1, "queue": "orders"}
    await app.settle()
    # It has failed again, after the one that stayed.
    assert sorted(map(str, await app.messages("orders-poison"))) == ["bad 1", "bad 2"]
    assert (await app.post("/azemu/api/storage/queues/orders-poison/requeue")).json()["moved"] == 2
    await app.settle()
    first = (await read(app, "storage/queues/orders-poison/messages"))["messages"][0]
    path = f"/azemu/api/storage/queues/orders-poison/messages/{first['id']}"
    assert (await app.request("DELETE", path)).status == 204
    assert (await app.request("DELETE", path)).status == 404
    assert len(await app.messages("orders-poison")) == 1


async def test_messages_of_the_task_hub_are_readable_and_cannot_be_deleted(app: AppUnderTest) -> None:
    instance = OrchestrationInstance("later", "e1")
    started = ExecutionStarted(timestamp=Instant.parse("2026-01-01T00:00:00Z"), name="flow", instance=instance)
    text = encode(MessageData(activity_id="a", message=TaskMessage(started, instance), sequence_number=0))
    # In a queue that no host reads.
    await app.put_message("copied", text)
    [shown] = (await read(app, "storage/queues/copied/messages"))["messages"]
    assert shown["summary"] == {
        "event": "ExecutionStarted",
        "instanceId": "later",
        "executionId": "e1",
        "name": "flow",
    }
    kinds = {queue["name"]: queue["kind"] for queue in (await read(app, "storage/queues"))["queues"]}
    assert (kinds["dashhub-control-00"], kinds["copied"]) == ("taskHub", "other")
    answer = await app.request("DELETE", "/azemu/api/storage/queues/dashhub-control-00/messages/1")
    assert answer.status == 409


async def test_rows_and_blobs_come_in_pages(app: AppUnderTest) -> None:
    for number in range(5):
        await app.insert("Goods", {"PartitionKey": "p", "RowKey": str(number), "count": number, "big": 2**60})
        await app.upload(f"docs/{number}.txt", f"<b>text {number}</b>")
    first = await read(app, "storage/tables/Goods/rows", limit="2", filter="count ge 1")
    rest = await read(app, "storage/tables/Goods/rows", filter="count ge 1", continuation=first["continuation"])
    assert [row["count"] for row in [*first["rows"], *rest["rows"]]] == [1, 2, 3, 4]
    # JavaScript would round the number.
    assert first["rows"][0]["big"] == str(2**60)
    status, message = error_of(await app.get("/azemu/api/storage/tables/Goods/rows?filter=count+gtt+5"))
    assert (status, "gtt" in message) == (400, True)
    blobs = await read(app, "storage/containers/docs/blobs", limit="2", after="1.txt")
    assert ([blob["name"] for blob in blobs["blobs"]], blobs["isComplete"]) == (["2.txt", "3.txt"], False)
    preview = await read(app, "storage/containers/docs/blob", name="2.txt")
    assert (preview["text"], preview["isComplete"]) == ("<b>text 2</b>", True)
    download = await app.get("/azemu/api/storage/containers/docs/download?name=2.txt")
    assert (download.headers["Content-Type"], download.body) == ("application/octet-stream", b"<b>text 2</b>")
    assert error_of(await app.get("/azemu/api/storage/containers/docs/blob?name=none"))[0] == 404
    assert error_of(await app.get("/azemu/api/storage/tables?connection=Nothing"))[0] == 404


async def test_a_list_that_is_cut_says_so(app: AppUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        await app.upload(f"box{number}/a.txt", "x")
        await app.put_message(f"line{number}", "x")
        await app.insert(f"Shelf{number}", {"PartitionKey": "p", "RowKey": "r"})
    complete = {kind: await read(app, f"storage/{kind}") for kind in ("queues", "tables", "containers")}
    assert all(content["isComplete"] for content in complete.values())
    monkeypatch.setattr(storage_accounts, "MAX_NAMES", 2)
    for kind, content in complete.items():
        assert await read(app, f"storage/{kind}") == {kind: content[kind][:2], "isComplete": False}


async def test_settings_have_their_origin_and_secrets_are_masked(app: AppUnderTest) -> None:
    page = await read(app, "settings")
    options = {option["path"]: (option["value"], option["origin"]) for option in page["hostJson"]}
    assert options["extensions.durableTask.storageProvider.partitionCount"] == (2, "host.json")
    assert options["extensions.queues.maxDequeueCount"] == (5, "default")
    settings = {setting["name"]: setting for setting in page["settings"]}
    assert (settings["GREETING"]["value"], settings["GREETING"]["origin"]) == ("hello", "local.settings.json")
    assert (settings["AzureWebJobsStorage"]["value"], settings["AzureWebJobsStorage"]["origin"]) == (
        "builtin:memory",
        "command line",
    )
    for secret in ("API_SECRET", "SB"):
        assert (settings[secret]["value"], settings[secret]["isMasked"]) == (None, True)
    assert settings["SB"]["isUsed"]
    assert (await read(app, "settings/value", name="API_SECRET"))["value"] == "s3cr3t"
    # Variables of the environment that the page does not show stay unknown.
    assert error_of(await app.get("/azemu/api/settings/value?name=PATH"))[0] == 404


async def test_an_option_of_host_json_names_the_setting_that_replaces_it(tmp_path: Path) -> None:
    override = "AzureFunctionsJobHost__extensions__queues__batchSize"
    folder = write_app(tmp_path, settings={override: "8"})
    async with run_app(folder) as app:
        options = {option["path"]: option for option in (await app.get("/azemu/api/settings")).json()["hostJson"]}
    assert options["extensions.queues.batchSize"] == {
        "path": "extensions.queues.batchSize",
        "value": 8,
        "origin": f"setting {override}",
    }


async def test_an_account_in_azure_is_only_read(tmp_path: Path) -> None:
    order = """
    @app.route(route="order")
    @app.queue_output(arg_name="out", queue_name="orders", connection="Shop")
    def order(req, out: func.Out[str]): out.set("x")
    """
    folder = write_app(tmp_path, HTTP_APP, order, settings={"Shop": REAL})
    path = "/azemu/api/storage/queues/orders/messages?connection=Shop"
    async with run_app(folder) as app:
        answer = await app.post(path, json.dumps({"text": "x"}))
        assert (answer.status, "--dashboard-writes" in answer.text) == (403, True)
    # With the option the request passes, to a check that sends nothing.
    async with run_app(folder, dashboard_writes=True) as app:
        assert (await app.post(path, "{}")).status == 400


async def test_virtual_time_passes_on_demand(app: AppUnderTest) -> None:
    await app.put_message("orders", "later", hidden=timedelta(hours=2))
    begun = app.now

    async def advance(seconds: float | None) -> int:
        # Not a method of the app, during which time does not pass.
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{app.dashboard_url}api/time/advance", json={"seconds": seconds}) as response,
        ):
            return response.status

    assert (await advance(3600), app.now - begun) == (200, timedelta(hours=1))
    assert [line.message for line in app.logs] == []
    assert await advance(None) == 200
    assert app.now - begun >= timedelta(hours=2)
    await app.settle()
    assert [line.message for line in app.logs] == ["received later"]
    assert await advance(-1) == 400


async def test_real_time_has_no_clock_to_turn(app_folder: Path) -> None:
    async with run_app(app_folder) as app:
        assert (await app.get("/azemu/api/home")).json()["isVirtualTime"] is False
        assert (await app.post("/azemu/api/time/advance", "{}")).status == 404
