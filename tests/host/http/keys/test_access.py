"""Access to all routes with authorization enabled. A route that is missing in the tables here fails a test."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.config.start import StartOptions, configure
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.site import api_routes
from emulator.host.admin.api import HostCommands
from emulator.host.http.callers import CallerRules
from emulator.host.http.keys.key_store import HOST_FUNCTION_KEYS, HOST_SYSTEM_KEYS, KeyScope, KeyStore
from emulator.host.http.keys.secret_format import KeyKind
from emulator.host.http.routing.routes import FunctionRoutes, Route
from emulator.host.site import SiteParts, open_keys, open_site
from tests.running_apps import HTTP_APP, RunningApp, run_app

APP = """
@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
def open_(req: func.HttpRequest) -> str:
    return "in"

@app.route(route="keyed/{x}", auth_level=func.AuthLevel.FUNCTION)
def keyed(req: func.HttpRequest) -> str:
    return "in"

@app.route(route="other", auth_level=func.AuthLevel.FUNCTION)
def other(req: func.HttpRequest) -> str:
    return "in"

@app.route(route="top", auth_level=func.AuthLevel.ADMIN)
def top(req: func.HttpRequest) -> str:
    return "in"
"""

# What each caller gets: nothing presented, a wrong key, a key of the function `keyed`, of the function `other`, a host
# key, the system key of blobs, that of the durable extension, the master key. None: let in.
CALLERS = ("nobody", "wrong", "keyed", "other", "host", "other_system", "own_system", "master")
ANYBODY = (None,) * 8
MASTER_ONLY = (401, 401, 401, 401, 403, 403, 403, None)
KEYED = (401, 401, None, 401, None, 401, 401, None)
OTHER = (401, 401, 401, None, None, 401, 401, None)
TOP = (401, 401, 401, 401, 401, 401, 401, None)
WEBHOOK = (401, 401, 401, 401, 401, 401, None, None)
OTHER_WEBHOOK = (401, 401, 401, 401, 401, None, 401, None)

# Route as `methods /template` → who gets in.
BUILTIN: Mapping[str, tuple[int | None, ...]] = {
    "GET POST /admin/host/ping": ANYBODY,
    "GET POST /admin/warmup": ANYBODY,
    "GET /admin/instance/http-health": ANYBODY,
    "GET /admin/host/status": MASTER_ONLY,
    "GET /admin/host/config": MASTER_ONLY,
    "GET /admin/host/processes": MASTER_ONLY,
    "PUT /admin/host/state": MASTER_ONLY,
    "POST /admin/host/synctriggers": MASTER_ONLY,
    "POST /admin/host/log": MASTER_ONLY,
    "POST /admin/host/debug": MASTER_ONLY,
    "POST /admin/host/scale/status": MASTER_ONLY,
    "GET /admin/host/drain/status": MASTER_ONLY,
    "POST /admin/host/drain": MASTER_ONLY,
    "POST /admin/host/restart": MASTER_ONLY,
    "POST /admin/host/resume": MASTER_ONLY,
    "GET /admin/functions": MASTER_ONLY,
    "GET /admin/functions/{name}": MASTER_ONLY,
    "POST /admin/functions/{name}": MASTER_ONLY,
    "GET /admin/functions/{name}/status": MASTER_ONLY,
    **{
        f"{method} /{folder}{key}": MASTER_ONLY
        for folder in (
            "admin/host/keys",
            "admin/host/functionkeys",
            "admin/host/systemkeys",
            "admin/functions/{name}/keys",
        )
        for method, key in (("GET", ""), ("GET", "/{key}"), ("POST", "/{key}"), ("PUT", "/{key}"), ("DELETE", "/{key}"))
    },
    "POST /admin/azemu/functions/{name}/invoke": MASTER_ONLY,
    "GET /admin/azemu/outputs": MASTER_ONLY,
    "DELETE /admin/azemu/outputs": MASTER_ONLY,
    "GET /admin/azemu/functions/{name}/outputs": MASTER_ONLY,
    "PUT DELETE /admin/azemu/functions/{name}/inputs/{binding}": MASTER_ONLY,
    "GET PUT POST DELETE OPTIONS /runtime/webhooks/durabletask/{*rest}": WEBHOOK,
    "GET PUT POST DELETE OPTIONS /runtime/webhooks/blobs/{*rest}": OTHER_WEBHOOK,
    # Its own key is that of no caller here.
    "GET PUT POST DELETE OPTIONS /runtime/webhooks/eventgrid/{*rest}": TOP,
}
FUNCTIONS: Mapping[str, tuple[int | None, ...]] = {
    "/api/open": ANYBODY,
    "/api/keyed/x": KEYED,
    "/api/other": OTHER,
    "/api/top": TOP,
    "/": ANYBODY,
    "/nothing/here": ANYBODY,
}


@pytest.fixture
async def keys(tmp_path: Path) -> KeyStore:
    """Keys of the app; the value of each is the name that the tables use for its caller."""
    keys = open_keys(configure(StartOptions(app=tmp_path), os.environ), SystemClock())
    await keys.put(HOST_FUNCTION_KEYS, "default", "host")
    await keys.put(HOST_SYSTEM_KEYS, "_master", "master")
    await keys.put(HOST_SYSTEM_KEYS, "durabletask_extension", "own_system")
    await keys.put(HOST_SYSTEM_KEYS, "blobs_extension", "other_system")
    for function in ("keyed", "other"):
        await keys.put(KeyScope(KeyKind.FUNCTION, function), "default", function)
    return keys


@pytest.fixture
async def site(tmp_path: Path, keys: KeyStore) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, HTTP_APP, APP, enable_auth=True) as site:
        yield site


def presented(caller: str, by: str) -> dict[str, dict[str, str]]:
    if caller == "nobody":
        return {}
    return {"headers": {"x-functions-key": caller}} if by == "header" else {"params": {"code": caller}}


async def refusal(site: RunningApp, method: str, path: str, caller: str, by: str = "header") -> int | None:
    """Return 401 or 403; None if the request was authorized, whatever its response."""
    status = (await site.request(method, path, **presented(caller, by))).status
    return status if status in (401, 403) else None


@pytest.mark.parametrize("by", ["header", "query"])
async def test_functions_and_other_paths(site: RunningApp, by: str) -> None:
    found = {path: tuple([await refusal(site, "GET", path, caller, by) for caller in CALLERS]) for path in FUNCTIONS}
    assert found == FUNCTIONS
    routes = [function.name for function in site.app.host.catalog.functions]
    assert len(routes) == len([path for path in FUNCTIONS if path.startswith("/api/")])


@pytest.fixture
async def beside(site: RunningApp, keys: KeyStore) -> AsyncIterator[tuple[RunningApp, list[Route]]]:
    """A second site for the same host, with all commands."""
    done: list[str] = []
    commands = HostCommands(restart=lambda: done.append("restart"), drain=lambda: done.append("drain"))
    host = site.app.host
    parts = SiteParts(
        host=host,
        extensions=host.extensions,
        routes=FunctionRoutes(),
        keys=keys,
        callers=CallerRules(()),
        commands=commands,
    )
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with open_site(site.app.configuration, parts, sockets=[sock], clock=SystemClock()) as opened:
            yield replace(site, app=replace(site.app, port=sock.getsockname()[1])), list(opened.routes)


async def test_access_of_every_built_in_route(beside: tuple[RunningApp, list[Route]]) -> None:
    site, routes = beside
    assert sorted(route.name for route in routes) == sorted(BUILTIN)
    for route in routes:
        path = "/" + route.template.text.replace("{name}", "keyed").replace("{key}", "none").replace("{*rest}", "x")
        for method in route.methods or ():
            found = tuple([await refusal(site, method, path, caller) for caller in CALLERS])
            assert found == BUILTIN[route.name], f"{method} {path}"


FRIEND = "https://friend.example"
# Headers of a request → whether it may reach routes that are not public: to read, and to change something. Every route
# gets the first ones, those with these beginnings get all.
SENDERS: Sequence[tuple[Mapping[str, str], bool, bool]] = [
    ({"Host": "localhost"}, True, True),
    ({"Host": "evil.example"}, False, False),
    ({"Host": "localhost", "Origin": "http://evil.example"}, True, False),
    ({"Host": "localhost", "Sec-Fetch-Site": "cross-site"}, True, False),
    ({"Host": "localhost", "Origin": FRIEND, "Sec-Fetch-Site": "cross-site"}, True, True),
    ({"Host": "LocalHost:8080"}, True, True),
    ({"Host": "127.0.0.1:1"}, True, True),
    ({"Host": "[::1]:7071"}, True, True),
    ({"Host": "[0:0::1]"}, True, True),
    ({"Host": "given.example"}, True, True),
    ({"Host": ""}, False, False),
    ({"Host": "localhost.evil.example:7071"}, False, False),
    ({"Host": "127.0.0.1.evil.example"}, False, False),
    ({"Host": "192.0.2.1"}, False, False),
    ({"Host": "[::2]"}, False, False),
    ({"Host": "evil.example", "X-Forwarded-Host": "localhost"}, False, False),
    ({"Host": "evil.example", "Origin": "http://evil.example"}, False, False),
    ({"Host": "localhost:7071", "Origin": "http://localhost:7071"}, True, True),
    ({"Host": "localhost", "Origin": "http://localhost:80", "Sec-Fetch-Site": "same-origin"}, True, True),
    ({"Host": "given.example", "Origin": "https://given.example"}, True, True),
    ({"Host": "localhost", "Origin": "https://given.example", "X-Forwarded-Host": "given.example"}, True, True),
    ({"Host": "localhost", "Origin": "http://evil.example", "X-Forwarded-Host": "evil.example"}, True, False),
    ({"Host": "localhost:7071", "Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"}, True, False),
    ({"Host": "localhost", "Origin": "null"}, True, False),
    ({"Host": "localhost", "Origin": ""}, True, False),
    ({"Host": "localhost", "Origin": "http://[localhost"}, True, False),
    ({"Host": "localhost", "Sec-Fetch-Site": "none"}, True, True),
]
FIRST = 5
GET_ALL = ("/azemu/api/storage/queues", "/admin/host/systemkeys", "/admin/functions/keyed", "/runtime/", "/api/open")
PUBLIC = ("/runtime/webhooks/blobs/", "/runtime/webhooks/eventgrid/", "/api/", "/nothing/")


async def test_senders_of_every_route(tmp_path: Path, keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    dashboard: list[Route] = []

    def dashboard_routes(parts: DashboardParts) -> list[Route]:
        dashboard.extend(api_routes(parts))
        return dashboard

    monkeypatch.setattr("emulator.dashboard.site.api_routes", dashboard_routes)
    options: dict[str, Any] = {"enable_auth": True, "cors": FRIEND, "host_names": "given.example"}
    async with run_app(tmp_path, HTTP_APP, APP, **options) as site:
        calls = [
            (method, "/" + template.replace("{name}", "keyed").replace("{key}", "none").replace("{*rest}", "instances"))
            for methods, _, template in (route.partition(" /") for route in BUILTIN)
            for method in methods.split()
        ]
        # A host in a test has no route for the restart of its process.
        calls = [(method, path) for method, path in calls if path not in ("/admin/host/restart", "/admin/host/resume")]
        calls += [(method, path) for path in FUNCTIONS if path != "/" for method in ("GET", "POST")]
        # The first request to the dashboard creates its routes.
        assert (await site.get("/azemu/api/home", headers={"x-functions-key": "master"})).status == 200
        assert len(dashboard) > 40
        calls += [
            (method, "/azemu/api/" + re.sub(r"\{.*?\}", "x", route.template.text))
            for route in dashboard
            for method in {*(route.methods or ()), "POST"}
        ]
        calls += [("GET", path) for path in ("/azemu", "/azemu/", "/azemu/static/app.js", "/AZEMU/API/home")]
        for method, path in calls:
            reads, public = method in ("GET", "OPTIONS"), path.startswith(PUBLIC)
            senders = SENDERS if path.startswith(GET_ALL) and method in ("GET", "POST") else SENDERS[:FIRST]
            requests = [(headers, may_read if reads else may_change) for headers, may_read, may_change in senders]
            if path.lower().startswith("/azemu/"):
                # The app's CORS rules do not open the dashboard. Without the key, the web server refuses already.
                requests = [
                    ({**headers, "x-functions-key": "master"}, False)
                    if headers.get("Origin") == FRIEND
                    else (headers, may)
                    for headers, may in requests
                    if not reads or headers.get("Origin") != FRIEND
                ]
            # The master key helps only those who may come in.
            requests += [({**headers, "x-functions-key": "master"}, False) for headers, ok in requests if not ok]
            heads = ["".join(f"{name}: {value}\r\n" for name, value in headers.items()) for headers, _ in requests]
            heads[-1] += "Connection: close\r\n"
            answer = await site.raw("".join(f"{method} {path} HTTP/1.1\r\n{head}\r\n" for head in heads).encode())
            statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", answer)]
            for (headers, may_come_in), status in zip(requests, statuses, strict=True):
                # Without a key a request that comes in is refused with 401, if its route needs one.
                expected = {200, 307, 401, 404} if may_come_in or public else {403}
                assert status in expected, f"{method} {path} {headers}"


async def test_webhook_keys_are_generated_when_the_host_starts(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP, enable_auth=True) as site:
        text = (tmp_path / ".azemu" / "secrets" / "host.json").read_text()
        keys = {key["name"]: key["value"] for key in json.loads(text)["systemKeys"]}
        assert set(keys) == {"blobs_extension", "durabletask_extension", "eventgrid_extension"}
        for name, value in keys.items():
            webhook = name.removesuffix("_extension")
            assert await refusal(site, "GET", f"/runtime/webhooks/{webhook}/instances/x", value) is None


async def test_a_rejection_has_an_empty_body(site: RunningApp) -> None:
    for path in ("/api/top", "/admin/host/status", "/runtime/webhooks/durabletask/instances"):
        answer = await site.get(path)
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (401, b"", "0")


async def test_dot_segments_are_resolved_before_authorization(site: RunningApp) -> None:
    for target in ("/api/open/../../admin/host/status", "/api/%2e%2e/admin/host/keys", "/ADMIN/host/status/"):
        answer = await site.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 401 ")


async def test_all_requests_are_authorized_without_enable_auth(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        for path in (*FUNCTIONS, "/admin/host/status", "/admin/host/keys"):
            assert await refusal(site, "GET", path, "nobody") is None
            assert await refusal(site, "GET", path, "wrong") is None


def outer_address() -> str | None:
    """Return the address of this machine in its network. Nothing is sent for that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
        return address


async def test_nothing_listens_beyond_this_machine(tmp_path: Path) -> None:
    address = outer_address()
    if address is None:
        pytest.skip("this machine has no network")
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address, site.app.port)
