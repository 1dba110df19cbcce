"""HTTP streaming with azurefunctions-extensions-http-fastapi."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.running_apps import RunningApp, run_app
from tests.sdk_releases import AIOHTTP, needs
from tests.waiting import eventually, logged

PREAMBLE = """
import asyncio, json, logging, os
from pathlib import Path
import azure.functions as func
from azurefunctions.extensions.http.fastapi import JSONResponse, PlainTextResponse, Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
FOLDER = Path(__file__).parent
"""
APP = """
def resident_megabytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc").exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20

@app.route(route="upload/{name}", methods=[func.HttpMethod.POST])
async def upload(req: Request) -> JSONResponse:
    size, before, most = 0, resident_megabytes(), 0
    async for chunk in req.stream():
        size += len(chunk)
        most = max(most, resident_megabytes())
    return JSONResponse({"size": size, "grown": most - before})

@app.route(route="seen/{Name}/{other?}")
async def seen(req: Request, context: func.Context) -> JSONResponse:
    return JSONResponse({
        "method": req.method, "path": req.url.path, "query": dict(req.query_params), "route": req.path_params,
        "agent": req.headers["user-agent"], "host": req.url.netloc, "body": (await req.body()).decode(),
        "same id": req.headers["x-ms-invocation-id"] == context.invocation_id,
    })

@app.route(route="sync")
def sync(req: Request) -> str:
    logging.info("on a thread")
    return "text"

@app.route(route="types/{kind}")
async def types(req: Request):
    return {
        "dict": {"a": 1}, "list": [1, 2], "text": PlainTextResponse("plain", status_code=201, headers={"X-A": "b"}),
        "empty": Response(status_code=204), "none": None,
    }[req.path_params["kind"]]

@app.route(route="events")
async def events(req: Request) -> StreamingResponse:
    async def lines():
        try:
            for number in range(1_000_000):
                yield f"data: {number}\\n\\n"
                (FOLDER / f"sent {number}").touch()
                # The client decides when the next one comes.
                while not (FOLDER / str(number)).exists():
                    await asyncio.sleep(0.005)
        finally:
            (FOLDER / "over").touch()
    return StreamingResponse(lines(), media_type="text/event-stream")

@app.route(route="fails")
async def fails(req: Request) -> str:
    raise ValueError("boom")

@app.route(route="beyond-ascii")
async def beyond_ascii(req: Request) -> StreamingResponse:
    async def pieces():
        for _ in range(20):
            yield b"x" * 65536
    return StreamingResponse(pieces(), headers={"X-Name": "Zo\u00eb"})

@app.route(route="breaks")
async def breaks(req: Request) -> StreamingResponse:
    async def pieces():
        yield b"one"
        raise ValueError("broke")
    return StreamingResponse(pieces())

@app.route(route="refuses")
async def refuses(req: Request) -> str:
    from fastapi import HTTPException
    raise HTTPException(418, "teapot")

@app.route(route="large")
async def large(req: Request) -> StreamingResponse:
    async def pieces():
        for _ in range(1600):
            yield b"x" * 65536
    return StreamingResponse(pieces())
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, PREAMBLE, APP) as site:
        yield site


async def megabytes(count: int) -> AsyncIterator[bytes]:
    piece = b"x" * 65536
    for _ in range(16 * count):
        yield piece


async def test_an_upload_of_200_megabytes_takes_little_memory(site: RunningApp) -> None:
    answer = (await site.post("/api/upload/x", megabytes(200))).json()
    assert answer["size"] == 200 * 2**20
    if sys.platform == "linux":
        assert answer["grown"] < 60


async def test_a_download_arrives_whole(site: RunningApp) -> None:
    assert len((await site.get("/api/large")).body) == 1600 * 65536


async def test_the_request_that_a_function_receives(site: RunningApp) -> None:
    answer = await site.post("/api/seen/A%20b?x=1&y=", "hello", headers={"User-Agent": "me", "Host": "h.test"})
    assert answer.json() == {
        "method": "POST",
        "path": "/api/seen/A b",
        "query": {"x": "1", "y": ""},
        "route": {"Name": "A b"},
        "agent": "me",
        "body": "hello",
        "same id": True,
        "host": "h.test",
    }


async def test_a_request_without_a_body_has_an_empty_one(site: RunningApp) -> None:
    answer = (await site.get("/api/seen/A")).json()
    assert (answer["method"], answer["body"]) == ("GET", "")
    assert (await site.post("/api/upload/x")).json()["size"] == 0


