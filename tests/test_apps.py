"""Every app in the folder apps starts, lists its functions and answers. See apps/README.md for `expected.json`."""

from __future__ import annotations

import asyncio
import codecs
import importlib.util
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from emulator.host.status import HostState
from tests.processes import started
from tests.running_apps import copy_app, run_app
from tests.waiting import eventually

APPS = Path(__file__).parent / "apps"
NAMES = sorted(folder.name for folder in APPS.iterdir() if (folder / "expected.json").is_file())


def test_collection_has_at_least_forty_apps_of_distinct_kinds() -> None:
    kinds = {json.loads((APPS / name / "expected.json").read_text(encoding="utf-8"))["kind"] for name in NAMES}
    assert len(kinds) == len(NAMES) >= 40


@pytest.mark.parametrize("name", NAMES)
async def test_app_starts_lists_its_functions_and_answers(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = json.loads((APPS / name / "expected.json").read_text(encoding="utf-8"))
    for module in expected.get("needs", ()):
        if not is_installed(module):
            pytest.skip(f"{module} is not installed")
    app = prepared(name, expected, tmp_path)
    caplog.set_level("INFO")
    running = in_process(app) if expected.get("process") else in_this_process(app, caplog)
    async with running as (url, logged), aiohttp.ClientSession(url) as session:
        await check_functions(session, expected)
        for request in expected["requests"]:
            await check_request(session, request)
        for text in expected.get("logs", ()):
            await eventually(partial(contains, logged, text), f"log line with {text!r}", within=10)
        for text in expected.get("not_logs", ()):
            assert text not in logged()


def contains(logged: Callable[[], str], text: str) -> bool | None:
    return text in logged() or None


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # A parent package is missing.
        return False


def prepared(name: str, expected: Mapping[str, Any], folder: Path) -> Path:
    """Copy an app and make the files that a checkout cannot contain. Return the new folder."""
    app = copy_app(APPS / name, folder / expected.get("folder", name))
    (app / "expected.json").unlink()
    for file in expected.get("bom", ()):
        (app / file).write_bytes(codecs.BOM_UTF8 + (app / file).read_bytes())
    for file in expected.get("crlf", ()):
        (app / file).write_bytes((app / file).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    for link, target in expected.get("links", {}).items():
        # Outside the app, as in repositories whose apps share code.
        outside = folder / "outside" / target
        outside.parent.mkdir(parents=True, exist_ok=True)
        (app / target).rename(outside)
        try:
            (app / link).symlink_to(outside, target_is_directory=outside.is_dir())
        except OSError as error:
            pytest.skip(f"symbolic links cannot be created: {error}")
    return app


@asynccontextmanager
async def in_this_process(app: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[tuple[str, Callable[[], str]]]:
    async with run_app(app) as running:
        assert running.app.host.status.state in (HostState.RUNNING, HostState.ERROR)
        yield f"http://127.0.0.1:{running.app.port}", lambda: caplog.text


@asynccontextmanager
async def in_process(app: Path) -> AsyncIterator[tuple[str, Callable[[], str]]]:
    with started(app, "--storage", "builtin:memory") as azemu:
        # Waiting for lines of a process blocks, which must not block this loop.
        url = await asyncio.to_thread(azemu.url)
        yield re.sub(r"(://[^/]+)/.*", r"\1", url), azemu.read_so_far
        azemu.interrupt()
        assert await asyncio.to_thread(azemu.wait) == 0


async def check_functions(session: aiohttp.ClientSession, expected: Mapping[str, Any]) -> None:
    listed = {
        function["name"]: next(
            binding["type"] for binding in function["config"]["bindings"] if binding["type"].lower().endswith("trigger")
        )
        for function in await json_of(session, "/admin/functions")
    }
    if expected["functions"] is not None:
        assert listed == expected["functions"]
    for function, message in expected.get("errors", {}).items():
        status = await json_of(session, f"/admin/functions/{function}/status")
        assert message in " ".join(status["errors"])


async def json_of(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.get(url) as response:
        assert response.status in (200, 202), url
        return await response.json()


async def check_request(session: aiohttp.ClientSession, request: Mapping[str, Any]) -> None:
    method = next(method for method in ("get", "post", "put") if method in request)
    headers = {"Content-Type": request["type"]} if "type" in request else {}
    async with session.request(method, request[method], data=request.get("body"), headers=headers) as response:
        body = await response.text()
        said = f"{method.upper()} {request[method]}: {response.status} {body}"
        assert response.status == request.get("status", 200), said
        if "text" in request:
            assert body == request["text"], said
        assert request.get("contains", "") in body, said
        for header, value in request.get("headers", {}).items():
            assert response.headers[header] == value, said
    if "ends" in request:
        # The host's own address: the URL in the response has the name localhost.
        path = json.loads(body)["statusQueryGetUri"].partition("/runtime")[2]

        async def end() -> Any:
            status = await json_of(session, f"/runtime{path}")
            return status if status["runtimeStatus"] in ("Completed", "Failed", "Terminated") else None

        status = await eventually(end, f"end of the orchestration of {request[method]}", within=30)
        assert status["runtimeStatus"] == request["ends"], status
        if "output" in request:
            assert status["output"] == request["output"]
