"""Large blobs: inputs and outputs that are read and written in parts while the function runs."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.storage.azurite import open_azurite
from tests.extensions.blobs.test_blob_input import container_of
from tests.running_apps import HTTP_APP, run_app
from tests.storage_calls import StorageCalls

MIB = 1024 * 1024
SIZE = 9 * MIB + 5

APP = """
import hashlib, io

def digest(stream, size):
    summed = hashlib.sha256()
    while block := stream.read(size):
        summed.update(block)
    return summed.hexdigest()

@app.route(route="read/{size:int}")
@app.blob_input(arg_name="blob", path="large/in", connection="AzureWebJobsStorage")
def read(req: func.HttpRequest, blob: func.InputStream):
    return digest(blob, int(req.route_params["size"]))

@app.route(route="read_all")
@app.blob_input(arg_name="blob", path="large/in", connection="AzureWebJobsStorage")
async def read_all(req: func.HttpRequest, blob: func.InputStream):
    return hashlib.sha256(blob.read()).hexdigest() + str(len(blob.read()))

@app.route(route="bytes")
@app.blob_input(arg_name="blob", path="large/in", connection="AzureWebJobsStorage")
def of_bytes(req: func.HttpRequest, blob: bytes):
    return hashlib.sha256(blob).hexdigest()

@app.route(route="copy")
@app.blob_input(arg_name="blob", path="large/in", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="out", path="copies/{rand-guid}", connection="AzureWebJobsStorage")
async def copy(req: func.HttpRequest, blob: func.InputStream, out: func.Out[func.InputStream]):
    out.set(blob)
    return "copied"

@app.route(route="file")
@app.blob_output(arg_name="out", path="made/file", connection="AzureWebJobsStorage")
def of_file(req: func.HttpRequest, out: func.Out[func.InputStream]):
    out.set(io.BytesIO(b"0123456789" * 1_200_000))
    return "made"

@app.route(route="big_bytes")
@app.blob_output(arg_name="out", path="made/bytes", connection="AzureWebJobsStorage")
def of_big_bytes(req: func.HttpRequest, out: func.Out[bytes]):
    out.set(b"0123456789" * 3_500_000)
    return "made"

waiting, go_on = threading.Event(), threading.Event()

@app.route(route="slow")
@app.blob_input(arg_name="blob", path="large/in", connection="AzureWebJobsStorage")
def slow(req: func.HttpRequest, blob: func.InputStream):
    blob.read(10)
    waiting.set()
    go_on.wait(30)
    try:
        blob.read()
    except OSError as error:
        return f"OSError: {error}"

@app.route(route="meanwhile")
async def meanwhile(req: func.HttpRequest):
    while not waiting.is_set():
        await asyncio.sleep(0.01)
    return "meanwhile"

@app.route(route="go_on")
def go_on_now(req: func.HttpRequest):
    go_on.set()
    return "gone on"
"""


@pytest.mark.parametrize("storage", ["file", pytest.param("azurite", marks=pytest.mark.azurite)])
async def test_large_blobs_are_read_and_written_in_parts(
    tmp_path: Path, storage: str, request: pytest.FixtureRequest
) -> None:
    if storage == "file":
        storage = f"builtin:{tmp_path / 'storage.db'}"
    elif storage == "azurite":
        storage = request.getfixturevalue("azurite")
    content = b"".join(hashlib.sha256(str(number).encode()).digest() * 1024 for number in range(321))[:SIZE]
    expected = hashlib.sha256(content).hexdigest()
    calls = StorageCalls()
    async with run_app(tmp_path / "app", HTTP_APP, APP, storage=storage, around_account=calls.around) as app:
        large = container_of(app, "large")
        await large.create()
        await large.write("in", content)
        for size in (100_000, 6 * MIB + 1):
            assert (await app.get(f"/api/read/{size}")).text == expected
        assert (await app.get("/api/read_all")).text == f"{expected}0"
        assert (await app.get("/api/bytes")).text == expected
        assert (await app.get("/api/copy")).text == "copied"
        assert (await app.get("/api/file")).text == "made"
        [copied] = [change for change in calls.changes if change.target.startswith("copies/")]
        assert copied.operation == "put block list"
        assert await container_of(app, "copies").read(copied.target.partition("/")[2]) == content
        assert await container_of(app, "made").read("file") == b"0123456789" * 1_200_000
        if storage.startswith("builtin"):
            assert (await app.get("/api/big_bytes")).text == "made"
            assert await container_of(app, "made").read("bytes") == b"0123456789" * 3_500_000
            assert [change.operation for change in calls.of("made/bytes")] == ["put block list"]


GIGABYTE = """
import resource

@app.route(route="read")
@app.blob_input(arg_name="blob", path="gigabyte/in", connection="AzureWebJobsStorage")
def read(req: func.HttpRequest, blob: func.InputStream):
    before, size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    while block := blob.read(1024 * 1024):
        size += len(block)
    return json.dumps([size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before])

@app.route(route="copy")
@app.blob_input(arg_name="blob", path="gigabyte/in", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="out", path="gigabyte/out", connection="AzureWebJobsStorage")
def copy(req: func.HttpRequest, blob: func.InputStream, out: func.Out[func.InputStream]):
    out.set(blob)
    return "copied"
"""


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("storage", ["file", pytest.param("azurite", marks=pytest.mark.azurite)])
async def test_a_gigabyte_is_read_and_copied_in_little_memory(tmp_path: Path, storage: str) -> None:
    if sys.platform != "linux":
        pytest.skip("the unit of ru_maxrss differs between systems")
    import resource

    async with AsyncExitStack() as stack:
        chosen = f"builtin:{tmp_path / 'storage.db'}"
        if storage == "azurite":
            server = open_azurite(tmp_path / "azurite", clock=SystemClock(), print_line=print)
            chosen = (await stack.enter_async_context(server)).connection_string
        app = await stack.enter_async_context(run_app(tmp_path / "app", HTTP_APP, GIGABYTE, storage=chosen))
        container = container_of(app, "gigabyte")
        await container.create()
        block = b"0123456789abcdef" * 256 * 1024

        async def blocks() -> AsyncIterator[bytes]:
            for _ in range(256):
                yield block

        await container.write_blocks("in", blocks())
        size, grown_kib = (await app.get("/api/read")).json()
        assert size == 1024 * MIB
        assert grown_kib < 100 * 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (await app.get("/api/copy")).text == "copied"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
        assert (await container.properties("out")).size == 1024 * MIB
        assert (await container.read_range("out", 1000 * MIB, 16)).content == block[:16]


async def test_a_blob_that_is_overwritten_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP) as app:
        large = container_of(app, "large")
        await large.create()
        await large.write("in", bytes(SIZE))
        running = asyncio.create_task(app.get("/api/slow"))
        assert (await app.get("/api/meanwhile")).text == "meanwhile"
        await large.write("in", b"new")
        await app.get("/api/go_on")
        answer = (await running).text
        assert answer.startswith("OSError: The blob large/in was deleted or overwritten while it was being read.")
