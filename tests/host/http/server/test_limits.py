"""Invalid requests and slow clients: they get a response or are disconnected, without a traceback in the log."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from emulator.clock import SystemClock
from emulator.host.http.server.connections import listen
from emulator.listening import PortUnavailable
from tests.running_apps import HTTP_APP, RunningApp, run_app
from tests.sdk_releases import AIOHTTP, needs

APP = """
@app.route(route="size", methods=["POST", "GET"])
def size(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(len(req.get_body())))
"""
# aiohttp 3.8 responds with 505 and 404.
NEW_PARSER = needs(AIOHTTP, "3.9.0")
POST = "POST /api/size HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture
async def site(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[RunningApp]:
    """A running app that must still respond, and must have logged no warning, after each test."""
    async with run_app(tmp_path, HTTP_APP, APP, settings={"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1000000"}) as site:
        yield site
        assert (await site.post("/api/size", b"12345")).text == "5"
        assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
        assert [record for record in caplog.records if record.exc_info and record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (POST + "Content-Length: abc\r\n\r\n", 400),
        (POST + "Content-Length: -1\r\n\r\n", 400),
        (POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (POST + "Content-Length: 5, 6\r\n\r\nhello", 400),
        (POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("nonsense\r\n\r\n", 400),
        pytest.param("GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400, marks=NEW_PARSER),
        ("GET /api/size HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("GET /api/size HTTP/0.9\r\nHost: a\r\n\r\n", 505),
        ("GET /api/size HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\nHost: <script>\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
        ("GET /api/size HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        pytest.param("GET /api/s\u00edze HTTP/1.1\r\nHost: a\r\n\r\n", 400, marks=NEW_PARSER),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting", 400),
        ("GET /" + "x" * 20_000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "y" * 40_000 + "\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"X-{n}: y\r\n" for n in range(101)) + "\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"X-{n}: {'y' * 1000}\r\n" for n in range(40)) + "\r\n", 431),
        (POST + "Content-Length: 1000001\r\n\r\n", 413),
        (POST + "Transfer-Encoding: chunked\r\n\r\n" + f"10000\r\n{'z' * 65536}\r\n" * 20 + "0\r\n\r\n", 413),
    ],
)
async def test_an_invalid_request_is_rejected_and_the_connection_closed(
    site: RunningApp, request_text: str, status: int
) -> None:
    answer = await site.raw(request_text.encode("utf-8"), until=b"\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Content-Length: 0\r\n" in answer
    assert b"Connection: close\r\n" in answer


async def test_headers_that_are_not_utf_8_are_rejected(site: RunningApp) -> None:
    answer = await site.raw(b"GET /api/size HTTP/1.1\r\nHost: a\r\nX: \xff\xfe\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_ten_megabytes_of_headers(site: RunningApp) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(10_000))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.app.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    try:
        answer = await reader.read()
    except ConnectionResetError:
        # The server closed while we were still sending, and the operating system threw the answer away.
        answer = b""
    assert answer == b"" or b" 431 " in answer or b" 400 " in answer
    writer.close()


async def test_a_client_that_disconnects_within_its_body(site: RunningApp) -> None:
    for piece in (b"Content-Length: 100\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.app.port)
        writer.write(POST.encode() + piece)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        del reader


async def test_a_client_that_disconnects_before_the_response(site: RunningApp) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.app.port)
    writer.write(POST.encode() + b"Content-Length: 2\r\n\r\nhi")
    await writer.drain()
    writer.close()


async def test_pipelined_requests_on_one_connection(site: RunningApp) -> None:
    one = POST.encode() + b"Content-Length: 2\r\n\r\nhi"
    last = POST.encode() + b"Content-Length: 3\r\nConnection: close\r\n\r\nbye"
    answer = await site.raw(one * 3 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 4


async def test_the_body_size_limit(site: RunningApp) -> None:
    assert (await site.post("/api/size", b"x" * 1_000_000)).text == "1000000"
    assert (await site.post("/api/size", b"x" * 1_000_001)).status == 413


async def answer_ok(request: web.Request) -> web.StreamResponse:
    return web.Response(text=request.path)


async def test_no_client_is_rejected_when_a_new_server_takes_over_the_socket() -> None:
    """Clients in the backlog, accepted ones and connected ones without a request all get a response."""
    request, clients = b"GET /in HTTP/1.1\r\nHost: a\r\n\r\n", []
    with socket.create_server(("127.0.0.1", 0)) as sock:
        for turns in range(8):
            async with listen(answer_ok, SystemClock(), sockets=[sock]) as listener:
                arrivals = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(5)]
                for _ in range(turns):
                    await asyncio.sleep(0)
                async with asyncio.TaskGroup() as group:
                    group.create_task(listener.drain(10))
                    for _, writer in arrivals:
                        writer.write(request)
            clients += arrivals
        async with listen(answer_ok, SystemClock(), sockets=[sock]):
            for reader, writer in clients:
                assert await reader.readuntil(b"/in")
                writer.close()


@pytest.mark.parametrize("beginning", [b"GE", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_a_client_that_sends_its_head_too_slowly_gets_a_408(beginning: bytes) -> None:
    async with listen(answer_ok, SystemClock(), head_seconds=0.05) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(beginning)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        writer.close()


async def test_the_time_limit_for_a_head_restarts_with_every_request() -> None:
    async with listen(answer_ok, SystemClock(), head_seconds=0.05) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await reader.readuntil(b"/one")
        writer.write(b"GET /two HTTP/1.1\r\n")
        assert b" 408 " in await reader.read()
        writer.close()


async def test_an_error_about_a_port_in_use_names_the_options() -> None:
    async with listen(answer_ok, SystemClock()) as listener:
        with pytest.raises(PortUnavailable) as refused:
            async with listen(answer_ok, SystemClock(), port=listener.port):
                pass
    assert str(refused.value).startswith(f"Port {listener.port} is unavailable. Close the process using that port")
    assert "--port" in str(refused.value)


async def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(PortUnavailable, match=r"Cannot listen on address 192\.0\.2\.1"):
        async with listen(answer_ok, SystemClock(), address="192.0.2.1"):
            pass
