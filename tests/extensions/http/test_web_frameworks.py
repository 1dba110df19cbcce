"""FastAPI and Flask applications, unmodified, behind AsgiFunctionApp and WsgiFunctionApp."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.running_apps import RunningApp, run_app
from tests.sdk_releases import FUNCTIONS, needs

NO_PREFIX = {"extensions": {"http": {"routePrefix": ""}}}

FASTAPI = """
from contextlib import asynccontextmanager
from pathlib import Path

import azure.functions as func
from fastapi import Cookie, FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from pydantic import BaseModel

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(web):
    web.state.greeting = "Hello"
    yield
    (HERE / "stopped").touch()


web = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float


@web.get("/")
async def root():
    return {"page": "root"}


@web.get("/hello/{name}")
async def hello(name: str, request: Request, loud: bool = False):
    text = f"{request.app.state.greeting}, {name}"
    return {"text": text.upper() if loud else text, "url": str(request.url)}


@web.post("/items", status_code=201)
async def create(item: Item):
    return item


@web.get("/sync")
def sync():
    return "from a thread"


@web.get("/cookies")
async def cookies(response: Response, seen: str | None = Cookie(None)):
    response.set_cookie("seen", "yes", httponly=True)
    response.set_cookie("other", "1")
    return {"seen": seen}


@web.get("/away")
async def away():
    return RedirectResponse("/hello/you")


@web.get("/teapot")
async def teapot():
    raise HTTPException(418, "short and stout")


@web.get("/parts")
async def parts():
    async def pieces():
        for number in range(3):
            yield f"{number};"
    return StreamingResponse(pieces(), media_type="text/plain")


@web.post("/upload")
async def upload(request: Request):
    return {"size": len(await request.body())}


app = func.AsgiFunctionApp(app=web, http_auth_level=func.AuthLevel.ANONYMOUS)
"""

FLASK = """
import azure.functions as func
from flask import Flask, Response, jsonify, make_response, redirect, request

web = Flask(__name__)


@web.get("/hello/<name>")
def hello(name):
    return jsonify(text=f"Hello, {name}", loud=request.args.get("loud"), url=request.url)


@web.post("/items")
def create():
    return jsonify(request.get_json()), 201


@web.post("/form")
def form():
    return jsonify(request.form)


@web.get("/cookies")
def cookies():
    response = make_response("set")
    response.set_cookie("a", "1", httponly=True)
    response.set_cookie("b", "2")
    return response


@web.get("/away")
def away():
    return redirect("/hello/you")


@web.get("/boom")
def boom():
    raise ValueError("boom")


app = func.WsgiFunctionApp(app=web.wsgi_app, http_auth_level=func.AuthLevel.ANONYMOUS)
"""


@pytest.fixture
async def fastapi(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, FASTAPI, host=NO_PREFIX) as site:
        yield site


@pytest.fixture
async def flask(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, FLASK, host=NO_PREFIX) as site:
        yield site


async def test_fastapi_routes_and_parameters(fastapi: RunningApp) -> None:
    answer = await fastapi.get("/hello/Ada%20L?loud=true")
    assert answer.json()["text"] == "HELLO, ADA L"
    assert answer.headers["Content-Type"] == "application/json"
    assert (await fastapi.get("/")).json() == {"page": "root"}
    assert (await fastapi.get("/sync")).json() == "from a thread"


async def test_fastapi_validates_bodies(fastapi: RunningApp) -> None:
    json_type = {"Content-Type": "application/json"}
    created = await fastapi.post("/items", '{"name": "book", "price": 12.5}', headers=json_type)
    assert (created.status, created.json()) == (201, {"name": "book", "price": 12.5})
    assert (await fastapi.post("/items", '{"name": "book"}', headers=json_type)).status == 422


async def test_fastapi_answers_for_what_it_does_not_have(fastapi: RunningApp) -> None:
    missing = await fastapi.get("/nothing")
    assert (missing.status, missing.json()) == (404, {"detail": "Not Found"})
    assert (await fastapi.post("/hello/x")).status == 405
    assert (await fastapi.get("/teapot")).status == 418


async def test_fastapi_documents_itself(fastapi: RunningApp) -> None:
    assert "/hello/{name}" in (await fastapi.get("/openapi.json")).json()["paths"]
    assert "swagger" in (await fastapi.get("/docs")).text


async def test_fastapi_cookies_redirects_and_streams(fastapi: RunningApp) -> None:
    answer = await fastapi.get("/cookies", headers={"Cookie": "seen=before"})
    assert answer.json() == {"seen": "before"}
    assert [cookie.split(";")[0] for cookie in answer.cookies] == ["seen=yes", "other=1"]
    assert "httponly" in answer.cookies[0]
    away = await fastapi.get("/away")
    assert (away.status, away.headers["Location"]) == (307, "/hello/you")
    assert (await fastapi.get("/parts")).text == "0;1;2;"


async def test_fastapi_raw_bodies(fastapi: RunningApp) -> None:
    assert (await fastapi.post("/upload", b"\0" * 500_000)).json() == {"size": 500_000}


async def test_the_life_of_a_fastapi_app_is_that_of_the_host(tmp_path: Path) -> None:
    async with run_app(tmp_path, FASTAPI, host=NO_PREFIX) as site:
        await site.get("/")
        assert not (tmp_path / "stopped").exists()
    assert (tmp_path / "stopped").exists()


async def test_the_admin_api_is_there_beside_an_app_that_takes_all_paths(fastapi: RunningApp) -> None:
    assert (await fastapi.get("/admin/host/status")).json()["state"] == "Running"


async def test_flask_routes_and_parameters(flask: RunningApp) -> None:
    answer = await flask.get("/hello/Ada?loud=1")
    assert answer.json() == {
        "text": "Hello, Ada",
        "loud": "1",
        "url": f"http://127.0.0.1:{flask.app.port}/hello/Ada?loud=1",
    }
    assert (await flask.get("/nothing")).status == 404
    assert (await flask.get("/items")).status == 405


async def test_flask_says_the_length_to_head(flask: RunningApp) -> None:
    whole = await flask.get("/hello/Ada")
    head = await flask.request("HEAD", "/hello/Ada")
    assert (head.status, head.body) == (200, b"")
    # The URL in the answer is the same, and so is the length.
    assert head.headers["Content-Length"] == str(len(whole.body))


async def test_flask_bodies(flask: RunningApp) -> None:
    created = await flask.post("/items", '{"a": "ü"}', headers={"Content-Type": "application/json"})
    assert (created.status, created.json()) == (201, {"a": "ü"})
    assert (await flask.post("/form", {"a": "1"})).json() == {"a": "1"}


async def test_flask_cookies_and_redirects(flask: RunningApp) -> None:
    cookies = (await flask.get("/cookies")).cookies
    assert [cookie.split(";")[0] for cookie in cookies] == ["a=1", "b=2"]
    away = await flask.get("/away")
    assert (away.status, away.headers["Location"]) == (302, "/hello/you")


@needs(FUNCTIONS, "1.13.3")  # Earlier releases send the page of the framework.
async def test_an_error_in_flask_is_an_empty_500(flask: RunningApp) -> None:
    # The library makes an exception of every 5xx of a WSGI app, so Flask's page is lost, as it is on Azure.
    answer = await flask.get("/boom")
    assert (answer.status, answer.body) == (500, b"")
