"""Apps for tests: their files, and a host that runs them in this process and is called over HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import aiohttp
from yarl import URL

from emulator.app import App, AroundAccount, LastingParts, ProcessResources, open_app
from emulator.clock import Clock
from emulator.config.start import StartOptions
from tests.sdk_releases import skip_unless_supported

# Beginnings of function_app.py.
HTTP_APP = """
import json, logging, threading, time, asyncio
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""
DURABLE_APP = """
import asyncio, logging, os, time
from datetime import timedelta
import azure.functions as func
import azure.durable_functions as df
app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""

# A whole function_app.py.
HELLO = """
import logging

import azure.functions as func

app = func.FunctionApp()


@app.route(route="hello", auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("saying hello")
    return func.HttpResponse("hello")
"""

# Names of app settings.
OPTION = "AzureFunctionsJobHost__extensions__durableTask__"
PROFILE = "AZEMU_DURABLE_HTTP_PROFILE"


def write_app(
    folder: Path,
    *parts: str,
    host: Mapping[str, Any] | str | None = None,
    settings: Mapping[str, str] | None = None,
    **files: str,
) -> Path:
    """Write the files of an app and return its folder.

    `parts`: of function_app.py, each dedented; HELLO if there are none. `host`: members of host.json besides the
    version, or its whole text. `settings`: values of local.settings.json. `files`: the text of name.py by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"function_app": "".join(map(dedent, parts or (HELLO,))), **files}
    for name, text in texts.items():
        skip_unless_supported(dedent(text))
        (folder / f"{name}.py").write_text(dedent(text), encoding="utf-8")
    host_json = host if isinstance(host, str) else json.dumps({"version": "2.0", **(host or {})})
    (folder / "host.json").write_text(host_json, encoding="utf-8")
    if settings is not None:
        values = {"IsEncrypted": False, "Values": dict(settings)}
        (folder / "local.settings.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def copy_app(app: Path, folder: Path) -> Path:
    """Copy an app and return the new folder. A host writes its keys into the app's folder."""
    shutil.copytree(app, folder, copy_function=shutil.copyfile)
    # The modes are not copied, because those of a read-only checkout would keep the host from writing.
    folder.chmod(0o755)
    for module in folder.rglob("*.py"):
        skip_unless_supported(module.read_text(encoding="utf-8-sig"))
    return folder


@dataclass(frozen=True)
class Answer:
    """HTTP response."""

    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class RunningApp:
    """A running host and a client for it."""

    app: App
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """The origin, without a slash at the end."""
        return self.app.url

    @property
    def webhook(self) -> str:
        return f"{self.url}/runtime/webhooks/durabletask"

    async def get(self, path: str, **options: Any) -> Answer:
        return await self.request("GET", path, **options)

    async def post(self, path: str, data: Any = None, **options: Any) -> Answer:
        return await self.request("POST", path, data=data, **options)

    async def request(self, method: str, path: str, **options: Any) -> Answer:
        """`path` is sent as it is, percent escapes included."""
        url = URL(f"http://127.0.0.1:{self.app.port}{path}", encoded=True)
        async with self.session.request(method, url, allow_redirects=False, **options) as response:
            body = await response.read()
            return Answer(response.status, response.headers, response.headers.getall("Set-Cookie", []), body)

    async def raw(self, request: bytes, *, until: bytes | None = None) -> bytes:
        """Send these bytes and return the response up to `until`, or until the server closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.app.port)
        writer.write(request)
        await writer.drain()
        answer = await (reader.read() if until is None else reader.readuntil(until))
        writer.close()
        return answer


@asynccontextmanager
async def run_app(
    folder: Path,
    *parts: str,
    host: Mapping[str, Any] | None = None,
    clock: Clock | None = None,
    drain_seconds: float = 10,
    around_account: AroundAccount | None = None,
    lasting: LastingParts | None = None,
    hosts_folder: Path | None = None,
    telemetry: bool = False,
    **options: Any,
) -> AsyncIterator[RunningApp]:
    """Run an app in this process, on a free port, by default on a built-in store in memory.

    `parts`, `host`: of `write_app`, which writes the app first; without `parts` it must be in `folder`.
    `around_account`: wraps the storage accounts (tests/storage_calls.py). `lasting`: storage that outlives the host.
    `hosts_folder`: keeps the locks of a host for the next one. `telemetry`: honour settings of Application Insights.
    `options`: of StartOptions.
    """
    if parts:
        write_app(folder, *parts, host=host)
    chosen: dict[str, Any] = {"app": folder, "port": 0, "storage": "builtin:memory", **options}
    async with (
        open_app(
            StartOptions(**chosen),
            clock=clock,
            drain_seconds=drain_seconds,
            around_account=around_account,
            lasting=lasting,
            process=ProcessResources(hosts_folder=hosts_folder, telemetry=telemetry),
        ) as app,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield RunningApp(app, session)