async def test_a_request_without_a_host_header(site: RunningApp) -> None:
    answer = await site.raw(b"GET /api/seen/A HTTP/1.0\r\nUser-Agent: me\r\n\r\n")
    assert f'"host":"127.0.0.1:{site.app.port}"'.encode() in answer
    empty = await site.raw(b"GET /api/seen/A HTTP/1.1\r\nHost:\r\nUser-Agent: me\r\nConnection: close\r\n\r\n")
    assert empty.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_return_values_of_functions(site: RunningApp) -> None:
    answer = await site.get("/api/types/text")
    assert (answer.status, answer.text, answer.headers["X-A"]) == (201, "plain", "b")
    assert (await site.get("/api/types/dict")).json() == {"a": 1}
    assert (await site.get("/api/types/list")).json() == [1, 2]
    assert (await site.get("/api/types/empty")).status == 204
    assert (await site.get("/api/sync")).json() == "text"


async def test_logs_of_a_thread_belong_to_the_invocation(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await site.get("/api/sync")
    loggers = [record.name for record in caplog.records if record.getMessage() == "on a thread"]
    assert any(name.endswith("Function.sync.User") for name in loggers)


@needs(AIOHTTP, "3.9.0")  # `readuntil` of earlier releases accepts separators of one byte only.
async def test_events_arrive_one_by_one_until_the_client_disconnects(site: RunningApp, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{site.app.port}/api/events"
    async with site.session.get(url) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        for number in range(3):
            assert await response.content.readuntil(b"\n\n") == f"data: {number}\n\n".encode()
            if number < 2:
                (tmp_path / str(number)).touch()
        # The generator must be suspended in its sleep when the client disconnects. One that is suspended at a `yield`
        # is not cancelled but closed by the garbage collector, at some later time. It runs on a thread of its own,
        # so that the client may read an event before the generator has left the `yield`.
        await eventually((tmp_path / "sent 2").exists, "wait of the generator")
        assert not (tmp_path / "over").exists()
        response.close()
    await eventually((tmp_path / "over").exists, "end of the generator")


async def test_a_function_that_fails(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    answer = await site.get("/api/fails")
    assert (answer.status, answer.text) == (500, "Internal Server Error")
    await logged(caplog, "Exception: ValueError: boom")
    # The frames of the web framework do not concern the user.
    assert "starlette" not in caplog.text


async def test_a_header_beyond_ascii_is_refused(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    answer = await site.get("/api/beyond-ascii")
    assert (answer.status, answer.body) == (500, b"")
    await logged(caplog, "The function returned the HTTP header 'x-name': 'Zoë', which cannot be sent.")
    assert (await site.get("/api/seen/a")).status == 200


async def test_a_function_that_returns_nothing(site: RunningApp) -> None:
    answer = await site.get("/api/types/none")
    assert (answer.status, answer.text) == (500, "Internal Server Error")


async def test_an_http_exception_of_the_framework(site: RunningApp) -> None:
    answer = await site.get("/api/refuses")
    assert (answer.status, answer.json()) == (418, {"detail": "teapot"})


async def test_the_connection_is_closed_if_a_response_breaks_off(
    site: RunningApp, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await site.get("/api/breaks")
    assert any(
        "could not be sent" in record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    )
    assert (await site.get("/api/sync")).status == 200


async def test_head_and_a_client_that_does_not_read(site: RunningApp) -> None:
    assert (await site.request("HEAD", "/api/large")).body == b""
    assert (await site.get("/api/sync")).status == 200


async def test_a_plain_http_request_in_a_streaming_app_is_rejected_as_by_the_official_worker(tmp_path: Path) -> None:
    source = """
    @app.route(route="new")
    async def new(req: Request) -> str:
        return ""

    @app.route(route="old")
    def old(req: func.HttpRequest) -> str:
        return ""
    """
    async with run_app(tmp_path, PREAMBLE, source) as site:
        status = (await site.get("/admin/host/status")).json()
        assert status["state"] == "Running"
        assert "cannot load the old function" in status["errors"][0]


async def test_an_app_that_does_not_use_the_imported_extension_gets_plain_requests(tmp_path: Path) -> None:
    source = """
    @app.route(route="old")
    def old(req: func.HttpRequest) -> str:
        return json.dumps({"body": "old"})
    """
    async with run_app(tmp_path, PREAMBLE, source) as site:
        assert (await site.get("/api/old")).text == "old"
