"""Apps of the v1 programming model under the whole host: HTTP, Durable Functions, admin API, broken functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emulator.testing import replay, start
from tests.folders import ANSWER, hello, http_trigger, trigger, write_function, write_host_json
from tests.running_apps import DURABLE_APP, HTTP_APP, Answer, RunningApp, run_app, write_app
from tests.waiting import eventually


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_host_json(tmp_path / "app")


async def final_status(app: RunningApp, started: Answer) -> Any:
    """Wait until the instance of a start response has ended; return its status."""
    path = "/runtime" + started.json()["statusQueryGetUri"].partition("/runtime")[2]

    async def ended() -> Any:
        status = (await app.get(path)).json()
        return status if status["runtimeStatus"] in ("Completed", "Failed") else None

    return await eventually(ended, "the end of the instance")


def write_durable_app(root: Path, *, client: str = "durableClient") -> Path:
    """Write an app that greets and counts the greetings, with all kinds of durable functions."""
    (root / "shared").mkdir(parents=True)
    # Without this line, importing the durable SDK in the app's folder warns about its next major version.
    (root / "requirements.txt").write_text("azure-functions-durable<2\n")
    (root / "shared" / "words.py").write_text('def greeting(name):\n    return f"Hello {name}"\n')
    write_function(
        root,
        "Start",
        """
        import azure.durable_functions as df
        import azure.functions as func


        async def main(req: func.HttpRequest, starter: str) -> func.HttpResponse:
            client = df.DurableOrchestrationClient(starter)
            instance = await client.start_new(req.route_params["functionName"], None, req.params.get("name"))
            return client.create_check_status_response(req, instance)
        """,
        http_trigger(route="orchestrators/{functionName}", methods=["post", "get"]),
        ANSWER,
        trigger(client, "starter"),
    )
    write_function(
        root,
        "Flow",
        """
        import azure.durable_functions as df


        def flow(context: df.DurableOrchestrationContext):
            greeting = yield context.call_activity("Greet", context.get_input())
            count = yield context.call_entity(df.EntityId("Counter", "greetings"), "add", 1)
            return [greeting, count]


        main = df.Orchestrator.create(flow)
        """,
        trigger("orchestrationTrigger", "context"),
    )
    write_function(
        root,
        "Greet",
        "from ..shared.words import greeting\n\n\ndef main(name: str) -> str:\n    return greeting(name)\n",
        trigger("activityTrigger", "name"),
    )
    write_function(
        root,
        "Counter",
        """
        import azure.durable_functions as df


        def operation(context):
            value = context.get_state(lambda: 0) + context.get_input()
            context.set_state(value)
            context.set_result(value)


        main = df.Entity.create(operation)
        """,
        trigger("entityTrigger", "context"),
    )
    return root


@pytest.mark.parametrize("client", ["durableClient", "orchestrationClient", "DurableClient"])
async def test_orchestrator_activity_entity_and_client_work_together(root: Path, client: str) -> None:
    write_durable_app(root, client=client)
    async with run_app(root) as app:
        started = await app.post("/api/orchestrators/Flow?name=Ada")
        assert started.status == 202
        assert (await final_status(app, started))["output"] == ["Hello Ada", 1]


async def test_members_of_durable_bindings_ignore_letter_case(root: Path) -> None:
    bindings = {
        "Start": [http_trigger(), ANSWER, {"Type": "durableClient", "Name": "starter", "TASKHUB": "OtherHub"}],
        "F": [{"type": "ORCHESTRATIONTRIGGER", "name": "context", "Orchestration": "flow", "direction": "IN"}],
        "A": [{"type": "ActivityTrigger", "name": "name", "ACTIVITY": "greet"}],
        "E": [{"type": "EntityTrigger", "name": "context", "entityname": "counter"}],
    }
    write_durable_app(root)
    folders = {"F": "Flow", "A": "Greet", "E": "Counter"}
    scripts = {name: (root / folder / "__init__.py").read_text() for name, folder in folders.items()}
    for folder in folders.values():
        (root / folder / "function.json").unlink()
    write_function(root, "Start", "def main(req, starter): return starter", *bindings["Start"])
    for name, script in scripts.items():
        write_function(root, name, script, *bindings[name])
    async with run_app(root) as app:
        assert json.loads((await app.get("/api/Start")).text)["taskHubName"] == "OtherHub"
        started = await app.post(
            f"{app.webhook.removeprefix(app.url)}/orchestrators/FLOW", data=json.dumps(json.dumps("Bo"))
        )
        assert (await final_status(app, started))["output"] == ["Hello Bo", 1]


SNAKE_CASE = """
@app.route(route="go", trigger_arg_name="http_request")
@app.generic_input_binding(arg_name="durable_client", type="orchestrationClient")
async def go(http_request: func.HttpRequest, durable_client: str):
    client = df.DurableOrchestrationClient(durable_client)
    return client.create_check_status_response(http_request, await client.start_new("flow"))

