"""The running Azurite: its command line, its first words, its end and its restart."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from emulator.background import background
from emulator.clock import Clock, within
from emulator.config.connections import DEVELOPMENT_PORTS, SERVICES, Service
from emulator.errors import StorageUnavailable
from emulator.ids import new_id
from emulator.storage.azurite.probe import HOST, Answer, probe
from emulator.storage.azurite.program import DOCKER_IMAGE, Program
from emulator.subprocesses import describe_exit_code, detached_from_terminal, kill_process_tree

_GUARD = Path(__file__).with_name("exit_with_parent.cjs")
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at \S+:(\d+)")
_CHATTER = re.compile(r"Azurite (Blob|Queue|Table) service is|In-memory extent storage is")
_START_SECONDS = 60.0
_START_SECONDS_WITH_DOWNLOAD = 900.0
_STOP_SECONDS = 10.0
# A server that ends this soon after its start, this often, is not going to stay.
_SHORT_LIFE = timedelta(seconds=20)
_SHORT_LIVES = 3

# `wait` ends with Azurite, whichever way; the reader of standard input ends it when azemu is gone. Standard input must
# be kept under another number, because a shell gives its background commands an empty one.
_CONTAINER_SCRIPT = 'exec 3<&0; azurite "$@" & server=$!; (cat <&3 >/dev/null; kill $server) & wait $server'

Ports = Mapping[Service, int]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start. `ports` 0: any free ones. `folder`: where the data lies; None: nowhere, it is kept in memory."""

    program: Program
    ports: Ports
    folder: Path | None

    @property
    def remedy(self) -> str:
        """For messages: what the user can do when it does not start."""
        data = f", remove its data in {self.folder} if that is damaged" if self.folder is not None else ""
        return f"Repair it{data}, or do without it: --storage builtin"

    def command(self) -> list[str]:
        options = [
            "--skipApiVersionCheck",
            "--silent",
            *(["--disableTelemetry"] if self.program.sends_telemetry else []),
        ]
        if self.program.in_container:
            return [*self.program.command, *self._container(), *options]
        for service in SERVICES:
            options += [f"--{service}Host", HOST, f"--{service}Port", str(self.ports[service])]
        options += ["--inMemoryPersistence"] if self.folder is None else ["--location", str(self.folder)]
        return [*self.program.command, *options]

    def _container(self) -> list[str]:
        arguments = ["run", "--rm", "--interactive", "--name", f"azemu-azurite-{new_id()[:8]}"]
        for service in SERVICES:
            arguments += ["--publish", f"{HOST}:{self.ports[service]}:{DEVELOPMENT_PORTS[service]}"]
        data = ["--inMemoryPersistence"]
        if self.folder is not None:
            arguments += ["--volume", f"{self.folder}:/data"]
            data = ["--location", "/data"]
        if sys.platform != "win32":
            # Otherwise the files in the app folder would belong to root.
            arguments += ["--user", f"{os.getuid()}:{os.getgid()}"]
        hosts = [word for service in SERVICES for word in (f"--{service}Host", "0.0.0.0")]
        return [*arguments, "--entrypoint", "sh", DOCKER_IMAGE, "-c", _CONTAINER_SCRIPT, "azurite", *data, *hosts]


