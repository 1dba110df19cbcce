"""Manual runs of blob triggers over HTTP: for a stored blob, or for content that the caller sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.extensions.blobs.blob_apps import BlobApp, run_blob_app, trigger
from tests.waiting import eventually


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[BlobApp]:
    # The second has no listener, because its connection is not set, but can be run with content.
    unconnected = trigger("unconnected", "photos/{name}.png").replace("AzureWebJobsStorage", "Elsewhere")
    settings = {"AzureWebJobs.photo.Disabled": "true"}
    async with run_blob_app(tmp_path, trigger("photo", "photos/{name}.png"), unconnected, settings=settings) as app:
        yield app


async def invoke(app: BlobApp, function: str, **request: Any) -> Any:
    return await app.running.request("POST", f"/admin/azemu/functions/{function}/invoke", json=request)


async def test_a_stored_blob_is_read(app: BlobApp) -> None:
    missing = await invoke(app, "photo", input="photos/a.png")
    assert "There is no blob 'photos/a.png' for function 'photo'." in missing.json()["error"]
    await app.upload("photos/a.png", "stored", {"Colour": "red"})
    assert (await invoke(app, "photo", input="photos/a.png")).status == 200
    [line] = app.received
    assert (line["name"], line["length"], line["metadata"]) == ("photos/a.png", 6, {"Colour": "red"})
    assert bytes.fromhex(line["content"]) == b"stored"
    # The endpoint of the Functions host, which runs disabled functions, too.
    answer = await app.running.request("POST", "/admin/functions/photo", json={"input": "photos/a.png"})
    assert answer.status == 202
    await eventually(lambda: len(app.received) == 2, "the second run")


async def test_content_of_the_caller(app: BlobApp) -> None:
    sent = {"BlobTrigger": "photos/b.png", "Metadata": {"n": "1"}, "Uri": "https://x/y"}
    assert (await invoke(app, "unconnected", input="content", metadata=sent)).status == 200
    assert (
        await invoke(app, "unconnected", inputBase64="/wA=", metadata={"blobtrigger": "photos/c.png"})
    ).status == 200
    first, second = app.received
    assert (first["name"], first["uri"], first["length"]) == ("photos/b.png", "https://x/y", 7)
    assert first["metadata"] == {"n": "1"}
    assert (second["name"], second["content"]) == ("photos/c.png", "ff00")


@pytest.mark.parametrize("path", ["photos/a.jpg", "other/a.png", "photos", ""])
async def test_a_path_that_the_trigger_does_not_match_is_refused(app: BlobApp, path: str) -> None:
    answer = await invoke(app, "photo", input=path)
    assert answer.status == 400
    text = f"must be the path of a blob that matches 'photos/{{name}}.png'. It is: {path or 'empty'}"
    assert text in answer.json()["error"]
    assert app.received == []
