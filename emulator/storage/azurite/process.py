"""Process of Azurite: its command line, the ports that it prints, its restart after a crash, its end."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from emulator.background import background
from emulator.clock import Clock, within
from emulator.config.connections import DEVELOPMENT_PORTS, SERVICES, Service
from emulator.errors import StorageUnavailable
from emulator.ids import new_id
from emulator.private_files import UMASK
from emulator.storage.azurite.probe import HOST, PortUser, probe
from emulator.storage.azurite.program import PrintLine, Program
from emulator.storage.azurite.release import DOCKER_IMAGE
from emulator.subprocesses import describe_exit_code, kill_process_tree, start_detached

# Loaded into Azurite's Node.js, so that Azurite ends when this process ends in any way.
_EXIT_WITH_PARENT = Path(__file__).with_name("exit_with_parent.cjs")
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at \S+:(\d+)")
# Lines that Azurite prints in normal operation. They are left out of error messages.
_NORMAL_LINE = re.compile(r"Azurite (Blob|Queue|Table) service is|In-memory extent storage is")
_START_SECONDS = 60.0
# Docker downloads the image at the first start.
_CONTAINER_START_SECONDS = 900.0
_STOP_SECONDS = 10.0
# Azurite is not restarted any more when this many runs, one after the other, each took less than this time.
_SHORT_RUN = timedelta(seconds=20)
_MAX_SHORT_RUNS = 3

# `wait` returns when Azurite ends in any way. The `cat` ends with the standard input, which is when azemu has ended,
# and then kills Azurite. Standard input is copied to descriptor 3, because a shell connects the standard input of its
# background commands to /dev/null.
_CONTAINER_SCRIPT = 'umask 077; exec 3<&0; azurite "$@" & server=$!; (cat <&3 >/dev/null; kill $server) & wait $server'

Ports = Mapping[Service, int]


class PortTaken(StorageUnavailable):
    """Another program has taken a port between the probe and the start of Azurite."""


class KilledWhileStarting(StorageUnavailable):
    """A signal has ended Azurite before it listened, so the next start may succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start. `ports`: 0 means any free port. `folder`: where the data is stored; None: in memory only.

    `inherited`: file descriptors that Azurite holds open until it ends; on Windows it does not inherit them.
    """

    program: Program
    ports: Ports
    folder: Path | None
    inherited: tuple[int, ...] = ()

    @property
    def remedy(self) -> str:
        """Advice for error messages."""
        data = f" (its data is in {self.folder})" if self.folder is not None else ""
        return f"Repair Azurite{data}, or start without it: --storage builtin"

    def command(self) -> list[str]:
        """Return the command line."""
        # By default Azurite refuses requests of an SDK that is newer than itself, whatever they need.
        options = ["--skipApiVersionCheck", "--silent"]
        if self.program.sends_telemetry:
            options.append("--disableTelemetry")
        if not self.program.in_container:
            for service in SERVICES:
                options += [f"--{service}Host", HOST, f"--{service}Port", str(self.ports[service])]
            options += ["--inMemoryPersistence"] if self.folder is None else ["--location", str(self.folder)]
            return [*self.program.command, *options]
        container = ["run", "--rm", "--interactive", "--name", f"azemu-azurite-{new_id()[:8]}"]
        arguments: list[str] = []
        for service in SERVICES:
            container += ["--publish", f"{HOST}:{self.ports[service]}:{DEVELOPMENT_PORTS[service]}"]
            # Azurite has to accept connections from outside the container. Docker limits them to HOST.
            arguments += [f"--{service}Host", "0.0.0.0"]
        if self.folder is None:
            arguments.append("--inMemoryPersistence")
        else:
            container += ["--volume", f"{self.folder}:/data"]
            arguments += ["--location", "/data"]
        if sys.platform != "win32":
            # Otherwise the files in the app folder would belong to root.
            container += ["--user", f"{os.getuid()}:{os.getgid()}"]
        script = ["--entrypoint", "sh", DOCKER_IMAGE, "-c", _CONTAINER_SCRIPT, "azurite"]
        return [*self.program.command, *container, *script, *arguments, *options]


async def keep_running(
    launch: Launch, listening: asyncio.Future[Ports], *, clock: Clock, print_line: PrintLine, restarted: asyncio.Event
) -> None:
    """Run Azurite until cancelled. Restart it when it ends by itself.

    `listening`: gets the ports of the first start. `restarted`: set when Azurite listens again after a restart. Raises
    StorageUnavailable if it cannot be started or ends repeatedly.
    """
    if launch.program.in_container and not all(launch.ports.values()):
        # Docker cannot publish "any free port" under a number that is known afterwards, so the ports are chosen here.
        with ExitStack() as sockets:
            # All three are open at the same time, so that they get different ports.
            bound = [sockets.enter_context(socket.create_server((HOST, 0))) for _ in SERVICES]
            free = {service: opened.getsockname()[1] for service, opened in zip(SERVICES, bound, strict=True)}
        launch = replace(launch, ports=free)
    short_runs = 0
    while True:
        async with _started(launch, clock) as process:
            started_at = clock.now()
            with suppress(KilledWhileStarting):
                ports = await process.wait_until_listening(clock)
                started_at = clock.now()
                if listening.done():
                    restarted.set()
                else:
                    # Connection strings contain the ports, so a restarted Azurite must have the same ones.
                    launch = replace(launch, ports=ports)
                    listening.set_result(ports)
            code = await process.wait()
            short_runs = short_runs + 1 if clock.now() - started_at < _SHORT_RUN else 0
            reason = describe_exit_code(code)
            if short_runs == _MAX_SHORT_RUNS:
                raise StorageUnavailable(
                    f"Azurite ended {_MAX_SHORT_RUNS} times soon after its start ({reason}): {process.last_lines} "
                    f"{launch.remedy}"
                )
            print_line(
                f"Azurite ended unexpectedly ({reason}). Restarting it. Changes of the last five seconds may be lost. "
                f"{process.last_lines}".rstrip()
            )


class _Process:
    """One run of Azurite."""

    def __init__(self, process: asyncio.subprocess.Process, launch: Launch) -> None:
        self._process = process
        self._launch = launch
        self._last_lines: deque[str] = deque(maxlen=8)
        self._listening: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()

    @property
    def last_lines(self) -> str:
        """The end of its output, for error messages."""
        return " ".join(self._last_lines)

    async def wait(self) -> int:
        return await self._process.wait()

    async def read_output(self) -> None:
        """Read the output until the process ends. Three of the lines contain the ports."""
        assert self._process.stdout is not None
        ports: dict[Service, int] = {}
        async for line in self._process.stdout:
            text = line.decode(errors="replace").strip()
            if not _NORMAL_LINE.match(text):
                self._last_lines.append(text)
            match = _LISTENING.search(text)
            if match is not None:
                [service] = (service for service in SERVICES if service == match[1].lower())
                ports[service] = int(match[2])
            if len(ports) == len(SERVICES) and not self._listening.done():
                self._listening.set_result(ports)
        if not self._listening.done():
            code = await self._process.wait()
            output = self.last_lines
            kind = KilledWhileStarting if code < 0 else StorageUnavailable
            if "EADDRINUSE" in output or "port is already allocated" in output:
                kind = PortTaken
            remedy = (
                f"Stop the program that uses port {', '.join(map(str, self._launch.ports.values()))} and start again."
                if kind is PortTaken
                else self._launch.remedy
            )
            self._listening.set_exception(
                kind(
                    f"Azurite ({self._launch.program.origin}) ended while starting ({describe_exit_code(code)}): "
                    f"{output or 'it printed nothing'}. {remedy}"
                )
            )

    async def wait_until_listening(self, clock: Clock) -> Ports:
        """Wait until all three services answer. Return their ports. Raises StorageUnavailable."""
        program = self._launch.program
        timeout = _CONTAINER_START_SECONDS if program.in_container else _START_SECONDS
        try:
            printed = await within(clock, timeout, asyncio.shield(self._listening))
        except TimeoutError:
            raise StorageUnavailable(
                f"Azurite ({program.origin}) did not start within {timeout:.0f} seconds: {self.last_lines} "
                f"{self._launch.remedy}"
            ) from None
        # A container prints the ports inside it.
        ports = self._launch.ports if program.in_container else printed
        users = await probe(ports, clock)
        # On some systems two programs can listen on one port, and the other one gets the connections.
        wrong = [str(ports[service]) for service in SERVICES if users[service] is not PortUser.STORAGE]
        if wrong:
            raise StorageUnavailable(
                f"Azurite ({program.origin}) has started, but another program answers at port {', '.join(wrong)}. "
                "Stop that program."
            )
        return ports

    async def stop(self, clock: Clock) -> None:
        """Close the standard input, which makes Azurite save its data and end. Kill it if that takes too long."""
        assert self._process.stdin is not None
        self._listening.cancel()
        self._process.stdin.close()
        try:
            await within(clock, _STOP_SECONDS, self._process.wait())
        except TimeoutError:
            await kill_process_tree(self._process)


@asynccontextmanager
async def _started(launch: Launch, clock: Clock) -> AsyncIterator[_Process]:
    # Node.js reads quoted words in NODE_OPTIONS, with a backslash as escape. Hence as_posix on Windows, too.
    node_options = f'{os.environ.get("NODE_OPTIONS", "")} --require "{_EXIT_WITH_PARENT.as_posix()}"'.strip()
    try:
        started = await start_detached(
            *launch.command(),
            # In-memory Azurite has no --location, and takes the current folder for its data folder. Not the app's.
            cwd=launch.folder or tempfile.gettempdir(),
            env={**os.environ, "NODE_OPTIONS": node_options},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=launch.inherited if sys.platform != "win32" else (),
            # Azurite's files contain what apps have stored.
            umask=UMASK if sys.platform != "win32" else -1,
        )
    except OSError as error:
        raise StorageUnavailable(
            f"Azurite ({launch.program.origin}) could not be started: {error}. {launch.remedy}"
        ) from error
    process = _Process(started, launch)
    async with background(process.read_output(), name="Azurite output"):
        try:
            yield process
        finally:
            await process.stop(clock)
