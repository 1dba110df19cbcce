"""Where expressions in the paths of blob bindings get their values from: blob triggers, and events with URLs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.extensions.blobs.test_blob_input import container_of, fill
from tests.running_apps import HTTP_APP, run_app


@pytest.mark.parametrize("data_type", ["", ", data_type=func.DataType.STRING"])
async def test_the_content_of_a_blob_gives_no_values(tmp_path: Path, data_type: str) -> None:
    code = f"""
    @app.blob_trigger(arg_name="blob", path="things/{{name}}", connection="AzureWebJobsStorage"{data_type})
    @app.blob_output(arg_name="out", path="out/{{id}}.txt", connection="AzureWebJobsStorage")
    def by_id(blob: func.InputStream, out: func.Out[str]):
        out.set("x")

    @app.blob_trigger(arg_name="blob", path="things/{{name}}", connection="AzureWebJobsStorage"{data_type})
    @app.blob_output(arg_name="out", path="out/{{name}}-{{properties.contentLength}}", connection="AzureWebJobsStorage")
    @app.blob_output(arg_name="other", path="out/{{METADATA.colour}}", connection="AzureWebJobsStorage")
    def by_name(blob: func.InputStream, out: func.Out[str], other: func.Out[str]):
        out.set("x")
        other.set("y")
    """
    async with run_app(tmp_path, HTTP_APP, code) as app:
        await fill(app, "things")
        await container_of(app, "things").write("a.json", b'{"id": "7"}', metadata={"Colour": "red"})
        answer = await app.post("/admin/azemu/functions/by_id/invoke", json.dumps({"input": "things/a.json"}))
        assert answer.status == 500
        assert "No value for named parameter 'id'." in answer.json()["error"]
        answer = await app.post("/admin/azemu/functions/by_name/invoke", json.dumps({"input": "things/a.json"}))
        assert answer.status == 200, answer.text
        assert await container_of(app, "out").read("a.json-11") == b"x"
        assert await container_of(app, "out").read("red") == b"y"


async def test_the_blob_of_an_event_is_read(tmp_path: Path) -> None:
    code = """
    @app.event_grid_trigger(arg_name="event")
    @app.blob_input(arg_name="blob", path="{data.url}", connection="AzureWebJobsStorage")
    @app.blob_output(arg_name="out", path="seen/{data.api}", connection="AzureWebJobsStorage")
    def arrived(event: func.EventGridEvent, blob: str, out: func.Out[str]):
        out.set(blob)

    @app.event_grid_trigger(arg_name="event")
    @app.blob_output(arg_name="out", path="seen/{subject}", connection="AzureWebJobsStorage")
    def by_subject(event: func.EventGridEvent, out: func.Out[str]):
        out.set("x")

    @app.event_grid_trigger(arg_name="event")
    @app.blob_input(arg_name="blob", path="seen/{data.nothing}", connection="AzureWebJobsStorage")
    def by_nothing(event: func.EventGridEvent, blob: str):
        pass
    """
    event = {
        "id": "1",
        "topic": "t",
        "subject": "s",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-11-29T03:44:58Z",
        "dataVersion": "1",
        "data": {"api": "PutBlob", "url": "http://127.0.0.1:10000/devstoreaccount1/pics/a%20b.png"},
    }
    body = json.dumps({"input": json.dumps(event)})
    async with run_app(tmp_path, HTTP_APP, code) as app:
        await fill(app, "pics", **{"a b.png": b"picture"})
        answer = await app.post("/admin/azemu/functions/arrived/invoke", body)
        assert answer.status == 200, answer.text
        assert await container_of(app, "seen").read("PutBlob") == b"picture"
        for function, error in (
            ("by_subject", "No value for named parameter 'subject'."),
            ("by_nothing", "Error while accessing 'nothing': property doesn't exist."),
        ):
            answer = await app.post(f"/admin/azemu/functions/{function}/invoke", body)
            assert (answer.status, error in answer.json()["error"]) == (500, True), answer.text
