"""HTTP middleware: CORS, response headers, throttling, availability of the host, client principals."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from emulator.app import open_app
from emulator.config.start import StartOptions
from emulator.errors import ConfigurationError
from emulator.host.http.keys.easyauth import principal_headers
from tests.running_apps import HTTP_APP, run_app, write_app
from tests.waiting import eventually

APP = """
from pathlib import Path

FOLDER = Path(__file__).parent

@app.route(route="hello")
def hello(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("hello", headers={"X-Mine": "function"})

@app.route(route="patient")
def patient(req: func.HttpRequest) -> str:
    (FOLDER / "begun").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.005)
    return "done"

@app.route(route="who")
def who(req: func.HttpRequest) -> str:
    return json.dumps({"body": {name: value for name, value in req.headers.items() if name.startswith("x-ms-")}})
"""


# CORS --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["http://a.test,https://B.test", "*"])
async def allowed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Any, str]]:
    async with run_app(tmp_path, HTTP_APP, APP, cors=request.param) as site:
        yield site, request.param


async def test_a_simple_request_of_an_allowed_origin(allowed: tuple[Any, str]) -> None:
    site, origins = allowed
    answer = await site.get("/api/hello", headers={"Origin": "https://b.test"})
    assert answer.text == "hello"
    assert answer.headers["Access-Control-Allow-Origin"] == ("*" if origins == "*" else "https://b.test")
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_preflight_request_does_not_reach_the_function(allowed: tuple[Any, str]) -> None:
    site, origins = allowed
    headers = {"Origin": "http://a.test", "Access-Control-Request-Method": "PUT"}
    headers["Access-Control-Request-Headers"] = "x-one, x-two"
    for path in ("/api/hello", "/admin/host/status", "/nowhere"):
        answer = await site.request("OPTIONS", path, headers=headers)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == ("*" if origins == "*" else "http://a.test")
        assert answer.headers["Access-Control-Allow-Methods"] == "PUT"
        assert answer.headers["Access-Control-Allow-Headers"] == "x-one, x-two"


async def test_an_origin_that_is_not_allowed(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP, cors="http://a.test") as site:
        answer = await site.get("/api/hello", headers={"Origin": "http://evil.test"})
        assert answer.text == "hello"
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        headers = {"Origin": "http://evil.test", "Access-Control-Request-Method": "PUT"}
        preflight = await site.request("OPTIONS", "/api/hello", headers=headers)
        assert preflight.status == 204
        assert not [name for name in preflight.headers if name.startswith("Access-Control")]


async def test_cors_from_local_settings_with_credentials(tmp_path: Path) -> None:
    content = {"IsEncrypted": False, "Values": {}, "Host": {"CORS": "http://a.test", "CORSCredentials": True}}
    (tmp_path / "local.settings.json").write_text(json.dumps(content))
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        answer = await site.get("/api/hello", headers={"Origin": "http://a.test"})
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_without_cors_options_requests_reach_the_function(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        headers = {"Origin": "http://a.test", "Access-Control-Request-Method": "PUT"}
        answer = await site.request("OPTIONS", "/api/hello", headers=headers)
        assert (answer.status, answer.text) == (200, "hello")
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


# host.json: extensions.http ----------------------------------------------------------------------------------


async def test_custom_headers_are_on_every_response(tmp_path: Path) -> None:
    host = {"extensions": {"http": {"customHeaders": {"X-Content-Type-Options": "nosniff", "X-Mine": "host"}}}}
    async with run_app(tmp_path, HTTP_APP, APP, host=host) as site:
        for path in ("/api/hello", "/", "/nowhere", "/admin/host/status"):
            answer = await site.get(path)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Mine"] == "host"
        too_large = b"PUT /admin/host/state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11000000\r\n\r\n"
        refusal = await site.raw(too_large, until=b"\r\n\r\n")
        assert refusal.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nX-Mine: host\r\n" in refusal


async def test_hsts_is_for_https_only(tmp_path: Path) -> None:
    host = {"extensions": {"http": {"hsts": {"isEnabled": True, "maxAge": "10"}}}}
    async with run_app(tmp_path, HTTP_APP, APP, host=host) as site:
        assert "Strict-Transport-Security" not in (await site.get("/api/hello")).headers


async def test_too_many_outstanding_requests_get_a_429(tmp_path: Path) -> None:
    host = {"extensions": {"http": {"maxOutstandingRequests": 1}}}
    async with run_app(tmp_path, HTTP_APP, APP, host=host) as site:
        waiting = asyncio.create_task(site.get("/api/patient"))
        await eventually((tmp_path / "begun").exists, "call of the function")
        refused = await site.get("/api/hello")
        assert (refused.status, refused.headers["X-FUNCTION-SCALEOUT"]) == (429, "1")
        assert (await site.get("/admin/host/status")).status == 200
        (tmp_path / "go").touch()
        assert (await waiting).text == "done"
        assert (await site.get("/api/hello")).status == 200


async def test_requests_above_the_concurrency_limit_wait(tmp_path: Path) -> None:
    host = {"extensions": {"http": {"maxConcurrentRequests": 1}}}
    async with run_app(tmp_path, HTTP_APP, APP, host=host) as site:
        first = asyncio.create_task(site.get("/api/patient"))
        await eventually((tmp_path / "begun").exists, "call of the function")
        second = asyncio.create_task(site.get("/api/hello"))
        # The admin API is asked meanwhile: what it answers shows that the second request had its chance.
        for _ in range(5):
            assert (await site.get("/admin/host/status")).status == 200
        assert not second.done()
        (tmp_path / "go").touch()
        assert [(await first).text, (await second).text] == ["done", "hello"]


# Starting and stopping ---------------------------------------------------------------------------------------


async def test_requests_wait_while_the_host_starts(tmp_path: Path) -> None:
    waiting_app = HTTP_APP + APP + "\nwhile not (FOLDER / 'go').exists():\n    time.sleep(0.005)\n"
    write_app(tmp_path, waiting_app)
    async with AsyncExitStack() as stack:
        sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        base = f"http://127.0.0.1:{sock.getsockname()[1]}"
        session = await stack.enter_async_context(aiohttp.ClientSession())
        opening = asyncio.create_task(stack.enter_async_context(open_app(StartOptions(app=tmp_path, listeners=[sock]))))
        early = asyncio.create_task(session.get(f"{base}/api/hello"))
        async with session.get(f"{base}/admin/host/status") as status:
            assert (await status.json())["state"] == "Starting"
        assert not early.done()
        (tmp_path / "go").touch()
        async with await early as answer:
            assert await answer.text() == "hello"
        await opening


async def test_an_app_that_cannot_be_loaded_has_no_functions(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, "raise ValueError('broken')") as site:
        assert (await site.get("/api/hello")).status == 404
        # Instances can be managed while their code is being repaired.
        assert (await site.get("/runtime/webhooks/durabletask/instances")).json() == []
        assert (await site.get("/admin/functions")).json() == []
        assert (await site.get("/")).status == 200
        status = (await site.get("/admin/host/status")).json()
        assert status["state"] == "Running"
        assert "ValueError: broken" in status["errors"][0]
        assert (await site.post("/admin/functions/hello", "{}")).status == 404


async def test_a_host_in_error_responds_with_503_at_once(tmp_path: Path) -> None:
    settings = {"FUNCTIONS_WORKER_RUNTIME": "node"}
    async with run_app(tmp_path, HTTP_APP, "", settings=settings) as site:
        answer = await site.get("/api/hello")
        assert (answer.status, answer.text) == (503, "Function host is not running.")
        status = (await site.get("/admin/host/status")).json()
        assert status["state"] == "Error"
        assert "FUNCTIONS_WORKER_RUNTIME" in status["errors"][0]
        assert (await site.post("/admin/functions/hello", "{}")).status == 404


async def test_running_requests_finish_when_the_host_stops(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(run_app(tmp_path, HTTP_APP, APP))
        port = site.app.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/patient HTTP/1.1\r\nHost: a\r\n\r\n")
        await eventually((tmp_path / "begun").exists, "call of the function")
        stopping = asyncio.create_task(stack.aclose())
        assert await idle_reader.read() == b""
        (tmp_path / "go").touch()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"done" in answer
        await stopping
        writer.close()
        idle_writer.close()


# The log -----------------------------------------------------------------------------------------------------


async def test_both_log_lines_of_a_request_have_its_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        await site.get("/api/hello", headers={"X-ARR-LOG-ID": "the-id", "User-Agent": "test"})
    lines = [record.getMessage() for record in caplog.records if "HTTP request: " in record.getMessage()]
    began, ended = (json.loads(line.partition(": ")[2]) for line in lines)
    assert began == {"requestId": "the-id", "method": "GET", "userAgent": "test", "uri": "/api/hello"}
    assert (ended["requestId"], ended["status"]) == ("the-id", "200")


# Signed-in users ---------------------------------------------------------------------------------------------


async def test_client_principal_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "user.json").write_text('{"name": "ada@example.com", "id": "7", "roles": ["admin"]}')
    async with run_app(tmp_path, HTTP_APP, APP, settings={"AZEMU_CLIENT_PRINCIPAL": "user.json"}) as site:
        headers = (await site.get("/api/who")).json()
        assert headers["x-ms-client-principal-name"] == "ada@example.com"
        assert headers["x-ms-client-principal-id"] == "7"
        assert headers["x-ms-client-principal-idp"] == "aad"
        principal = json.loads(base64.b64decode(headers["x-ms-client-principal"]))
        roles = [claim["val"] for claim in principal["claims"] if claim["typ"] == principal["role_typ"]]
        assert roles == ["admin"]
        own = {"x-ms-client-principal-name": "somebody else"}
        assert (await site.get("/api/who", headers=own)).json() == own


@pytest.mark.parametrize(
    ("principal", "named"),
    [
        (
            {"identityProvider": "github", "userId": "1", "userDetails": "ada", "userRoles": ["anonymous"]},
            {"id": "1", "name": "ada", "idp": "github"},
        ),
        (
            {"auth_typ": "aad", "name_typ": "n", "claims": [{"typ": "n", "val": "Ada"}, {"typ": "sub", "val": "s"}]},
            {"id": "s", "name": "Ada", "idp": "aad"},
        ),
    ],
)
def test_principals_in_the_forms_of_azure_are_passed_on(
    tmp_path: Path, principal: dict[str, Any], named: dict[str, str]
) -> None:
    headers = dict(principal_headers(json.dumps(principal), tmp_path))
    assert json.loads(base64.b64decode(headers.pop("x-ms-client-principal"))) == principal
    assert headers == {f"x-ms-client-principal-{part}": value for part, value in named.items()}


@pytest.mark.parametrize("source", ["missing.json", "{", "list.json"])
def test_an_unreadable_principal_is_a_configuration_error(tmp_path: Path, source: str) -> None:
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="client principal"):
        principal_headers(source, tmp_path)
