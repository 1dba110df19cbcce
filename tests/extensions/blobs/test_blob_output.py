"""Blob outputs: what is written for which value, and in which requests."""

from __future__ import annotations

import json
from pathlib import Path

from tests.extensions.blobs.test_blob_input import container_of
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import HTTP_APP, run_app
from tests.storage.bench import collected
from tests.storage_calls import Change, StorageCalls

OUTPUTS = """
import io, tempfile

class FileLike:
    def read(self):
        return "filelike"

VALUES = {
    "text": "text é",
    "empty": "",
    "bytes": b"\\x01\\x02\\xff",
    "bytearray": bytearray(b"array"),
    "file": io.BytesIO(b"file"),
    "text file": io.StringIO("text file é"),
    "class": FileLike(),
    "none": None,
    "number": 5,
}

@app.route(route="set/{name}")
@app.blob_output(arg_name="blob", path="c-work-made/{name}", connection="AzureWebJobsStorage")
def set_it(req: func.HttpRequest, blob: func.Out[func.InputStream]):
    blob.set(VALUES[req.route_params["name"]])
    return "done"

@app.route(route="unset")
@app.blob_output(arg_name="blob", path="c-unset/never", connection="AzureWebJobsStorage")
def unset(req: func.HttpRequest, blob: func.Out[str]):
    return "done"

@app.route(route="fails")
@app.blob_output(arg_name="blob", path="c-work-made/failed", connection="AzureWebJobsStorage")
def fails(req: func.HttpRequest, blob: func.Out[bytes]):
    blob.set(b"before")
    raise ValueError("after write")

@app.route(route="dict")
@app.blob_output(arg_name="blob", path="c-work-made/dict", connection="AzureWebJobsStorage")
def of_dict(req: func.HttpRequest, blob: func.Out[str]):
    blob.set({"a": [1, "é"]})
    return "done"

@app.function_name("returned")
@app.queue_trigger(arg_name="msg", queue_name="orders", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="$return", path="c-work-made/returned-{queueTrigger}", connection="AzureWebJobsStorage")
def returned(msg: func.QueueMessage) -> str:
    return "FROM RETURN"

@app.route(route="two")
@app.blob_output(arg_name="first", path="c-two/{rand-guid}/{rand-guid}", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="second", path="c-two/{rand-guid:N}-{datetime:yyyy-MM-dd}", connection="AzureWebJobsStorage")
def two(req: func.HttpRequest, first: func.Out[str], second: func.Out[str]):
    first.set("1")
    second.set("2")
    return "done"
"""


async def test_values_are_written_as_blobs(tmp_path: Path) -> None:
    calls = StorageCalls()
    async with run_app(tmp_path, HTTP_APP, OUTPUTS, around_account=calls.around) as app:
        made = container_of(app, "c-work-made")

        async def written(name: str) -> bytes:
            answer = await app.get(f"/api/set/{name.replace(' ', '%20')}")
            assert answer.status == 200, answer.text
            return await made.read(name)

        assert await written("text") == "text é".encode()
        assert await written("empty") == b""
        assert await written("bytes") == b"\x01\x02\xff"
        assert await written("bytearray") == b"array"
        assert await written("file") == b"file"
        assert await written("text file") == "text file é".encode()
        assert await written("class") == b"filelike"
        await app.get("/api/dict")
        assert json.loads(await made.read("dict")) == {"a": [1, "é"]}
        answer = await app.post("/admin/azemu/functions/returned/invoke", json.dumps({"input": "m"}))
        assert answer.status == 200, answer.text
        assert await made.read("returned-m") == b"FROM RETURN"

        for path, status in (("set/none", 200), ("set/number", 500), ("fails", 500), ("unset", 200)):
            assert (await app.get(f"/api/{path}")).status == status
        names = {blob.name for blob in await collected(made.list())}
        assert not names & {"none", "number", "failed"}
        assert not await container_of(app, "c-unset").exists()


async def test_a_blob_is_written_at_once_with_the_recorded_properties(tmp_path: Path) -> None:
    recorded = TRIGGERS.storage("blob_bindings")["blobs"]["c-work-made"]["2026-11-29T03-41-57Z.bin"]
    code = """
    @app.route(route="bytes")
    @app.blob_output(arg_name="blob", path="c-work-made/{datetime}.bin", connection="AzureWebJobsStorage")
    def of_bytes(req: func.HttpRequest, context: func.Context, blob: func.Out[bytes]):
        blob.set(b"bytes")
        return context.invocation_id
    """
    calls = StorageCalls()
    async with run_app(tmp_path, HTTP_APP, code, around_account=calls.around) as app:
        invocation = (await app.get("/api/bytes")).text
        made = [change for change in calls.changes if change.target.startswith("c-work-made")]
        [blob] = await collected(container_of(app, "c-work-made").list())
        # The .NET extension writes an empty blob and then its blocks; a container that exists is not created.
        assert [change.operation for change in made] == ["create container", "put blob"]
        await app.get("/api/bytes")
        assert isinstance(calls.changes[-1], Change)
        assert [change.operation for change in calls.changes if change.target.startswith("c-work-made")] == [
            "create container",
            "put blob",
            "put blob",
        ]
    assert (blob.size, blob.content_type) == (recorded["size"], recorded["content_type"])
    assert blob.metadata == dict.fromkeys(recorded["metadata"], invocation)


async def test_every_expression_in_a_path_has_a_value_of_its_own(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, OUTPUTS) as app:
        await app.get("/api/two")
        names = [blob.name for blob in await collected(container_of(app, "c-two").list())]
        [first] = [name for name in names if "/" in name]
        [second] = [name for name in names if "/" not in name]
    left, right = first.split("/")
    assert left != right
    assert (len(left), len(right), left.count("-")) == (36, 36, 4)
    assert len(second.partition("-")[0]) == 32
    assert len(second.partition("-")[2]) == 10


async def test_a_bad_output_path_is_an_error(tmp_path: Path) -> None:
    code = """
    @app.route(route="late/{name}")
    @app.blob_output(arg_name="blob", path="{name}/x", connection="AzureWebJobsStorage")
    def late(req: func.HttpRequest, blob: func.Out[str]):
        blob.set("x")
        return "returned"

    @app.route(route="early")
    @app.blob_output(arg_name="blob", path="Bad_Name/{rand-guid}", connection="AzureWebJobsStorage")
    def early(req: func.HttpRequest, blob: func.Out[str]):
        blob.set("x")
        return "returned"
    """
    async with run_app(tmp_path, HTTP_APP, code) as app:
        assert (await app.get("/api/late/Upper")).status == 500
        assert (await app.get("/api/late/lower")).text == "returned"
        [error] = (await app.get("/admin/functions/early/status")).json()["errors"]
        assert "Validation failed for property 'BlobPath', value 'Bad_Name/{rand-guid}'." in error
        assert "'Bad_Name' cannot be the name of a container" in error
