"""FastAPI and Flask, unmodified, behind one function."""

from pathlib import Path

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
