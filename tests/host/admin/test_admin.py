"""Admin API of the host."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.running_apps import DURABLE_APP, HTTP_APP, RunningApp, run_app
from tests.waiting import logged

APP = """
@app.route(route="items/{Id}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
def Greet(req: func.HttpRequest) -> str:
    return "hi"

@app.warm_up_trigger("warm")
def prepare(warm) -> None:
    logging.info("warmed up")

@app.activity_trigger(input_name="city")
def say(city: str) -> str:
    logging.info("Hello %s", city)
    return city
"""
TRIGGERS = """
def note(name, text):
    logging.info("%s has %s", name, json.loads(text)["id"])

@app.queue_trigger(arg_name="msg", queue_name="incoming", connection="AzureWebJobsStorage")
def take(msg: func.QueueMessage):
    note("take", msg.get_body())

@app.event_hub_message_trigger(arg_name="event", event_hub_name="hub", connection="AzureWebJobsStorage")
def event(event: func.EventHubEvent):
    note("event", event.get_body())
"""
DEEP = pytest.param("[" * 50_000, id="deep")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, DURABLE_APP, APP) as site:
        yield site


async def test_status(site: RunningApp) -> None:
    answer = await site.get("/admin/host/status")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    status = answer.json()
    assert status["state"] == "Running"
    assert status["version"].startswith("4.")
    assert isinstance(status["processUptime"], int)
    assert len(status["id"]) <= 32
    assert "errors" not in status
    assert {"instanceId", "computerName", "versionDetails", "functionAppContentEditingState"} <= set(status)


async def test_status_contains_the_extension_bundle(tmp_path: Path) -> None:
    bundle = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
    async with run_app(tmp_path, HTTP_APP, host={"extensionBundle": bundle}) as site:
        assert (await site.get("/admin/host/status")).json()["extensionBundle"] == bundle


async def test_ping_is_never_cached(site: RunningApp) -> None:
    for method in ("GET", "POST"):
        answer = await site.request(method, "/admin/host/ping")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["Cache-Control"] == "no-store,no-cache"


async def test_the_list_of_functions(site: RunningApp) -> None:
    functions = (await site.get("/admin/functions")).json()
    assert [function["name"] for function in functions] == ["Greet", "prepare", "say"]
    assert functions[0]["invoke_url_template"] == f"https://localhost:{site.app.port}/api/items/{{id}}"
    assert "invoke_url_template" not in functions[1]


async def test_one_function(site: RunningApp) -> None:
    function = (await site.get("/admin/functions/greet")).json()
    base = f"http://127.0.0.1:{site.app.port}"
    assert (function["name"], function["language"], function["isDisabled"]) == ("Greet", "python", False)
    assert function["href"] == f"{base}/admin/functions/Greet"
    assert function["invoke_url_template"] == f"{base}/api/items/{{id}}"
    assert function["files"] is None
    trigger = next(one for one in function["config"]["bindings"] if one["type"] == "httpTrigger")
    assert (trigger["name"], trigger["route"], trigger["methods"]) == ("req", "items/{Id}", ["GET"])
    assert (await site.get("/admin/functions/unknown")).status == 404


async def test_status_of_functions(site: RunningApp) -> None:
    assert (await site.get("/admin/functions/Greet/status")).json() == {}
    assert (await site.get("/admin/functions/unknown/status")).status == 404


async def test_a_function_is_invoked_manually(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answer = await site.post("/admin/functions/SAY", '{"input": "Tokyo"}')
    assert (answer.status, answer.body) == (202, b"")
    await logged(caplog, "Hello Tokyo")
    await logged(caplog, "Executed 'Functions.say' (Succeeded")
    assert any(
        "Reason='This function was programmatically called via the host APIs.'" in record.getMessage()
        for record in caplog.records
    )


@pytest.mark.parametrize("function", ["take", "event"])
async def test_an_input_with_half_of_a_surrogate_pair_has_a_replacement_character(
    function: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with run_app(tmp_path, HTTP_APP, TRIGGERS) as site:
        given = {"input": '{"id": "\ud800"}'}
        assert (await site.post(f"/admin/functions/{function}", json.dumps(given))).status == 202
        await logged(caplog, f"{function} has \ufffd")


@pytest.mark.parametrize("body", ["", "null", "[]", "text", '{"input": {}}', '{"input": [1]}', DEEP])
async def test_a_manual_invocation_requires_an_object(site: RunningApp, body: str) -> None:
    assert (await site.post("/admin/functions/say", body)).status == 400


async def test_an_unknown_function_cannot_be_invoked(site: RunningApp) -> None:
    assert (await site.post("/admin/functions/unknown", "{}")).status == 404


async def test_an_http_function_cannot_be_invoked_manually(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    assert (await site.post("/admin/functions/Greet", "{}")).status == 202
    await logged(caplog, "Function 'Greet' cannot be invoked manually: An HttpRequest is required. Call http")


async def test_warmup_runs_once(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert (await site.get("/admin/warmup")).status == 200
    executed = [record for record in caplog.records if record.getMessage().startswith("Executed 'Functions.prepare'")]
    assert len(executed) == 1


async def test_going_offline_and_online(site: RunningApp) -> None:
    page = site.app.configuration.root / "app_offline.htm"
    assert (await site.request("PUT", "/admin/host/state", data='"offline"')).status == 202
    assert (await site.request("PUT", "/admin/host/state", data='"offline"')).status == 200
    answer = await site.get("/api/items/1")
    assert (answer.status, answer.body) == (503, page.read_bytes())
    assert answer.headers["Content-Type"] == "text/html"
    assert (await site.get("/admin/host/status")).json()["state"] == "Offline"
    assert (await site.request("PUT", "/admin/host/state", data='"running"')).status == 202
    assert (await site.get("/api/items/1")).text == "hi"
    assert not page.exists()


async def test_deleting_app_offline_htm_brings_the_host_back(site: RunningApp) -> None:
    await site.request("PUT", "/admin/host/state", data='"offline"')
    (site.app.configuration.root / "app_offline.htm").unlink()
    assert (await site.get("/api/items/1")).text == "hi"


@pytest.mark.parametrize("body", ["", "offline", '"asleep"', "{}", DEEP])
async def test_other_states_are_rejected(site: RunningApp, body: str) -> None:
    assert (await site.request("PUT", "/admin/host/state", data=body)).status == 400


@pytest.mark.parametrize("request_line", ["PUT /admin/host/state", "POST /admin/host/log"])
@pytest.mark.parametrize(
    ("body", "status"),
    [("Content-Length: 11000000\r\n\r\n", 413), ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n", 400)],
)
async def test_invalid_bodies_are_rejected(site: RunningApp, request_line: str, body: str, status: int) -> None:
    answer = await site.raw(f"{request_line} HTTP/1.1\r\nHost: localhost\r\n{body}".encode(), until=b"\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_small_responses(site: RunningApp) -> None:
    assert (await site.post("/admin/host/synctriggers")).json() == {"status": "success"}
    assert (await site.post("/admin/host/log", "[]")).status == 200
    assert (await site.post("/admin/host/debug")).status == 200
    assert (await site.get("/admin/instance/http-health")).status == 200
    scale = await site.post("/admin/host/scale/status")
    assert (scale.status, scale.text) == (400, "Runtime scale monitoring is not enabled.")
    drain = {"state": "Disabled", "outstandingInvocations": 0, "outstandingRetries": 0}
    assert (await site.get("/admin/host/drain/status")).json() == drain
    assert json.loads((await site.get("/admin/host/config")).text)["version"] == "2.0"
    assert len((await site.get("/admin/host/processes")).json()) == 1


# Keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder", ["/admin/host/keys", "/admin/host/functionkeys", "/admin/host/systemkeys", "/admin/functions/greet/keys"]
)
async def test_a_key_is_created_replaced_and_deleted(site: RunningApp, folder: str) -> None:
    before = (await site.get(folder)).json()
    assert before["links"] == [{"rel": "self", "href": f"http://127.0.0.1:{site.app.port}{folder}"}]

    created = await site.request("PUT", f"{folder}/ci", data='{"name": "ci", "value": "mine"}')
    assert (created.status, created.json()["value"]) == (201, "mine")
    assert (await site.request("PUT", f"{folder}/ci", data='{"name": "ci", "value": "new"}')).status == 200
    assert (await site.get(f"{folder}/CI")).json()["value"] == "new"
    assert (await site.get(folder)).json()["keys"] == [*before["keys"], {"name": "ci", "value": "new"}]

    made = await site.post(f"{folder}/made")
    assert made.status == 201
    again = await site.post(f"{folder}/made")
    assert again.status == 200
    assert made.json()["value"] != again.json()["value"]

    assert (await site.request("DELETE", f"{folder}/ci")).status == 204
    assert (await site.request("DELETE", f"{folder}/ci")).status == 404
    assert (await site.get(f"{folder}/ci")).status == 404


async def test_a_key_that_cannot_be_saved_is_refused_with_the_reason(site: RunningApp) -> None:
    before = (await site.get("/admin/host/keys")).json()
    secrets = site.app.configuration.root / ".azemu" / "secrets"
    shutil.rmtree(secrets)
    secrets.write_text("a file where the folder should be")
    for method in ("PUT", "POST"):
        answer = await site.request(method, "/admin/host/keys/ci", data='{"value": "mine"}')
        assert answer.status == 500
        assert f"cannot be saved in {secrets / 'host.json'}" in answer.text
    assert (await site.get("/admin/host/keys")).json() == before


@pytest.mark.parametrize("body", ["", "{}", '{"value": ""}', '{"value": 5}', '{"value": "\\ud800"}', "[]", DEEP])
async def test_a_key_requires_a_value(site: RunningApp, body: str) -> None:
    answer = await site.request("PUT", "/admin/host/keys/ci", data=body)
    assert (answer.status, answer.text) == (400, "Invalid key value")


async def test_the_master_key(site: RunningApp) -> None:
    shown = (await site.get("/admin/host/systemkeys/_master")).json()
    assert shown["name"] == "_master"
    assert (await site.post("/admin/host/systemkeys/_master")).json()["value"] != shown["value"]
    refused = await site.request("DELETE", "/admin/host/systemkeys/_master")
    assert (refused.status, refused.text) == (400, "Cannot delete System Key.")


async def test_keys_of_an_unknown_function(site: RunningApp) -> None:
    assert (await site.get("/admin/functions/unknown/keys")).status == 404
    assert (await site.post("/admin/functions/..%2f..%2fevil/keys/x")).status == 404
    assert not (site.app.configuration.root / "evil.json").exists()