class _Process:
    """One life of Azurite. `last_words`: the end of what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, launch: Launch) -> None:
        self._process = process
        self._launch = launch
        self._words: deque[str] = deque(maxlen=8)
        self.listening: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()

    @property
    def last_words(self) -> str:
        return " ".join(self._words)

    async def wait(self) -> int:
        return await self._process.wait()

    async def read(self) -> None:
        """Read what it prints until it ends; the three lines with the ports make it known as listening."""
        assert self._process.stdout is not None
        ports: dict[Service, int] = {}
        async for line in self._process.stdout:
            text = line.decode(errors="replace").strip()
            if not _CHATTER.match(text):
                self._words.append(text)
            match = _LISTENING.search(text)
            if match is not None:
                [service] = (service for service in SERVICES if service == match[1].lower())
                ports[service] = int(match[2])
            if len(ports) == len(SERVICES) and not self.listening.done():
                self.listening.set_result(ports)
        if not self.listening.done():
            code = await self._process.wait()
            self.listening.set_exception(
                StorageUnavailable(
                    f"Azurite ({self._launch.program.origin}) ended while starting ({describe_exit_code(code)}): "
                    f"{self.last_words or 'it printed nothing'}. {self._launch.remedy}"
                )
            )

    async def stop(self, clock: Clock) -> None:
        """Close its standard input (see exit_with_parent.cjs); force it only if it does not go by itself."""
        assert self._process.stdin is not None
        self.listening.cancel()
        self._process.stdin.close()
        try:
            await within(clock, _STOP_SECONDS, self._process.wait())
        except TimeoutError:
            await kill_process_tree(self._process)


async def keep_running(
    launch: Launch, listening: asyncio.Future[Ports], *, clock: Clock, say: Say, again: asyncio.Event
) -> None:
    """Run Azurite until cancelled; start it again when it ends by itself.

    `listening` gets the first start's ports, `again` is set when a later one listens. Raises StorageUnavailable when it
    cannot be started or does not stay.
    """
    short_lives = 0
    launch = _with_container_ports(launch)
    while True:
        async with _life(launch, clock) as process:
            ports = await _wait_until_listening(process, launch, clock)
            # Connections know these ports by now: the next life has to have the same.
            launch = replace(launch, ports=ports)
            if listening.done():
                again.set()
            else:
                listening.set_result(ports)
            born = clock.now()
            code = await process.wait()
            short_lives = short_lives + 1 if clock.now() - born < _SHORT_LIFE else 0
            if short_lives == _SHORT_LIVES:
                raise StorageUnavailable(f"Azurite does not stay up ({describe_exit_code(code)}): {process.last_words}")
            say(
                f"Azurite ended unexpectedly ({describe_exit_code(code)}); starting it again. What it had not "
                f"saved, up to five seconds of changes, is lost. {process.last_words}".rstrip()
            )


async def _wait_until_listening(process: _Process, launch: Launch, clock: Clock) -> Ports:
    patience = _START_SECONDS_WITH_DOWNLOAD if launch.program.in_container else _START_SECONDS
    try:
        printed = await within(clock, patience, asyncio.shield(process.listening))
    except TimeoutError:
        raise StorageUnavailable(
            f"Azurite ({launch.program.origin}) did not come up within {patience:.0f} seconds: {process.last_words}"
        ) from None
    ports = launch.ports if launch.program.in_container else printed
    answers = await probe(ports, clock)
    wrong = [str(ports[service]) for service in SERVICES if answers[service] is not Answer.STORAGE]
    if wrong:
        raise StorageUnavailable(f"Azurite ({launch.program.origin}) started, but port {', '.join(wrong)} is not its.")
    return ports


@asynccontextmanager
async def _life(launch: Launch, clock: Clock) -> AsyncIterator[_Process]:
    try:
        started = await asyncio.create_subprocess_exec(
            *launch.command(),
            # In-memory Azurite takes no --location; it must not think that its data lies in the app folder.
            cwd=launch.folder or tempfile.gettempdir(),
            env={**os.environ, "NODE_OPTIONS": _node_options()},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            **detached_from_terminal(),
        )
    except OSError as error:
        raise StorageUnavailable(
            f"Azurite ({launch.program.origin}) could not be started: {error}. {launch.remedy}"
        ) from error
    process = _Process(started, launch)
    async with background(process.read(), name="Azurite output"):
        try:
            yield process
        finally:
            await process.stop(clock)


def _node_options() -> str:
    """Preload the guard. Node reads quoted words here, with a backslash as escape."""
    return f'{os.environ.get("NODE_OPTIONS", "")} --require "{_GUARD.as_posix()}"'.strip()


def _with_container_ports(launch: Launch) -> Launch:
    """Docker has to be told the ports; Azurite itself finds free ones."""
    if not launch.program.in_container or all(launch.ports.values()):
        return launch
    return replace(launch, ports=dict(zip(SERVICES, _free_ports(len(SERVICES)), strict=True)))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()
