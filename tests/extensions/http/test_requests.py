"""HTTP requests as functions receive them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.running_apps import HTTP_APP, RunningApp, run_app
from tests.sdk_releases import AIOHTTP, needs

APP = """
@app.route(route="echo/{*rest}")
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method, "url": req.url, "headers": dict(req.headers), "params": dict(req.params),
        "route": dict(req.route_params), "body": req.get_body().decode("latin-1"),
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")

@app.route(route="body", methods=["POST"])
def body(req: func.HttpRequest) -> str:
    return json.dumps({"body": f"{type(req.get_body()).__name__} {len(req.get_body())}"})

@app.route(route="form", methods=["POST"])
def form(req: func.HttpRequest) -> str:
    return json.dumps({"body": {"form": dict(req.form), "files": {n: read(f) for n, f in req.files.items()}}})

def read(file) -> str:
    with file.stream:
        return file.read().decode()

@app.route(route="parsed", methods=["POST"])
def parsed(req: func.HttpRequest) -> str:
    try:
        return json.dumps({"body": req.get_json()})
    except ValueError as error:
        return str(error)
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        yield site


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("", {}),
        ("?a=1", {"a": "1"}),
        ("?a=1&a=2", {"a": "1,2"}),
        ("?a=1&A=2", {"a": "1,2"}),
        ("?a=&b&c=3", {"c": "3"}),
        ("?Name=Ada+L%C3%B6v%26", {"Name": "Ada Löv&"}),
        ("?a=%ff", {"a": "\ufffd"}),
        ("?code=secret", {"code": "secret"}),
        ("?a=1;b=2", {"a": "1;b=2"}),
    ],
)
async def test_query_parameters(site: RunningApp, query: str, params: dict[str, str]) -> None:
    assert (await site.get(f"/api/echo{query}")).json()["params"] == params


async def test_headers_have_lower_case_names_and_joined_values(site: RunningApp) -> None:
    headers = [("X-Thing", "a"), ("X-Thing", "b"), ("X-Empty", ""), ("X-Text", "Grüße")]
    seen = (await site.get("/api/echo", headers=headers)).json()["headers"]
    assert (seen["x-thing"], seen["x-empty"], seen["x-text"]) == ("a,b", "", "Grüße")
    assert all(name == name.lower() for name in seen)


@pytest.mark.parametrize("target", ["/api/echo/a%20b/%C3%A4%2Fc?x=%41&y=%2B", "/API/Echo", "/api/echo/a:b@c;d=e,f!"])
async def test_the_url_is_as_it_was_sent(site: RunningApp, target: str) -> None:
    seen = (await site.get(target, headers={"Host": "example.test:1234"})).json()
    assert seen["url"] == f"http://example.test:1234{target}"


async def test_an_absolute_target_is_the_same_as_a_path(site: RunningApp) -> None:
    answer = await site.raw(
        b"GET http://other.test/api/echo/x?q=1 HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n"
    )
    assert b'"route": {"rest": "x"}' in answer
    assert b'"params": {"q": "1"}' in answer


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "PROPFIND"])
async def test_a_route_without_methods_accepts_all(site: RunningApp, method: str) -> None:
    assert (await site.request(method, "/api/echo")).json()["method"] == method.upper()


async def test_a_body_is_always_bytes(site: RunningApp) -> None:
    assert (await site.post("/api/body", b"\x00\xff")).text == "bytes 2"
    assert (await site.post("/api/body", "text")).text == "bytes 4"
    assert (await site.post("/api/body")).text == "bytes 0"


async def test_a_chunked_body_arrives(site: RunningApp) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 10_000

    assert (await site.post("/api/body", pieces())).text == "bytes 1000000"


async def test_a_client_that_expects_100_continue_gets_it(site: RunningApp) -> None:
    assert (await site.post("/api/body", b"x" * 5, expect100=True)).text == "bytes 5"


async def test_a_client_of_http_1_0_gets_no_100_continue(site: RunningApp) -> None:
    head = b"POST /api/body HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    answer = await site.raw(head + b"hello")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nbytes 5")


@needs(AIOHTTP, "3.9.0")  # Earlier releases send no response.
async def test_an_upgrade_request_gets_http_1_1(site: RunningApp) -> None:
    """Java's HTTP client and `curl --http2` do so with every request."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
    request = b"POST /api/body HTTP/1.1\r\nHost: a\r\n" + offer + b"Content-Length: 5\r\n\r\nhello"
    reader, writer = await asyncio.open_connection("127.0.0.1", site.app.port)
    for _ in range(2):
        writer.write(request)
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"
        assert b"bytes 5" in await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()


async def test_a_compressed_body_is_not_decompressed(site: RunningApp) -> None:
    packed = (await site.post("/api/echo", b"\x1f\x8b rest", headers={"Content-Encoding": "gzip"})).json()
    assert packed["body"] == "\x1f\x8b rest"


async def test_json_bodies(site: RunningApp) -> None:
    assert (await site.post("/api/parsed", '{"a": [1, "ä"]}')).json() == {"a": [1, "ä"]}
    assert (await site.post("/api/parsed", b"\xff")).text == "HTTP request does not contain valid JSON data"
    assert (await site.post("/api/parsed")).text == "HTTP request does not contain valid JSON data"


async def test_forms_and_files(site: RunningApp) -> None:
    assert (await site.post("/api/form", {"a": "1", "b": "ü"})).json() == {"form": {"a": "1", "b": "ü"}, "files": {}}
    body = '--XX\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\n\r\ncontent\r\n--XX--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=XX"}
    assert (await site.post("/api/form", body, headers=headers)).json() == {"form": {}, "files": {"f": "content"}}


async def test_context_and_trace(tmp_path: Path) -> None:
    source = """
    @app.route(route="t")
    async def t(req: func.HttpRequest, context: func.Context) -> str:
        return context.trace_context.Traceparent + " " + context.function_name
    """
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with run_app(tmp_path, HTTP_APP, source) as site:
        answer = await site.get("/api/t", headers={"traceparent": parent})
        assert answer.text.startswith("00-0af7651916cd43dd8448eb211c80319c-")
        assert answer.text.endswith(" t")
        later = await site.get("/api/t", headers={"traceparent": f"cc{parent[2:]}-more"})
        assert later.text.startswith("00-0af7651916cd43dd8448eb211c80319c-")
        nothing, span = "0" * 32, parent[36:]
        for invalid in (f"00-{nothing}-{span}", f"{parent[:36]}{nothing[:16]}-01", f"ff{parent[2:]}", f"{parent}-more"):
            trace_id = (await site.get("/api/t", headers={"traceparent": invalid})).text.split("-")[1]
            assert trace_id not in ("0af7651916cd43dd8448eb211c80319c", nothing), "a new trace"
