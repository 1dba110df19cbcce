"""The executor: what is recorded for each way in which a function call ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from emulator.clock import SystemClock
from emulator.durable.core.identity import EntityId, FunctionKind
from emulator.durable.executor import (
    ActivityFailed,
    ActivityRequest,
    ActivitySucceeded,
    EntityBatch,
    EntityOperation,
    OrchestratorRequest,
    WorkAborted,
)
from emulator.durable.options import DurableTaskOptions
from emulator.extensions.durable.executor import FunctionsExecutor
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.http_activity import http_activity
from emulator.host.invoker import BindingFailed, FunctionTimedOut
from emulator.host.port import TriggerEvent
from emulator.worker.port import Returned, WorkerError
from tests.durable.core.episodes import INSTANCE, started
from tests.processes import has_ended
from tests.waiting import eventually

TIMED_OUT = FunctionTimedOut("F", timedelta(minutes=5))


def raising(error: Exception) -> Callable[[TriggerEvent], Awaitable[Returned]]:
    async def invoke(event: TriggerEvent) -> Returned:
        raise error

    return invoke


@asynccontextmanager
async def executor(
    functions: DurableFunctions | None = None, settings: Mapping[str, str] | None = None
) -> AsyncIterator[FunctionsExecutor]:
    clock = SystemClock()
    async with http_activity(settings or {}, clock) as http:
        yield FunctionsExecutor(functions or DurableFunctions(), http, DurableTaskOptions())


def failing(kind: FunctionKind, error: Exception) -> DurableFunctions:
    functions = DurableFunctions()
    functions.add(kind, "F", raising(error))
    return functions


def activity(name: str, input: str | None = '["1"]') -> ActivityRequest:
    return ActivityRequest(instance=INSTANCE, task_id=0, name=name, input=input)


BATCH = EntityBatch(
    entity=EntityId("f", "k"),
    exists=True,
    state="1",
    operations=[EntityOperation("get", None, False, "1"), EntityOperation("add", "1", True, "2")],
)


@pytest.mark.parametrize("error", [TIMED_OUT, WorkerError("gone"), BindingFailed("no")])
async def test_an_orchestrator_that_could_not_be_run_is_aborted(error: Exception) -> None:
    start = started("F")
    request = OrchestratorRequest(started=start, past=[], new=[start])
    async with executor(failing(FunctionKind.ORCHESTRATOR, error)) as executing:
        with pytest.raises(WorkAborted):
            await executing.orchestrate(request)


async def test_an_activity_that_timed_out_has_failed() -> None:
    async with executor(failing(FunctionKind.ACTIVITY, TIMED_OUT)) as executing:
        failed = await executing.act(activity("F"))
    assert isinstance(failed, ActivityFailed)
    assert failed.reason == (
        "Activity function 'F' failed: Timeout value of 00:05:00 was exceeded by function: Functions.F"
    )


async def test_an_activity_whose_worker_is_gone_is_retried() -> None:
    async with executor(failing(FunctionKind.ACTIVITY, WorkerError("gone"))) as executing:
        with pytest.raises(WorkAborted, match="gone"):
            await executing.act(activity("F"))


async def test_an_unknown_activity_has_failed() -> None:
    async with executor() as executing:
        failed = await executing.act(activity("X"))
    assert isinstance(failed, ActivityFailed)
    assert failed.reason == "Activity function 'X' failed: Activity function 'X' does not exist."


async def test_a_timed_out_batch_answers_every_operation_and_keeps_the_state() -> None:
    async with executor(failing(FunctionKind.ENTITY, TIMED_OUT)) as executing:
        result = await executing.operate(BATCH)
    assert (result.exists, result.state) == (True, "1")
    assert [(each.result, each.is_error) for each in result.results] == [(str(TIMED_OUT), True)] * 2


async def test_an_unknown_entity_is_retried() -> None:
    async with executor() as executing:
        with pytest.raises(WorkAborted, match="No entity functions are currently registered!"):
            await executing.operate(BATCH)


def test_function_names_are_case_insensitive() -> None:
    functions = failing(FunctionKind.ACTIVITY, TIMED_OUT)
    assert functions.missing(FunctionKind.ACTIVITY, "f") is None
    assert functions.missing(FunctionKind.ACTIVITY, "G") == (
        "The function 'G' doesn't exist, is disabled, or is not an activity function. Additional info: The following "
        "are the known activity functions: 'F'."
    )


# call_http -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def server(answer: Callable[[web.Request], web.Response], port: int) -> Any:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return answer(request)

    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{path:.*}", handle)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def call_http(url: str, settings: dict[str, str] | None = None, **request: Any) -> Any:
    wanted = {"method": "GET", "uri": url, "headers": {}, "content": None, "tokenSource": None, **request}
    async with executor(settings=settings) as executing:
        return await executing.act(activity("BuiltIn::HttpActivity", json.dumps([wanted])))


async def test_the_result_has_the_headers_of_the_response_but_not_of_its_content(unused_tcp_port: int) -> None:
    def answer(request: web.Request) -> web.Response:
        headers = {"X-One": "1", "Vary": "a, b", "Server": "x/1 y/2", "Date": "now", "Content-Type": "text/x"}
        return web.Response(status=404, text="é", headers=headers)

    async with server(answer, unused_tcp_port) as url:
        result = await call_http(url)
    assert isinstance(result, ActivitySucceeded)
    assert json.loads(result.result or "") == {
        "statusCode": 404,
        "headers": {"X-One": "1", "Vary": ["a", "b"], "Server": ["x/1", "y/2"], "Date": "now"},
        "content": "é",
    }


async def test_content_without_a_type_is_plain_text(unused_tcp_port: int) -> None:
    def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Content-Type"])

    async with server(answer, unused_tcp_port) as url:
        plain = await call_http(url, method="POST", content="hello")
        json_ = await call_http(url, method="POST", content="{}", headers={"content-type": "application/json"})
    assert [json.loads(each.result)["content"] for each in (plain, json_)] == [
        "text/plain; charset=utf-8",
        "application/json",
    ]


async def test_multipart_is_refused() -> None:
    failed = await call_http("http://unused.test", content="x", headers={"Content-Type": "multipart/form-data"})
    assert failed.reason == "Multipart content is not supported with CallHttpAsync."


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        "[1]",
        "[[]]",
        "{}",
        '["GET"]',
        "[{}]",
        "[" * 100_000,
        '[{"method": "GET"}]',
        '[{"method": 5, "uri": "http://unused.test"}]',
        '[{"method": "GET", "uri": []}]',
        '[{"method": "GET", "uri": "no url"}]',
        '[{"method": "G T", "uri": "http://127.0.0.1:1"}]',
        '[{"method": "GET", "uri": "http://[::1"}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:99999"}]',
        '[{"method": "GET", "uri": "http://\\ud800.test"}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1/\\ud800"}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1", "headers": "x"}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1", "headers": {"a\\nb": "c"}}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1", "headers": {"a": "b\\r\\nc: d"}}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1", "headers": {"a": "\\ud800"}}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1", "headers": {"Content-Length": "x"}}]',
        '[{"method": "POST", "uri": "http://127.0.0.1:1", "content": "\\ud800"}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1", "tokenSource": "x"}]',
        '[{"method": "GET", "uri": "http://127.0.0.1:1", "tokenSource": {"resource": 5}}]',
    ],
)
async def test_a_request_that_cannot_be_sent_fails_the_call(text: str | None) -> None:
    async with executor() as executing:
        failed = await executing.act(activity("BuiltIn::HttpActivity", text))
    assert isinstance(failed, ActivityFailed)
    assert failed.reason


async def test_a_compressed_response_is_limited(unused_tcp_port: int) -> None:
    bomb = gzip.compress(b"0" * (65 << 20), compresslevel=1)

    def answer(request: web.Request) -> web.Response:
        body = bomb if request.path == "/bomb" else gzip.compress(b"hello")
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with server(answer, unused_tcp_port) as url:
        failed = await call_http(f"{url}/bomb")
        small = await call_http(url)
    assert "AZEMU_MAX_PAYLOAD_MIB" in failed.reason
    assert json.loads(small.result)["content"] == "hello"


async def test_a_token_comes_from_the_managed_identity(unused_tcp_port: int) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.path == "/identity":
            assert request.headers["X-IDENTITY-HEADER"] == "secret"
            return web.json_response({"access_token": f"token for {request.query['resource']}"})
        return web.Response(text=request.headers["Authorization"])

    async with server(answer, unused_tcp_port) as url:
        settings = {"IDENTITY_ENDPOINT": f"{url}/identity", "IDENTITY_HEADER": "secret"}
        source = {"kind": "AzureManagedIdentity", "resource": "https://vault.test"}
        result = await call_http(url, settings, tokenSource=source)
    assert json.loads(result.result)["content"] == "Bearer token for https://vault.test"


async def test_without_an_identity_the_message_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    failed = await call_http("http://unused.test", tokenSource={"resource": "https://vault.test"})
    assert isinstance(failed, ActivityFailed)
    assert 'No token for the resource "https://vault.test"' in failed.reason
    assert "run `az login`" in failed.reason


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for the Azure CLI is a shell script")
async def test_a_token_request_without_waiters_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = tmp_path / "begun"
    cli = tmp_path / "az"
    cli.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {begun}.new && mv {begun}.new {begun}\nwait\n")
    cli.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    asking = asyncio.create_task(call_http("http://unused.test", tokenSource={"resource": "https://vault.test"}))
    await eventually(begun.exists, "start of the CLI")
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    child = int(begun.read_text())
    await eventually(lambda: has_ended(child), "end of the script's child process")
