"""Process that runs Azurite for every `azemu start` that uses the same data folder.

Azurite must outlive the azemu that was started first, and must end with the last one, also if it is killed. So it
belongs to a process of its own, and every azemu keeps a TCP connection to that process while it needs Azurite. The
operating system closes the connection when an azemu ends in any way. When the last one is closed, Azurite saves its
data and ends, and then this process.

The runner sends lines of JSON to every connection: `{"folder": …, "process": id}` first, `{"line": …}` for the user,
`{"listening": ports, "origin": …}` when Azurite answers, `{"restarted": true}` after a crash of Azurite, and
`{"error": …}` before it gives up. It reads only the end of a connection.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, ExitStack, suppress
from typing import Any

from emulator import bound_json as json
from emulator import exit_codes
from emulator.background import background
from emulator.clock import Clock, SystemClock, within
from emulator.config.connections import SERVICES
from emulator.errors import StorageUnavailable
from emulator.storage.azurite.probe import HOST, PortUser, probe
from emulator.storage.azurite.process import Launch, Ports, PortTaken, keep_running
from emulator.storage.azurite.run_record import (
    ANY_PORTS,
    LOCK_FILE,
    RunRequest,
    recorded_ports,
    recorded_runner,
)
from emulator.storage.azurite.search import NoAzurite, find_program
from emulator.storage.file_lock import try_lock

# The azemu that starts the runner connects at once. If it was killed meanwhile, nothing would end the runner.
_FIRST_CONNECTION_SECONDS = 30.0
# Another program may take a port between the probe and the start of Azurite.
_START_ATTEMPTS = 3


def main(text: str) -> int:
    """Run Azurite as the request (`RunRequest.to_text`) says, until no azemu needs it. Return the exit code."""
    return asyncio.run(_run(RunRequest.from_text(text), SystemClock()))


async def _run(request: RunRequest, clock: Clock) -> int:
    with ExitStack() as stack:
        lock = stack.enter_context(try_lock(request.folder / LOCK_FILE))
        if lock is None:
            return exit_codes.RUNNER_EXISTS
        runner = _Runner(request, clock, lock.fileno())
        server = await asyncio.start_server(runner.serve, HOST, 0)
        stack.enter_context(recorded_runner(request.folder, server.sockets[0].getsockname()[1]))
        try:
            async with background(runner.run_azurite(), name="Azurite"):
                await runner.wait_until_unused()
        except StorageUnavailable as error:
            reason = {"reason": error.reason} if isinstance(error, NoAzurite) else {}
            await runner.wait_for_connection()
            runner.send({"error": str(error), **reason})
        finally:
            server.close()
    # After the lock is released, because an azemu that stops waits for the end of its connection: the next start then
    # finds the folder free.
    await runner.disconnect()
    return exit_codes.OK


class _Runner:
    """The connections of one runner, and what they are told."""

    def __init__(self, request: RunRequest, clock: Clock, lock: int) -> None:
        self._request = request
        self._clock = clock
        # The descriptor of the lock file. Azurite inherits it (on POSIX): if this process is killed, no other Azurite
        # is started on the same files before this one has saved them.
        self._lock = lock
        self._connections: set[asyncio.StreamWriter] = set()
        self._last: set[asyncio.StreamWriter] = set()
        self._connected = asyncio.Event()
        self._unused = asyncio.Event()
        self._listening: dict[str, Any] | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of an azemu until it ends."""
        if self._unused.is_set():
            writer.close()
            return
        self._connections.add(writer)
        self._connected.set()
        _send(writer, {"folder": str(self._request.folder), "process": os.getpid()})
        if self._listening is not None:
            _send(writer, self._listening)
        with suppress(OSError):
            while await reader.read(1024):
                pass
        self._connections.discard(writer)
        if self._connections:
            writer.close()
        else:
            # Closed when Azurite has ended, so that the azemu can wait for that.
            self._last.add(writer)
            self._unused.set()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to all connections."""
        for writer in self._connections:
            _send(writer, message)

    async def wait_until_unused(self) -> None:
        """Wait until the last connection has ended, or none was opened in time."""
        await self.wait_for_connection()
        await self._unused.wait()

    async def wait_for_connection(self) -> None:
        """Wait until an azemu has connected, or has not connected in time."""
        try:
            await within(self._clock, _FIRST_CONNECTION_SECONDS, self._connected.wait())
        except TimeoutError:
            self._unused.set()

    async def disconnect(self) -> None:
        """Close all connections."""
        for writer in self._connections | self._last:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def run_azurite(self) -> None:
        """Find and start Azurite and keep it running. Raises StorageUnavailable."""
        request = self._request
        program = await find_program(request.app, clock=self._clock, print_line=self._print_line)
        for attempt in range(1, _START_ATTEMPTS + 1):
            # Free ports need no probe. The installation may have taken a minute, so others are probed now.
            users = await probe(request.ports, self._clock) if all(request.ports.values()) else {}
            taken = [str(request.ports[service]) for service, user in users.items() if user is not PortUser.NOTHING]
            if taken and request.exactly:
                raise StorageUnavailable(
                    f"Azurite cannot be started again: port {', '.join(taken)} is now used by another program. "
                    "Stop that program and start azemu again."
                )
            ports = ANY_PORTS if taken else request.ports
            launch = Launch(program=program, ports=ports, folder=request.folder, inherited=(self._lock,))
            try:
                await self._keep_running(launch, taken)
            except PortTaken:
                if attempt == _START_ATTEMPTS:
                    raise

    async def _keep_running(self, launch: Launch, taken: list[str]) -> None:
        listening: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
        restarted = asyncio.Event()
        running = keep_running(launch, listening, clock=self._clock, print_line=self._print_line, restarted=restarted)
        async with AsyncExitStack() as stack:
            # Before Azurite answers, so that an azemu that finds it at the usual ports also finds its data folder.
            if not taken and all(launch.ports.values()):
                stack.enter_context(recorded_ports(self._request.folder, launch.ports))
            await stack.enter_async_context(background(running, name="Azurite process"))
            ports = await listening
            if taken:
                where = ", ".join(f"{ports[service]} ({service})" for service in SERVICES)
                self._print_line(
                    f"Port {', '.join(taken)} is used by another program. Azurite uses the ports {where} instead."
                )
            self._listening = {"listening": dict(ports), "origin": launch.program.origin}
            self.send(self._listening)
            while True:
                await restarted.wait()
                restarted.clear()
                self.send({"restarted": True})

    def _print_line(self, line: str) -> None:
        self.send({"line": line})


def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    # An azemu that has just been killed does not read it. Its connection then ends by itself.
    if not writer.is_closing():
        writer.write(json.dumps(message).encode() + b"\n")
