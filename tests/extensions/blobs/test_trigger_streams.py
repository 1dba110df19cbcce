"""Values of blob triggers that are read while the function runs, or by a client of the Azure SDK."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extensions.blobs.test_blob_input import container_of
from tests.running_apps import HTTP_APP, run_app
from tests.waiting import eventually

MIB = 1024 * 1024

SEEN = """
import hashlib
seen = []

@app.route(route="seen")
def seen_so_far(req: func.HttpRequest):
    return json.dumps(seen)
"""


async def test_a_large_blob_is_read_anew_by_each_attempt(tmp_path: Path) -> None:
    code = """
    @app.retry(strategy="fixed_delay", max_retry_count="1", delay_interval="00:00:01")
    @app.blob_trigger(arg_name="data", path="large/{name}", connection="AzureWebJobsStorage")
    def arrived(data: func.InputStream, context: func.Context):
        seen.append([data.name, data.length, data.metadata, data.read(10).decode()])
        if context.retry_context.retry_count == 0:
            data.read(6_000_000)
            raise ValueError("once more")
        seen.append(10 + len(data.read()))
    """
    async with run_app(tmp_path, HTTP_APP, SEEN, code) as app:
        large = container_of(app, "large")
        await large.create()
        await large.write("a", b"0123456789" * MIB, metadata={"k": "v"})
        facts = ["large/a", 10 * MIB, {"k": "v"}, "0123456789"]

        async def seen() -> bool:
            return (await app.get("/api/seen")).json() == [facts, facts, 10 * MIB]  # type: ignore[no-any-return]

        await eventually(seen, "both attempts have read the blob")


@pytest.mark.azurite
async def test_a_trigger_may_take_a_client_of_the_sdk(tmp_path: Path, azurite: str) -> None:
    # Its releases need a later azure-storage-blob than azemu does.
    pytest.importorskip("azurefunctions.extensions.bindings.blob")
    code = """
    import azurefunctions.extensions.bindings.blob as blob

    @app.blob_trigger(arg_name="client", path="sdk-trigger/{name}.in", connection="AzureWebJobsStorage")
    @app.blob_input(arg_name="same", path="sdk-trigger/{name}.in", connection="AzureWebJobsStorage")
    @app.blob_output(arg_name="out", path="sdk-trigger/{name}.out", connection="AzureWebJobsStorage")
    def arrived(client: blob.BlobClient, same: bytes, out: func.Out[str]):
        text = client.download_blob(encoding="utf-8").readall()
        out.set(text.upper())
        seen.append([client.container_name, client.blob_name, text, same.decode()])
    """
    async with run_app(tmp_path, HTTP_APP, SEEN, code, storage=azurite) as app:
        container = container_of(app, "sdk-trigger")
        await container.create()
        try:
            await container.write("a.in", b"content")

            async def seen() -> bool:
                answer = (await app.get("/api/seen")).json()
                return answer == [["sdk-trigger", "a.in", "content", "content"]]  # type: ignore[no-any-return]

            await eventually(seen, "the function has run")

            async def written() -> bool:
                return b"CONTENT" in [await container.read(blob.name) async for blob in container.list("a.out")]

            await eventually(written, "the output is written")
        finally:
            await container.drop()


async def test_a_trigger_with_a_client_is_in_error_on_the_built_in_store(tmp_path: Path) -> None:
    pytest.importorskip("azurefunctions.extensions.bindings.blob")
    code = """
    import azurefunctions.extensions.bindings.blob as blob

    @app.blob_trigger(arg_name="client", path="things/{name}", connection="AzureWebJobsStorage")
    def arrived(client: blob.BlobClient):
        pass
    """
    async with run_app(tmp_path, HTTP_APP, code) as app:
        [error] = (await app.get("/admin/functions/arrived/status")).json()["errors"]
        assert "leads to azemu's built-in store, which has none. Use Azurite" in error