@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("greet", "Ada"))

@app.activity_trigger(input_name="first_name")
def greet(first_name: str):
    return f"Hello {first_name}"
"""


async def test_decorators_may_name_the_old_client_and_parameters_in_snake_case(tmp_path: Path) -> None:
    async with run_app(tmp_path, DURABLE_APP, SNAKE_CASE) as app:
        assert (await final_status(app, await app.get("/api/go")))["output"] == "Hello Ada"
        assert (await app.get("/admin/host/status")).json()["version"] == "4.1052.100.0"


async def test_http_members_of_function_json_take_effect(root: Path) -> None:
    write_function(root, "Default", hello())
    write_function(
        root,
        "Item",
        "def main(req): return req.method + req.route_params['item_id']",
        http_trigger(route="items/{item_id:int}", methods=["put"]),
        ANSWER,
    )
    write_function(root, "NoOutput", "def main(req): ...", http_trigger())
    write_function(
        root,
        "Named",
        "import azure.functions as func\ndef main(req, res: func.Out[func.HttpResponse]):\n"
        "    res.set(func.HttpResponse('set', status_code=201))",
        http_trigger(),
        {"type": "http", "direction": "out", "name": "res"},
    )
    write_function(root, "Keyed", hello(), {"type": "httpTrigger", "name": "req"}, ANSWER)
    async with run_app(root, enable_auth=True) as app:
        assert (await app.get("/api/default")).text == "hello"
        assert (await app.request("PUT", "/api/items/7")).text == "PUT7"
        assert (await app.get("/api/items/7")).status == 404
        assert (await app.get("/api/NoOutput")).status == 204
        named = await app.get("/api/Named")
        assert (named.status, named.text) == (201, "set")
        # The level of an HTTP trigger without authLevel is `function`.
        assert (await app.get("/api/Keyed")).status == 401


async def test_the_retry_policy_of_function_json_takes_effect(root: Path) -> None:
    script = """
    calls = []
    def main(req):
        calls.append(1)
        if len(calls) < 3: raise ValueError("again")
        return str(len(calls))
    """
    retry = {"strategy": "fixedDelay", "maxRetryCount": 2, "delayInterval": "00:00:00"}
    write_function(root, "F", script, http_trigger(), ANSWER, retry=retry)
    async with run_app(root) as app:
        assert (await app.get("/api/F")).text == "3"


async def test_disabled_functions_are_listed_and_not_served(root: Path) -> None:
    write_function(root, "Off", hello(), disabled=True)
    write_function(root, "On", hello(), disabled=False)
    write_function(root, "BySetting", hello(), disabled="IS_OFF")
    write_function(root, "OnBySetting", hello(), disabled="IS_ON")
    async with run_app(root, settings={"IS_OFF": "1", "IS_ON": "false"}) as app:
        statuses = {name: (await app.get(f"/api/{name}")).status for name in ("Off", "On", "BySetting", "OnBySetting")}
        assert statuses == {"Off": 404, "On": 200, "BySetting": 404, "OnBySetting": 200}
        listed = (await app.get("/admin/functions")).json()
    assert {function["name"]: function["isDisabled"] for function in listed} == {
        "BySetting": True,
        "Off": True,
        "On": False,
        "OnBySetting": False,
    }


async def test_the_admin_api_shows_the_files_of_a_function(root: Path) -> None:
    folder = write_function(root, "F", None, scriptFile="inner/code.py", excludedMember=1)
    (folder / "inner").mkdir()
    (folder / "inner" / "code.py").write_text(hello())
    async with run_app(root) as app:
        function = (await app.get("/admin/functions/F")).json()
    assert function["config"] == json.loads((folder / "function.json").read_text())
    assert function["script_href"].endswith("/admin/vfs/F/inner/code.py")
    assert function["config_href"].endswith("/admin/vfs/F/function.json")
    assert function["invoke_url_template"].endswith("/api/f")


async def test_only_the_named_functions_run(root: Path) -> None:
    for name in ("A", "B"):
        write_function(root, name, hello())
    write_function(root, "Broken", "import no_such_module_anywhere")
    async with run_app(root, functions=["b"]) as app:
        assert [function["name"] for function in (await app.get("/admin/functions")).json()] == ["B"]
        assert (await app.get("/api/A")).status == 404


async def test_one_broken_function_is_in_error_alone(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_function(root, "Good", hello())
    write_function(root, "Broken", "import no_such_module_anywhere")
    write_function(root, "Invalid", hello(), text="{")
    async with run_app(root) as app:
        start = caplog.text
        assert (await app.get("/api/Good")).text == "hello"
        assert (await app.get("/api/Broken")).status == 500
        assert (await app.get("/api/Invalid")).status == 404
        assert [function["name"] for function in (await app.get("/admin/functions")).json()] == ["Broken", "Good"]
        errors = {name: (await app.get(f"/admin/functions/{name}/status")).json() for name in ("Broken", "Invalid")}
        assert (await app.get("/admin/host/status")).json()["state"] == "Running"
    assert "Worker failed to load function: 'Broken' with functionId: " in start
    assert "No module named 'no_such_module_anywhere'. Cannot find module." in start
    assert f"The 'Invalid' function is in error: '{root / 'Invalid' / 'function.json'}' is not valid JSON" in start
    # The loader's text again, in the log of the call.
    call = caplog.text.removeprefix(start)
    assert "Exception while executing function: Functions.Broken." in call
    assert "No module named 'no_such_module_anywhere'. Cannot find module." in call
    assert "No module named 'no_such_module_anywhere'" in errors["Broken"]["errors"][0]
    assert "is not valid JSON" in errors["Invalid"]["errors"][0]


MESSAGE = trigger("queueTrigger", "m", queueName="incoming")
MISTAKES = {
    "run on startup": (
        [trigger("timerTrigger", "m", schedule="0 0 3 * * *", runOnStartup="yes")],
        "'runOnStartup' of the timer trigger 'm' is 'yes'; allowed: true, false. See ",
    ),
    "monitor": (
        [trigger("timerTrigger", "m", schedule="0 0 3 * * *", useMonitor=2)],
        "'useMonitor' of the timer trigger 'm' is 2; allowed: true, false. See ",
    ),
    "source of a blob trigger": (
        [trigger("blobTrigger", "m", path="incoming/{name}", source="EventGird")],
        "'source' of the blob trigger 'm' is 'EventGird'; allowed: LogsAndContainerScan (the default), EventGrid. See ",
    ),
    "output without direction": (
        [MESSAGE, {"type": "queue", "name": "out", "queueName": "outgoing"}],
        "The binding 'out' has the direction 'in', but a binding of type 'queue' is an output. "
        "Set its direction to 'out'. See ",
    ),
    "client as output": (
        [MESSAGE, {"type": "durableClient", "name": "out", "direction": "out"}],
        "The binding 'out' has the direction 'out', but a binding of type 'durableClient' is an input. "
        "Set its direction to 'in'. See ",
    ),
    "missing member": (
        [MESSAGE, {"type": "blob", "name": "out", "direction": "out", "pth": "outgoing/x"}],
        "The binding 'out' needs the member \"path\". See ",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_wrong_member_of_a_binding_is_named_with_its_file(
    root: Path, caplog: pytest.LogCaptureFixture, mistake: str
) -> None:
    bindings, message = MISTAKES[mistake]
    script = "def main(m, out=None): ..." if len(bindings) > 1 else "def main(m): ..."
    folder = write_function(root, "Wrong", script, *bindings)
    write_function(root, "Good", hello())
    async with run_app(root) as app:
        assert (await app.get("/api/Good")).text == "hello"
        assert [function["name"] for function in (await app.get("/admin/functions")).json()] == ["Good"]
    assert f"{message}'{folder / 'function.json'}'." in caplog.text


async def test_functions_with_the_same_route_are_named_with_their_places(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_app(root, HTTP_APP + '@app.route("same")\ndef b(req): return "b"')
    write_function(root, "A", hello("a"), http_trigger(route="Same"), ANSWER)
    async with run_app(root) as app:
        assert (await app.get("/api/same")).text == "a"
    [line] = [message for message in caplog.messages if message.startswith("The 'b' function is in error: ")]
    assert "The route specified conflicts with the route defined by function 'A'." in line
    assert f"'b' at {root / 'function_app.py'}:" in line
    assert f"'A' at {root / 'A' / '__init__.py'}:1" in line


async def test_an_app_under_test_may_have_function_folders(root: Path) -> None:
    write_durable_app(root)
    async with start(root) as app:
        status = await app.wait(await app.client.start_new("Flow", client_input="Ada"))
        assert status.output == ["Hello Ada", 1]
        app.fail("Greet")
        failed = await app.wait(await app.client.start_new("Flow", client_input="Bo"))
        assert failed.runtime_status.name == "Failed"
        history = await app.history(status.instance_id)
    assert replay(root, history) == 3


async def test_proxies_are_reported_as_unsupported(root: Path) -> None:
    (root / "proxies.json").write_text('{"proxies": {}}')
    write_function(root, "F", hello())
    async with run_app(root) as app:
        assert any("proxies.json" in warning for warning in app.app.configuration.warnings)
