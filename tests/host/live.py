"""A real app behind a real server: apps are written as text, requests go over real sockets."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from emulator.app import App, open_app
from emulator.config.start import StartOptions

PREAMBLE = """
import json, logging, threading, time, asyncio
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""


@dataclass(frozen=True)
class Answer:
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
class Live:
    """A running app and a client for it."""

    app: App
    session: aiohttp.ClientSession

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
        """What the server says to these bytes, up to `until` or until it closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.app.port)
        writer.write(request)
        await writer.drain()
        answer = await (reader.read() if until is None else reader.readuntil(until))
        writer.close()
        return answer


@asynccontextmanager
async def live(
    folder: Path,
    source: str,
    *,
    host: Mapping[str, Any] | None = None,
    settings: Mapping[str, str] | None = None,
    preamble: str = PREAMBLE,
    **options: Any,
) -> AsyncIterator[Live]:
    """Run an app. `host`: members of host.json; `options`: of StartOptions."""
    (folder / "function_app.py").write_text(preamble + textwrap.dedent(source), encoding="utf-8")
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **(host or {})}), encoding="utf-8")
    async with (
        open_app(StartOptions(app=folder, port=0, settings=settings or {}, **options)) as app,
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield Live(app, session)


async def said(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until something has been logged."""
    async with asyncio.timeout(10):
        while not any(text in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.005)
