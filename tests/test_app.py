"""The composed host over HTTP: it starts, serves, fails and stops as a user sees it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from emulator.app import App
from emulator.errors import ConfigurationError
from emulator.host.console.output import category_for
from emulator.host.port import TriggerEvent
from emulator.host.status import HostState
from emulator.listening import PortUnavailable
from emulator.worker.port import Datum
from tests.running_apps import run_app
from tests.waiting import logged

HEAD = """
import asyncio, logging, os, threading
import azure.functions as func
import azure.durable_functions as df
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""
HELLO = """
@app.route(route="hello/{who?}")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("greeting")
    return func.HttpResponse(f"Hello, {req.route_params.get('who') or 'you'}.", status_code=201)
"""

Start = Callable[..., AbstractAsyncContextManager[App]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """start(code, **options): that app, running on a free port, with the built-in store in memory."""
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)

    @asynccontextmanager
    async def start(code: str, /, *, drain_seconds: float = 10, **options: Any) -> AsyncIterator[App]:
        async with run_app(tmp_path, code, drain_seconds=drain_seconds, **options) as running:
            yield running.app

    return start


async def get(app: App, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{app.port}{path}") as response:
        return response.status, await response.text()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("emulator.")]


async def test_a_function_answers(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with start(HEAD + HELLO) as app:
        assert app.host.status.state is HostState.RUNNING
        assert [function.name for function in app.host.catalog.functions] == ["hello"]
        assert await get(app, "/api/hello/Ada") == (201, "Hello, Ada.")
        assert app.storage is not None
    stopped: HostState = app.host.status.state
    assert stopped is HostState.STOPPED
    assert "greeting" in told(caplog)


async def test_extensions_log_under_the_category_of_their_triggers(start: Start) -> None:
    async with start(HEAD + HELLO):
        assert category_for("emulator.extensions.http.stream") == "Host.Triggers.Http"
        assert category_for("emulator.extensions.durable.management.http_api") == "Host.Triggers.DurableTask"


async def test_settings_are_in_the_environment_while_the_app_is_open(start: Start, tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text('{"IsEncrypted": false, "Values": {"MY_SETTING": "mine"}}')
    code = HEAD + (
        "SEEN = [os.environ['MY_SETTING'], os.environ['WEBSITE_HOSTNAME']]\n"
        '@app.route(route="seen")\ndef seen(req) -> str: return " ".join(SEEN)\n'
    )
    before = dict(os.environ)
    async with start(code) as app:
        assert await get(app, "/api/seen") == (200, f"mine localhost:{app.port}")
    assert dict(os.environ) == before


async def test_an_orchestration_runs_to_its_end(start: Start) -> None:
    code = (
        HEAD
        + """
@app.orchestration_trigger(context_name="context")
def main(context):
    first = yield context.call_activity("add", 1)
    return (yield context.call_activity("add", first))

@app.activity_trigger(input_name="number")
def add(number: int) -> int: return number + 1

@app.route(route="start")
@app.durable_client_input(client_name="client")
async def begin(req: func.HttpRequest, client) -> func.HttpResponse:
    instance_id = await client.start_new("main")
    return await client.wait_for_completion_or_create_check_status_response(
        req, instance_id, timeout_in_milliseconds=30_000, retry_interval_in_milliseconds=10
    )
"""
    )
    async with start(code) as app:
        assert await get(app, "/api/start") == (200, "3")


async def test_a_function_is_invoked_by_name(start: Start) -> None:
    async with start(HEAD + '@app.activity_trigger(input_name="x")\ndef act(x): return x * 2') as app:
        returned = await app.host.invoke("ACT", TriggerEvent(value=Datum("string", "21")))
        assert returned.value == Datum("json", "42")
        with pytest.raises(LookupError):
            await app.host.invoke("nowhere", TriggerEvent(value=None))


async def test_a_host_whose_app_cannot_be_imported_reports_the_error(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async with start("import azure.functions\n1 / 0\n") as app:
        status, text = await get(app, "/admin/host/status")
        assert status == 200
        assert '"state":"Running"' in text.replace(" ", "")
        assert "ZeroDivisionError: division by zero" in text
        assert (await get(app, "/api/hello"))[0] == 404
    assert "0 functions found (Worker)" in told(caplog)
    [error] = [line for line in told(caplog) if line.startswith("Worker failed to index functions")]
    assert 'function_app.py", line 2' in error


async def test_settings_for_another_language_are_an_error(start: Start) -> None:
    async with start(HEAD + HELLO, settings={"FUNCTIONS_WORKER_RUNTIME": "node"}) as app:
        assert app.host.status.state is HostState.ERROR
        assert "FUNCTIONS_WORKER_RUNTIME" in app.host.status.errors[0]


async def test_warnings_about_settings_that_users_overlook(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    code = HEAD + '@app.retry(strategy="fixed_delay", max_retry_count="1", delay_interval="00:00:01")\n' + HELLO.strip()
    async with start(code, functions=["hello", "helo"]):
        pass
    async with start("", settings={"PYTHON_SCRIPT_FILE_NAME": "main.py"}):
        pass
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    for beginning in (
        "The list of functions to run (--functions, or \"functions\" in host.json) names 'helo', which the",
        "Soon retries will not be supported for function 'hello'.",
        "There is no main.py in ",
        "No job functions found.",
    ):
        assert any(line.startswith(beginning) for line in warnings), beginning


async def test_more_worker_processes_than_the_host_starts_are_refused(start: Start) -> None:
    with pytest.raises(ConfigurationError, match=r"FUNCTIONS_WORKER_PROCESS_COUNT is 11, but .* at most 10"):
        async with start(HEAD + HELLO, settings={"FUNCTIONS_WORKER_PROCESS_COUNT": "11"}):
            pass


async def test_a_wrong_option_of_an_extension_is_refused_when_the_app_is_opened(start: Start) -> None:
    hub = {"AzureFunctionsJobHost__extensions__durableTask__hubName": "my-hub"}
    with pytest.raises(ConfigurationError, match="Task hub name 'my-hub' should contain only alphanumeric characters"):
        async with start(HEAD + HELLO, settings=hub):
            pass


async def test_a_durable_batch_size_above_the_buffer_is_a_warning(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = {"AzureFunctionsJobHost__extensions__durableTask__storageProvider__controlQueueBufferThreshold": "10"}
    async with start(HEAD + HELLO, settings=buffer):
        pass
    assert "controlQueueBatchSize (32) is larger than controlQueueBufferThreshold (10) in host.json." in told(caplog)


async def test_one_broken_function_does_not_stop_the_others(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    code = HEAD + HELLO + '@app.route(route="x", trigger_arg_name="my__req")\ndef bad(my__req): ...\n'
    async with start(code) as app:
        assert await get(app, "/api/hello") == (201, "Hello, you.")
        assert await get(app, "/api/x") == (404, "")
    assert any(line.startswith("The 'bad' function is in error: The binding name my__req") for line in told(caplog))


async def test_disabled_and_unlisted_functions_are_not_served(start: Start) -> None:
    code = HEAD + HELLO + '@app.route(route="other")\ndef other(req) -> str: return "x"\n'
    async with start(code, settings={"AzureWebJobs.hello.Disabled": "true"}) as app:
        assert [(one.name, one.disabled) for one in app.host.catalog.functions] == [("hello", True), ("other", False)]
        assert (await get(app, "/api/hello"))[0] == 404
        assert (await get(app, "/api/other"))[0] == 200
    async with start(code, functions=["OTHER"]) as app:
        assert [one.name for one in app.host.catalog.functions] == ["other"]


async def test_without_storage_http_works_and_durable_reports_the_missing_connection(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    code = (
        HEAD
        + HELLO
        + """
@app.orchestration_trigger(context_name="context")
def main(context): yield

@app.route(route="start")
@app.durable_client_input(client_name="client")
async def begin(req: func.HttpRequest, client) -> str: return await client.start_new("main")
"""
    )
    async with start(code, storage=None) as app:
        assert app.storage is None
        assert (await get(app, "/api/hello"))[0] == 201
        assert (await get(app, "/api/start"))[0] == 500
    assert any("The Durable Task extension is not running, so there is no" in line for line in told(caplog))
    [error] = [record for record in caplog.records if record.getMessage().startswith("The extension 'durableTask'")]
    assert error.exc_info is not None
    assert "AzureWebJobsStorage" in str(error.exc_info[1])


async def test_stopping_lets_a_running_request_finish(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    code = (
        HEAD
        + """
go_on = threading.Event()
@app.route(route="slow")
def slow(req) -> str:
    logging.warning("in it"); go_on.wait(); return "finished"
"""
    )
    import sys

    async with start(code) as app:
        request = asyncio.create_task(get(app, "/api/slow"))
        await logged(caplog, "in it")
        release = sys.modules["function_app"].go_on
        asyncio.get_running_loop().call_later(0.01, release.set)
    assert await request == (200, "finished")


async def test_stopping_gives_up_a_function_that_hangs(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    code = (
        HEAD
        + """
never = threading.Event()
@app.activity_trigger(input_name="x")
def hang(x):
    logging.warning("in it"); never.wait()
"""
    )
    import sys

    async with start(code, drain_seconds=0.01) as app:
        hanging = asyncio.create_task(app.host.invoke("hang", TriggerEvent(value=Datum("string", "1"))))
        await logged(caplog, "in it")
        release = sys.modules["function_app"].never
    assert any("1 invocations are given up" in line for line in told(caplog))
    release.set()
    await hanging


async def test_a_taken_port_is_reported_before_the_app_is_loaded(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortUnavailable, match=f"Port {port} is unavailable"):
            async with start("raise RuntimeError", port=port):
                pass


async def test_draining_stops_all_listeners_but_http(start: Start) -> None:
    async with start(HEAD + HELLO) as app:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{app.port}/admin/host/drain") as response,
        ):
            assert response.status == 202
        assert (await get(app, "/api/hello"))[0] == 201
