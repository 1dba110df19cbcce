"""Apps with blob triggers for tests: their functions write what they get into a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.clock import Clock
from emulator.storage.port import BlobContainer, NotFound, QueueMessage, StorageAccount
from tests.running_apps import RunningApp, run_app
from tests.waiting import eventually

STORAGE = "AzureWebJobsStorage"

# The beginning of function_app.py. `received` notes a blob; the content tells the function to fail or to take time.
RECEIVING = """
import json, os, threading, time
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
lock = threading.Lock()


def received(function, blob, **more):
    content = blob.read()
    line = {
        "function": function, "name": blob.name, "uri": blob.uri, "length": blob.length, "content": content.hex(),
        "metadata": blob.metadata, "properties": blob.blob_properties, **more,
    }
    with lock, open(os.environ["RECEIVED"], "a") as file:
        file.write(json.dumps(line) + "\\n")
    text = content.decode(errors="replace")
    if text.startswith("sleep:"):
        time.sleep(float(text.removeprefix("sleep:")))
    if text == "fail":
        raise ValueError("the blob says so")
"""


def trigger(name: str, path: str, **more: str) -> str:
    """Return a function with a blob trigger, which notes each blob."""
    arguments = "".join(f", {key}={value!r}" for key, value in more.items())
    return f"""
@app.blob_trigger(arg_name="blob", path={path!r}, connection="{STORAGE}"{arguments})
def {name}(blob: func.InputStream):
    received("{name}", blob)
"""


@dataclass(frozen=True)
class BlobApp:
    """A running app with blob triggers."""

    running: RunningApp
    file: Path
    clock: Clock | None

    @property
    def account(self) -> StorageAccount:
        return self.running.app.accounts(STORAGE)

    @property
    def received(self) -> list[dict[str, Any]]:
        """What functions got, in the order of their calls."""
        return read_received(self.file)

    @property
    def runs(self) -> list[tuple[str, str]]:
        """Function and path of each blob that functions got, sorted."""
        return sorted((line["function"], line["name"]) for line in self.received)

    async def container(self, name: str) -> BlobContainer:
        """Create a container."""
        container = self.account.container(name)
        await container.create()
        return container

    async def upload(self, path: str, content: bytes | str = b"", metadata: Mapping[str, str] | None = None) -> str:
        """Write a blob, create its container, and return its ETag."""
        name, _, blob = path.partition("/")
        container = await self.container(name)
        data = content.encode() if isinstance(content, str) else content
        return (await container.write(blob, data, metadata=metadata)).etag

    async def wait_for_runs(self, count: int, *, every: float = 0.05) -> list[dict[str, Any]]:
        """Wait until functions have got so many blobs."""
        return await eventually(
            lambda: self.received if len(self.received) >= count else None,
            f"{count} runs",
            clock=self.clock,
            every=every,
        )

    async def messages(self, queue: str) -> list[QueueMessage]:
        """Return the visible messages of a queue."""
        try:
            return await self.account.queue(queue).peek(limit=32)
        except NotFound:
            return []

    async def receipts(self) -> dict[str, dict[str, str]]:
        """Return metadata of the receipts by name, without the folder that all have."""
        prefix = "blobreceipts/"
        container = self.account.container("azure-webjobs-hosts")
        return {
            receipt.name.removeprefix(prefix).partition("/")[2]: dict(receipt.metadata)
            async for receipt in container.list(prefix)
        }


def read_received(file: Path) -> list[dict[str, Any]]:
    """Return the lines that functions have written."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@asynccontextmanager
async def run_blob_app(
    folder: Path, *functions: str, clock: Clock | None = None, **options: Any
) -> AsyncIterator[BlobApp]:
    """Run an app with these functions; again in the same folder, it keeps what was noted."""
    file = folder / "received.jsonl"
    settings = {"RECEIVED": str(file), **options.pop("settings", {})}
    async with run_app(folder, RECEIVING, *functions, clock=clock, settings=settings, **options) as running:
        yield BlobApp(running, file, clock)
