"""`azemu start` as a process, with an app in a temporary folder and an HTTP client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from emulator.clock import SystemClock
from emulator.storage.azurite import open_azurite

_LOOK_SECONDS = 0.002
_MANAGEMENT = "/runtime/webhooks/durabletask"


@dataclass(frozen=True)
class RunningHost:
    """Running host. `url`: its base URL."""

    url: str
    session: aiohttp.ClientSession

    async def start(self, orchestrator: str, instance: str, value: object = None) -> None:
        url = f"{self.url}{_MANAGEMENT}/orchestrators/{orchestrator}/{instance}"
        # The SDK expects an input that is JSON text inside a JSON string.
        async with self.session.post(url, json=json.dumps(value)) as answer:
            assert answer.status == 202, await answer.text()

    async def result(self, instance: str, *, every: float = _LOOK_SECONDS) -> Any:
        """Wait until an instance has completed. Return its output. `every`: seconds between requests."""
        while True:
            async with self.session.get(f"{self.url}{_MANAGEMENT}/instances/{instance}") as answer:
                status = await answer.json()
                if answer.status == 200:
                    assert status["runtimeStatus"] == "Completed", status
                    return status["output"]
            await asyncio.sleep(every)


@asynccontextmanager
async def storage(kind: str) -> AsyncIterator[str]:
    """Provide a value of AzureWebJobsStorage for `azurite` (a new one, in memory), `memory` or `file`."""
    if kind == "azurite":
        async with open_azurite(Path.cwd(), clock=SystemClock(), in_memory=True) as azurite:
            yield azurite.connection_string
    elif kind == "file":
        with tempfile.TemporaryDirectory() as folder:
            yield f"builtin:{Path(folder) / 'storage.db'}"
    else:
        yield "builtin:memory"


@asynccontextmanager
async def app_folder(
    function_app: str, connection: str, host: Mapping[str, object] | None = None
) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "function_app.py").write_text(function_app, encoding="utf-8")
        (folder / "host.json").write_text(json.dumps({"version": "2.0", **(host or {})}), encoding="utf-8")
        values = {"AzureWebJobsStorage": connection, "FUNCTIONS_WORKER_RUNTIME": "python"}
        (folder / "local.settings.json").write_text(json.dumps({"Values": values}), encoding="utf-8")
        yield folder


@asynccontextmanager
async def started(folder: Path, port: int, *words: str) -> AsyncIterator[RunningHost]:
    """Start the host of an app. It may not answer yet when the body runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "emulator", "start", "--app", str(folder), "--port", str(port), *words),
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield RunningHost(f"http://127.0.0.1:{port}", session)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def first_answer(host: RunningHost, path: str) -> str:
    """Send requests until the response is 200. Return its text. The host may still refuse connections or start."""
    while True:
        with suppress(aiohttp.ClientError):
            async with host.session.get(host.url + path) as answer:
                if answer.status == 200:
                    return await answer.text()
        await asyncio.sleep(_LOOK_SECONDS)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
