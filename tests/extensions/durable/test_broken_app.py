"""Management of instances while the app, or one of its functions, cannot be loaded."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.folders import ANSWER, http_trigger, trigger, write_function, write_host_json
from tests.processes import get, started
from tests.running_apps import DURABLE_APP, RunningApp, run_app, write_app
from tests.waiting import PATIENCE_SECONDS, eventually, eventually_sync

APP = """
@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return await client.start_new("flow", req.params["id"])

@app.orchestration_trigger(context_name="context")
def flow(context):
    answer = yield context.wait_for_external_event("answer")
    return (yield context.call_activity("double", answer))

@app.activity_trigger(input_name="text")
def double(text: str) -> str:
    return text * 2
"""
SYNTAX_ERROR = "\ndef broken(:\n"


async def status_of(app: RunningApp, id: str) -> Any:
    return (await app.get(f"/runtime/webhooks/durabletask/instances/{id}")).json()


async def has_status(app: RunningApp, id: str, status: str) -> Any:
    async def reached() -> Any:
        current = await status_of(app, id)
        return current if current["runtimeStatus"] == status else None

    return await eventually(reached, f"{status} of {id}")


async def test_instances_are_managed_while_the_app_cannot_be_loaded_and_go_on_afterwards(tmp_path: Path) -> None:
    store = f"builtin:{tmp_path / 'store.db'}"
    async with run_app(tmp_path / "app", DURABLE_APP, APP, storage=store) as app:
        for id in ("one", "two"):
            await app.post(f"/api/go?id={id}")
            await has_status(app, id, "Running")
    async with run_app(tmp_path / "app", DURABLE_APP, APP, SYNTAX_ERROR, storage=store) as app:
        assert (await status_of(app, "one"))["runtimeStatus"] == "Running"
        assert len((await app.get("/runtime/webhooks/durabletask/instances")).json()) == 2
        events = "/runtime/webhooks/durabletask/instances/one/raiseEvent/answer"
        assert (await app.post(events, '"x"', headers={"Content-Type": "application/json"})).status == 202
        assert (await app.post("/runtime/webhooks/durabletask/instances/two/terminate?reason=wrong")).status == 202
        # No function of an app that cannot be loaded runs, as on Azure.
        assert (await app.post("/api/go?id=three")).status == 404
    async with run_app(tmp_path / "app", DURABLE_APP, APP, storage=store) as app:
        assert (await has_status(app, "one", "Completed"))["output"] == "xx"
        assert (await has_status(app, "two", "Terminated"))["output"] == "wrong"


async def test_an_instance_waits_for_a_function_that_is_in_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = f"builtin:{tmp_path / 'store.db'}"
    # A wrong annotation leaves out this function alone.
    wrong = APP.replace("def double(text: str)", "def double(other: str)")
    async with run_app(tmp_path / "app", DURABLE_APP, wrong, storage=store) as app:
        await app.post("/api/go?id=one")
        await has_status(app, "one", "Running")
        events = "/runtime/webhooks/durabletask/instances/one/raiseEvent/answer"
        await app.post(events, '"x"', headers={"Content-Type": "application/json"})
        await eventually(lambda: "Functions of the app could not be loaded" in caplog.text, "warning")
        assert (await status_of(app, "one"))["runtimeStatus"] == "Running"
    async with run_app(tmp_path / "app", DURABLE_APP, APP, storage=store) as app:
        assert (await has_status(app, "one", "Completed"))["output"] == "xx"


START = """
import azure.durable_functions as df

async def main(req, starter):
    return await df.DurableOrchestrationClient(starter).start_new("Flow", "one")
"""
FLOW = """
import azure.durable_functions as df

def flow(context):
    answer = yield context.wait_for_external_event("answer")
    return (yield context.call_activity("Double", answer))

main = df.Orchestrator.create(flow)
"""
DOUBLE = "def main(text: str) -> str:\n    return text * 2\n"
INVALID_JSON = "{"


def write_v1_app(root: Path, *, flow: str = FLOW, double: str = DOUBLE, double_json: str | None = None) -> Path:
    write_host_json(root)
    (root / "requirements.txt").write_text("azure-functions-durable<2\n")
    write_function(root, "Start", START, http_trigger(route="go"), ANSWER, trigger("durableClient", "starter"))
    write_function(root, "Flow", flow, trigger("orchestrationTrigger", "context"))
    write_function(root, "Double", double, trigger("activityTrigger", "text"), text=double_json)
    return root


@pytest.mark.parametrize(
    ("broken", "warning"),
    [
        ({"flow": FLOW + SYNTAX_ERROR}, "The function 'Flow' could not be loaded"),
        ({"double": "import missing_module\n" + DOUBLE}, "The function 'Double' could not be loaded"),
        ({"double_json": INVALID_JSON}, "Functions of the app could not be loaded"),
    ],
    ids=["orchestrator", "activity", "function.json"],
)
async def test_an_instance_waits_for_a_v1_function_that_cannot_be_loaded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: dict[str, str], warning: str
) -> None:
    store, root = f"builtin:{tmp_path / 'store.db'}", tmp_path / "app"
    async with run_app(write_v1_app(root, **broken), storage=store) as app:
        await app.post("/api/go")
        if "flow" not in broken:
            await has_status(app, "one", "Running")
        events = "/runtime/webhooks/durabletask/instances/one/raiseEvent/answer"
        await app.post(events, '"x"', headers={"Content-Type": "application/json"})
        await eventually(lambda: warning in caplog.text, "warning")
        assert (await status_of(app, "one"))["runtimeStatus"] in ("Pending", "Running")
    async with run_app(write_v1_app(root), storage=store) as app:
        assert (await has_status(app, "one", "Completed"))["output"] == "xx"


def request(url: str, method: str = "GET", body: bytes | None = None) -> Any:
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(asked, timeout=PATIENCE_SECONDS) as response:
        return json.loads(response.read() or b"null")


@pytest.mark.soak
def test_syntax_error_that_is_saved_while_azemu_runs(tmp_path: Path) -> None:
    app = write_app(
        tmp_path, DURABLE_APP, APP.replace('start_new("flow", req.params["id"])', 'start_new("flow", "one")')
    )
    code = (app / "function_app.py").read_text()
    with started(app, "--storage", "builtin") as azemu:
        url = azemu.url()
        get(url)
        instance = f"{url.partition('/api/')[0]}/runtime/webhooks/durabletask/instances/one"
        eventually_sync(lambda: request(instance)["runtimeStatus"] == "Running", "start")
        (app / "function_app.py").write_text(code + SYNTAX_ERROR)
        azemu.wait_for("SyntaxError")
        assert request(instance)["runtimeStatus"] == "Running"
        request(f"{instance}/raiseEvent/answer", "POST", b'"x"')
        (app / "function_app.py").write_text(code)
        eventually_sync(lambda: request(instance)["output"] == "xx", "completion after the repair")
