"""Blob inputs whose parameters take clients of the Azure SDK (deferred bindings), on Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extensions.blobs.test_blob_input import container_of, fill
from tests.running_apps import HTTP_APP, run_app

# Its releases need a later azure-storage-blob than azemu does.
pytest.importorskip("azurefunctions.extensions.bindings.blob")

CLIENTS = """
import azurefunctions.extensions.bindings.blob as blob

seen = []

@app.route(route="client/{name}")
@app.blob_input(arg_name="client", path="sdk/{name}", connection="AzureWebJobsStorage")
def client(req: func.HttpRequest, client: blob.BlobClient):
    seen.append(client)
    return client.blob_name + " " + client.download_blob(encoding="utf-8").readall()

@app.route(route="other/{name}")
@app.blob_input(arg_name="client", path="sdk/{name}", connection="AzureWebJobsStorage")
def other(req: func.HttpRequest, client: blob.BlobClient):
    seen.append(client)
    return "other"

@app.route(route="container")
@app.blob_input(arg_name="container", path="sdk", connection="AzureWebJobsStorage")
def container(req: func.HttpRequest, container: blob.ContainerClient):
    container.upload_blob("made", b"by the client")
    return ",".join(sorted(container.list_blob_names()))

@app.route(route="stream/{name}")
@app.blob_input(arg_name="stream", path="sdk/{name}", connection="AzureWebJobsStorage")
async def stream(req: func.HttpRequest, stream: blob.StorageStreamDownloader):
    return stream.readall().decode()

@app.route(route="both/{name}")
@app.blob_input(arg_name="client", path="sdk/{name}", connection="AzureWebJobsStorage")
@app.blob_input(arg_name="data", path="sdk/{name}", connection="AzureWebJobsStorage")
@app.blob_output(arg_name="out", path="sdk/copy", connection="AzureWebJobsStorage")
def both(req: func.HttpRequest, client: blob.BlobClient, data: func.InputStream, out: func.Out[bytes]):
    text = data.read()
    out.set(text)
    return text.decode() + client.blob_name

@app.route(route="seen")
def seen_so_far(req: func.HttpRequest):
    return json.dumps([seen.index(client) for client in seen])"""


@pytest.mark.azurite
async def test_functions_get_clients_of_the_sdk(tmp_path: Path, azurite: str) -> None:
    async with run_app(tmp_path, HTTP_APP, CLIENTS, storage=azurite) as app:
        try:
            await fill(app, "sdk", a=b"first", b=b"second")
            assert (await app.get("/api/client/a")).text == "a first"
            assert (await app.get("/api/client/a")).text == "a first"
            assert (await app.get("/api/client/b")).text == "b second"
            assert (await app.get("/api/other/a")).text == "other"
            # The client of a blob is kept, by function.
            assert (await app.get("/api/seen")).json() == [0, 0, 2, 3]
            assert (await app.get("/api/container")).text == "a,b,made"
            assert (await app.get("/api/stream/a")).text == "first"
            await container_of(app, "sdk").write("a", b"changed")
            assert (await app.get("/api/stream/a")).text == "changed"
            assert (await app.get("/api/both/a")).text == "changeda"
            assert await container_of(app, "sdk").read("copy") == b"changed"
            assert (await app.get("/api/stream/nothing")).status == 500
        finally:
            await container_of(app, "sdk").drop()
