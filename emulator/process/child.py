"""Control of the host process by its supervisor: start, transfer of its options, wait for its end, stop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from emulator.clock import Clock
from emulator.process.handover import Handover
from emulator.process.listening_port import ListeningSocket
from emulator.subprocesses import start_detached

# The interpreter runs with -P, which keeps the current folder off the import path: a file of the app must not shadow
# a module of azemu. Therefore the folder that contains this package is passed as an argument. It is on the path only
# until the package is loaded: in a checkout of azemu it has folders such as `tests` and `samples`, which are not for
# the app. It is first, because PYTHONPATH may lead to another package of the same name.
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); import emulator; del sys.path[0]; "
    "from emulator.process.host import main; sys.exit(main())"
)
_PACKAGE_FOLDER: Final = str(Path(__file__).resolve().parents[2])

# Longer than `LONGEST_STOP_SECONDS` in host.py, so that the host process ends itself before it is killed.
_STOP_SECONDS: Final = 25.0


class HostProcess:
    """One host process, running while the context manager is entered.

    It loads its modules at once, while the supervisor starts storage, and serves after `begin`. `urgent`: set when the
    user does not want to wait for running functions; the process is then killed.
    """

    def __init__(
        self, python_arguments: Sequence[str], listening: ListeningSocket, clock: Clock, urgent: asyncio.Event
    ) -> None:
        self._python_arguments = python_arguments
        self._listening = listening
        self._clock = clock
        self._urgent = urgent
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        inherited = self._listening.socket
        # Ctrl-C reaches only the supervisor, which stops the host process before it stops storage.
        self._process = await start_detached(
            sys.executable,
            "-P",
            *self._python_arguments,
            "-c",
            _BOOT,
            _PACKAGE_FOLDER,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[inherited.fileno()] if inherited is not None else [],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def begin(self, handover: Handover) -> None:
        """Send the options; the host process then starts to serve."""
        stdin = self._running.stdin
        assert stdin is not None
        # If the process has ended already, `wait` returns its exit code, which says more than a broken pipe.
        with suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(handover.to_line().encode())
            await stdin.drain()

    async def wait(self) -> int:
        """Wait until the process ends. Return its exit code (on POSIX: -N if signal N ended it)."""
        return await self._running.wait()

    async def stop(self) -> None:
        """Let running functions finish and wait until the process has ended. Does nothing if it has ended already."""
        process = self._running

        async def end() -> None:
            assert process.stdin is not None
            # The host process takes the end of its standard input as the request to stop (see handover.py).
            process.stdin.close()
            waits = [
                asyncio.ensure_future(wait)
                for wait in (process.wait(), self._urgent.wait(), self._clock.sleep(_STOP_SECONDS, upkeep=True))
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

        ending = asyncio.ensure_future(end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            # The user pressed Ctrl-C during a restart. The host still needs storage, which ends after this method.
            await ending
            raise

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "the context manager is not entered"
        return self._process
