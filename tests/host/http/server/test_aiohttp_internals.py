"""The overridden internals of aiohttp: they are as expected, listed completely, and the server works without them."""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import emulator
from emulator.clock import SystemClock
from emulator.host.http.server import aiohttp_internals, connections
from emulator.host.http.server.aiohttp_internals import INTERNALS, KestrelConnection, KestrelServer, incompatibility
from emulator.host.http.server.connections import PlainServer, listen, wait_until_disconnected
from tests.running_apps import HTTP_APP, run_app

APP = """
@app.route(route="size", methods=["POST", "GET"])
def size(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(len(req.get_body())))
"""
PACKAGE = Path(emulator.__file__).parent
# Names that belong to the undocumented part of aiohttp wherever they appear.
UNDOCUMENTED = {"http_exceptions", "http_parser", "http_writer", "web_protocol", "output_size", "_handle_request"}


@pytest.fixture(autouse=True)
def forget_checks() -> Iterator[None]:
    """The check of aiohttp is cached per process."""
    incompatibility.cache_clear()
    connections._can_use_internals.cache_clear()
    yield
    incompatibility.cache_clear()
    connections._can_use_internals.cache_clear()


async def finish_response_of_the_future(self: Any, request: Any, response: Any, began_at: Any) -> Any:
    return await FINISH_RESPONSE(self, request, response, began_at)


FINISH_RESPONSE = web.RequestHandler.finish_response


@pytest.fixture
def changed_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """An aiohttp one of whose internals has other parameters."""
    monkeypatch.setattr(web.RequestHandler, "finish_response", finish_response_of_the_future)


def test_the_installed_aiohttp_has_all_internals() -> None:
    assert incompatibility() is None


@pytest.mark.parametrize(("subclass", "base"), [(KestrelConnection, web.RequestHandler), (KestrelServer, web.Server)])
def test_all_inherited_members_that_are_used_are_listed(subclass: type, base: type) -> None:
    tree = ast.parse(inspect.getsource(subclass))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and _is_self(node.value)}
    overridden = {name for name in vars(subclass) if name in vars(base) and inspect.isfunction(vars(base)[name])}
    inherited = {name for name in used | overridden if hasattr(base, name) and not hasattr(object, name)}
    listed = {name.rpartition(".")[2] for name in INTERNALS if name.startswith(f"aiohttp.web.{base.__name__}.")}
    assert inherited
    assert inherited - listed == set()


def _is_self(node: ast.expr) -> bool:
    """`self` or `super()`."""
    return (isinstance(node, ast.Name) and node.id == "self") or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super"
    )


def test_no_other_module_uses_internals_of_aiohttp() -> None:
    users = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "aiohttp" not in text:
            continue
        nodes = list(ast.walk(ast.parse(text)))
        names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        names |= {alias.name for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
        if names & UNDOCUMENTED:
            users.add(path.name)
    assert users == {"aiohttp_internals.py"}


def test_a_missing_internal_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INTERNALS, "aiohttp.web.RequestHandler.no_such_method", ())
    assert incompatibility() == "it has no aiohttp.web.RequestHandler.no_such_method"


def test_a_missing_module_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(INTERNALS, "aiohttp.no_such_module.Thing", ())
    assert incompatibility() == "it has no aiohttp.no_such_module.Thing"


@pytest.mark.usefixtures("changed_aiohttp")
def test_a_changed_signature_is_reported() -> None:
    assert incompatibility() == "aiohttp.web.RequestHandler.finish_response has no parameter resp"


def test_another_major_version_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp, "__version__", "4.0.0")
    assert incompatibility() == "azemu knows only aiohttp 3"


@pytest.mark.usefixtures("changed_aiohttp")
async def test_plain_aiohttp_serves_an_app_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        first = await site.post("/api/size", b"12345")
        assert (first.status, first.text, first.headers["Server"]) == (200, "5", "Kestrel")
        assert (await site.post("/api/size", b"x" * 10, compress="gzip")).text != "10"
        assert (await site.get("/api/nothing")).status == 404
        assert b" 400 " in await site.raw(b"GET /api/size HTTP/1.1\r\nHost: a/b\r\n\r\n")
        many = "".join(f"X-{number}: y\r\n" for number in range(101))
        assert b" 431 " in await site.raw(f"GET /api/size HTTP/1.1\r\nHost: a\r\n{many}\r\n".encode())
        assert b" 505 " in await site.raw(b"GET /api/size HTTP/2.0\r\nHost: a\r\n\r\n")
    async with listen(answer_path, SystemClock()):
        pass
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "finish_response has no parameter resp. Requests are served by plain aiohttp." in warning.getMessage()
    assert "pip install 'aiohttp<4'" in warning.getMessage()


@pytest.mark.usefixtures("changed_aiohttp")
async def test_plain_aiohttp_finishes_running_requests_before_it_stops() -> None:
    arrived, finish = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await finish.wait()
        return web.Response(text="done")

    async with listen(answer, SystemClock()) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await arrived.wait()
        assert listener.running_requests == 1
        draining = asyncio.create_task(listener.drain(10))
        await asyncio.sleep(0.01)
        assert not draining.done()
        finish.set()
        await draining
        response = await reader.read()
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in response
    assert response.endswith(b"done")
    writer.close()


@pytest.mark.parametrize("plain", [False, True])
async def test_a_handler_notices_that_its_client_disconnected(plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if plain:
        monkeypatch.setattr(aiohttp, "__version__", "4.0.0")
    arrived, disconnected = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await wait_until_disconnected(request)
        disconnected.set()
        return web.Response()

    async with listen(answer, SystemClock()) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await arrived.wait()
        writer.close()
        async with asyncio.timeout(10):
            await disconnected.wait()


async def test_plain_aiohttp_gets_the_options_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(aiohttp_internals.CONNECTION_OPTIONS, "option_that_was_removed", 1)
    PlainServer(answer_path)()


async def answer_path(request: web.Request) -> web.StreamResponse:
    return web.Response(text=request.path)
