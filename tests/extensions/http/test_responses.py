"""HTTP responses made from the results of functions."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.running_apps import HTTP_APP, RunningApp, run_app

APP = """
@app.route(route="made")
def made(req: func.HttpRequest) -> func.HttpResponse:
    p = req.params
    return func.HttpResponse(
        req.get_body() or p.get("body"), status_code=int(p.get("status", 200)), mimetype=p.get("type"),
        headers=json.loads(p.get("headers", "{}")) or None,
    )

@app.route(route="text")
def text(req: func.HttpRequest) -> str:
    return req.params.get("t", "")

@app.route(route="nothing")
def nothing(req: func.HttpRequest):
    return None

@app.route(route="dictionary")
def dictionary(req: func.HttpRequest):
    return {"a": 1}

@app.route(route="raises")
def raises(req: func.HttpRequest) -> str:
    raise ValueError("boom")

@app.route(route="asynchronous")
async def asynchronous(req: func.HttpRequest) -> func.HttpResponse:
    await asyncio.sleep(0)
    return func.HttpResponse("later")

@app.function_name("named")
@app.generic_trigger(arg_name="req", type="httpTrigger", route="named", auth_level="anonymous")
@app.generic_output_binding(arg_name="resp", type="http")
def named(req: func.HttpRequest, resp: func.Out[func.HttpResponse]) -> None:
    if "set" in req.params:
        resp.set(func.HttpResponse("named", status_code=201))

@app.function_name("bare")
@app.generic_trigger(arg_name="req", type="httpTrigger", route="bare", auth_level="anonymous")
def bare(req: func.HttpRequest) -> None:
    pass
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        yield site


async def test_a_plain_response(site: RunningApp) -> None:
    answer = await site.get("/api/made?body=hi")
    assert (answer.status, answer.text) == (200, "hi")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Server"] == "Kestrel"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Date" in answer.headers


async def test_status_type_and_headers(site: RunningApp) -> None:
    answer = await site.get(
        '/api/made?body=%7B%7D&status=201&type=application/json&headers={"X-A":"1","Location":"/x"}'
    )
    assert (answer.status, answer.text) == (201, "{}")
    assert answer.headers["Content-Type"] == "application/json"
    assert (answer.headers["X-A"], answer.headers["Location"]) == ("1", "/x")


async def test_an_empty_body_has_a_length(site: RunningApp) -> None:
    answer = await site.get("/api/made?status=404")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (404, b"", "0")
    assert "Transfer-Encoding" not in answer.headers


async def test_bytes_are_not_changed(site: RunningApp) -> None:
    body = bytes(range(256)) * 2000
    assert (await site.post("/api/made?type=application/octet-stream", body)).body == body


@pytest.mark.parametrize("status", [204, 304])
async def test_some_statuses_have_no_body(site: RunningApp, status: int) -> None:
    raw = await site.raw(
        f"GET /api/made?status={status}&body=x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert body == b""
    assert b"chunked" not in head


async def test_the_response_to_head_has_no_body(site: RunningApp) -> None:
    raw = await site.raw(b"HEAD /api/made?body=x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""


async def test_http_1_0_gets_no_chunks(site: RunningApp) -> None:
    raw = await site.raw(b"GET /api/made?body=hello HTTP/1.0\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert body == b"hello"


async def test_a_content_length_of_the_function_is_kept(site: RunningApp) -> None:
    answer = await site.get('/api/made?body=four&headers={"Content-Length":"4"}')
    assert (answer.text, answer.headers["Content-Length"]) == ("four", "4")


@pytest.mark.parametrize(
    "query", ["status=42", 'body=four&headers={"Content-Length":"3"}', 'headers={"bad%20name":"x"}']
)
async def test_a_response_that_cannot_be_sent_is_an_error_of_the_function(
    site: RunningApp, query: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await site.get(f"/api/made?{query}")
    assert (answer.status, answer.body) == (500, b"")
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR][-1].startswith(
        "The function returned"
    )
    assert (await site.get("/api/made?body=next")).text == "next"


async def test_cookies_are_serialised_by_the_host(site: RunningApp) -> None:
    answer = await site.get('/api/made?headers={"Set-Cookie":"foo=bar"}')
    assert answer.cookies == ["foo=bar; domain=; path="]
    answer = await site.get('/api/made?headers={"Set-Cookie":"foo=bar;%20Path=/;%20HttpOnly;%20SameSite=Lax"}')
    assert answer.cookies == ["foo=bar; domain=; path=/; samesite=lax; httponly"]
    assert (await site.get('/api/made?headers={"Set-Cookie":""}')).cookies == []


async def test_text_that_is_json_is_indented_or_read_as_a_response(site: RunningApp) -> None:
    assert (await site.get("/api/text?t=hi")).text == "hi"
    assert (await site.get('/api/text?t={"a":1}')).text == '{\n  "a": 1\n}'
    answer = await site.get('/api/text?t={"body":"no","status":409,"headers":{"X-A":"b"}}')
    assert (answer.status, answer.text, answer.headers["X-A"]) == (409, "no", "b")
    answer = await site.get("/api/text")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


async def test_async_functions(site: RunningApp) -> None:
    assert (await site.get("/api/asynchronous")).text == "later"


async def test_a_named_output_is_the_response(site: RunningApp) -> None:
    answer = await site.get("/api/named?set=1")
    assert (answer.status, answer.text) == (201, "named")
    answer = await site.get("/api/named")
    assert (answer.status, answer.body) == (204, b"")


async def test_a_function_without_output_responds_with_204(site: RunningApp) -> None:
    assert (await site.get("/api/bare")).status == 204


@pytest.mark.parametrize("route", ["nothing", "dictionary", "raises"])
async def test_a_failed_function_is_an_empty_500(site: RunningApp, route: str) -> None:
    answer = await site.get(f"/api/{route}")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (500, b"", "0")
    assert "Content-Type" not in answer.headers
