"""Who may use the dashboard, where it is, and what its files may do."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.config.start import StartOptions, configure
from emulator.dashboard import mount
from emulator.errors import ConfigurationError
from emulator.host.http.keys.key_store import HOST_SYSTEM_KEYS
from emulator.host.site import open_keys
from tests.running_apps import HTTP_APP, run_app, write_app

APP = """
@app.route(route="azemu/items")
def below(req): return "below"

@app.route(route="{*path}")
def everything(req): return "everything"
"""
EVIL = {"Host": "evil.example"}
CROSS_SITE = {"Origin": "http://evil.example"}
# Of a script element and of an EventSource.
CROSS_SITE_READS = ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, CROSS_SITE, {"Origin": "null"})


async def test_without_keys_everyone_but_web_pages_may_use_it(tmp_path: Path) -> None:
    async with run_app(write_app(tmp_path)) as app:
        for path in ("/azemu/", "/azemu/static/app.js", "/azemu/api/home"):
            assert (await app.get(path)).status == 200
            assert (await app.get(path, headers=EVIL)).status == 403
        put = "/azemu/api/storage/queues/orders/messages"
        assert (await app.post(put, '{"text": "x"}', headers=CROSS_SITE)).status == 403
        assert (await app.get("/azemu/api/storage/queues")).json()["queues"] == []
        assert (await app.post(put, '{"text": "x"}')).status == 201


async def test_cors_of_the_app_does_not_open_it(tmp_path: Path) -> None:
    async with run_app(write_app(tmp_path), cors="*") as app:
        assert (await app.get("/api/hello", headers=CROSS_SITE)).headers["Access-Control-Allow-Origin"] == "*"
        read = await app.get("/azemu/api/settings", headers=CROSS_SITE)
        assert (read.status, "Access-Control-Allow-Origin" in read.headers) == (403, False)
        assert "whatever CORS allows" in read.text
        put = "/azemu/api/storage/queues/orders/messages"
        assert (await app.post(put, '{"text": "x"}', headers=CROSS_SITE)).status == 403
        preflight = {**CROSS_SITE, "Access-Control-Request-Method": "POST"}
        answer = await app.request("OPTIONS", put, headers=preflight)
        assert "Access-Control-Allow-Methods" not in answer.headers


async def test_other_pages_read_nothing_and_keep_no_stream_open(tmp_path: Path) -> None:
    async with run_app(write_app(tmp_path, settings={"API_SECRET": "s3cr3t"})) as app:
        for path in ("home", "settings/value?name=API_SECRET", "logs?follow=true", "changes", "nothing"):
            for headers in CROSS_SITE_READS:
                assert (await app.get(f"/azemu/api/{path}", headers=headers)).status == 403
        own = {"Host": "localhost:7", "Origin": "http://localhost:7", "Sec-Fetch-Site": "same-origin"}
        assert (await app.get("/azemu/api/home", headers=own)).status == 200
        # A link to the dashboard leads to it.
        assert (await app.get("/azemu/", headers=CROSS_SITE_READS[0])).status == 200


async def test_with_keys_the_api_needs_the_master_key(tmp_path: Path) -> None:
    folder = write_app(tmp_path)
    keys = open_keys(configure(StartOptions(app=folder), {}), SystemClock())
    await keys.put(HOST_SYSTEM_KEYS, "_master", "the-master-key")
    async with run_app(folder, enable_auth=True) as app:
        # The page must come without a key, to ask for it.
        assert (await app.get("/azemu/")).status == 200
        for path in ("/azemu/api/home", "/azemu/api/nothing", "/azemu/api/logs?follow=true", "/AZEMU/API/home"):
            assert (await app.get(path)).status == 401
        assert (await app.get("/azemu/api/home", headers={"x-functions-key": "the-master-key"})).status == 200


async def test_files_are_served_with_a_strict_policy_and_nothing_else(tmp_path: Path) -> None:
    async with run_app(write_app(tmp_path)) as app:
        assert (await app.get("/azemu")).headers["Location"] == "azemu/"
        page = await app.get("/azemu/")
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        # Inline scripts and styles would not run.
        assert "<style" not in page.text
        assert "<script>" not in page.text
        script = await app.get("/azemu/static/app.js")
        assert script.headers["Content-Type"].startswith("text/javascript")
        again = await app.get("/azemu/static/app.js", headers={"If-None-Match": script.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        for path in (
            "/azemu/static/none.js",
            "/azemu/static/../site.py",
            "/azemu/static/%2e%2e/site.py",
            "/azemu/static/..%2fsite.py",
            "/azemu/static/..%5csite.py",
            "/azemu/static//etc/passwd",
        ):
            assert (await app.get(path)).status in (400, 404), path


async def test_a_host_without_functions_shows_why(tmp_path: Path) -> None:
    async with run_app(write_app(tmp_path, "import nothing_of_that_name")) as app:
        home = (await app.get("/azemu/api/home")).json()
        assert home["functions"] == 0
        assert any("nothing_of_that_name" in error for error in home["errors"])


async def test_a_throttled_host_still_shows_its_dashboard(tmp_path: Path) -> None:
    host = {"extensions": {"http": {"maxConcurrentRequests": 1}}}
    async with (
        run_app(write_app(tmp_path, host=host)) as app,
        # Open streams must not take the places of the requests to functions.
        app.session.get(f"{app.url}/azemu/api/changes"),
        app.session.get(f"{app.url}/azemu/api/changes"),
    ):
        assert (await app.get("/azemu/api/home")).status == 200
        assert (await app.get("/api/hello")).text == "hello"


async def test_a_function_below_its_path_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    host = {"extensions": {"http": {"routePrefix": ""}}}
    folder = write_app(tmp_path, HTTP_APP, APP, host=host)
    async with run_app(folder) as app:
        assert (await app.get("/azemu/items")).status == 404
        [message] = [record.message for record in caplog.records if "dashboard" in record.message]
        assert "'below' cannot be called" in message
        assert "--dashboard-path" in message
    caplog.clear()
    async with run_app(folder, dashboard_path="/tools/") as app:
        assert (await app.get("/azemu/items")).text == "below"
        assert (await app.get("/tools/api/home")).status == 200
        assert app.app.dashboard_url == f"{app.url}/tools/"
    async with run_app(folder, dashboard_path="none") as app:
        assert (await app.get("/tools/")).text == "everything"
        assert app.app.dashboard_url is None
    assert [record for record in caplog.records if "dashboard" in record.message] == []


@pytest.mark.parametrize("path", ["", "a/b", "admin", "/Runtime", "{x}", "ä"])
def test_other_paths_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match="--dashboard-path"):
        configure(StartOptions(app=write_app(tmp_path), dashboard_path=path or "/"), {})


def test_a_start_does_not_load_it() -> None:
    # In a process of its own: other tests have loaded it in this one.
    code = "import sys, emulator.app; print(*[name for name in sys.modules if name.startswith('emulator.dashboard')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(loaded) == ["emulator.dashboard", "emulator.dashboard.mount"]


def test_the_vendored_library_is_the_published_file() -> None:
    files = Path(mount.__file__).parent / "static" / "lib"
    [library] = files.glob("*.js")
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    record = Path(__file__).parents[2] / "docs" / "decisions" / "0006-vendored-preact-and-htm.md"
    assert f"`{digest}`" in record.read_text(encoding="utf-8")
    assert sorted(path.name for path in files.glob("LICENSE-*")) == ["LICENSE-htm.txt", "LICENSE-preact.txt"]


def test_the_scripts_import_only_what_others_export() -> None:
    # A browser loads no page at all if one name is missing, and the tests in a browser do not run everywhere.
    static = Path(mount.__file__).parent / "static"
    checked = 0
    for script in static.rglob("*.js"):
        for names, source in re.findall(r'import \{([^}]*)\} from "(\.[^"]+)"', script.read_text(encoding="utf-8")):
            text = (script.parent / source).read_text(encoding="utf-8")
            for name in (each.split(" as ")[0].strip() for each in names.split(",") if each.strip()):
                declared = re.search(rf"^export (async )?(function\*?|const|class|let) {name}\b", text, re.MULTILINE)
                listed = re.search(rf"export \{{[^}}]*\b{name}\b", text)
                assert declared or listed, f"{script.name} imports {name} of {source}"
                checked += 1
    assert checked > 50
