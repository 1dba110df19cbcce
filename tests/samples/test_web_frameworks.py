"""FastAPI and Flask, unmodified, behind one function; streaming with FastAPI's requests and responses."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from emulator.testing import start
from tests.sdk_releases import FUNCTIONS, needs

SAMPLES = Path(__file__).parents[2] / "samples"


@needs(FUNCTIONS, "1.13.3")  # In 1.12 AsgiFunctionApp calls a deprecated method.
async def test_fastapi_serves_its_routes_its_errors_and_its_schema() -> None:
    async with start(SAMPLES / "fastapi") as app:
        added = await app.post("/notes", json={"text": "milk", "pinned": True})
        assert (added.status, added.json()) == (201, {"id": 1})
        assert (await app.get("/notes/1")).json() == {"text": "milk", "pinned": True}
        assert (await app.get("/notes/9")).json() == {"detail": "There is no such note."}
        assert (await app.post("/notes", json={"text": ""})).status == 422
        assert (await app.get("/openapi.json")).json()["info"]["title"] == "Notes"
        assert "text/html" in (await app.get("/docs")).headers["Content-Type"]


@needs(FUNCTIONS, "1.12.0")
async def test_flask_serves_its_routes_and_its_errors() -> None:
    async with start(SAMPLES / "flask") as app:
        added = await app.post("/notes", json={"text": "milk"})
        assert (added.status, added.json()) == (201, {"id": 1})
        assert (await app.get("/notes/1")).json() == {"text": "milk"}
        assert (await app.get("/notes.txt")).text == "milk"
        assert (await app.get("/notes/9")).status == 404
        assert (await app.post("/notes", data="nothing")).status == 400


async def test_csv_is_sent_while_it_is_produced_and_read_while_it_arrives() -> None:
    async def lines() -> AsyncIterator[bytes]:
        # The pieces end within lines.
        yield b"number,celsius\n0,2"
        yield b"0\n1,21\n2,"
        yield b"22"

    async with start(SAMPLES / "streaming") as app, aiohttp.ClientSession(app.url) as session:
        assert (await app.get("/api/export/2")).text == "number,celsius\n0,20\n1,21\n"
        async with session.get("/api/export/1000000000") as download:
            assert download.headers["Content-Type"] == "text/csv; charset=utf-8"
            assert [await download.content.readline() for _ in range(2)] == [b"number,celsius\n", b"0,20\n"]
        uploaded = await app.post("/api/import", data=lines())
        assert uploaded.json() == {"measurements": 3, "mean": 21}
        refused = await app.post("/api/import", data="number,celsius\n1,warm")
        assert (refused.status, refused.json()) == (400, {"error": "Not a measurement: 1,warm"})
        assert (await app.get("/api/export/many")).status == 404
