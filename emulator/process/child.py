"""The host process, seen from its supervisor."""

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
from emulator.process.listening_port import Port
from emulator.subprocesses import detached_from_terminal

# -P keeps the current folder, which is the user's, off the import path: a file there must not shadow our modules. So
# the place of this package is handed over.
_BOOT: Final = "import sys; sys.path.append(sys.argv[1]); from emulator.process.host import main; sys.exit(main())"
_PACKAGE_FOLDER: Final = str(Path(__file__).resolve().parents[2])
# Longer than the host gives itself.
_STOP_SECONDS: Final = 25.0


class Child:
    """Started when entered, so that it loads its modules while storage is looked for; `begin` lets it serve.

    `urgent`: set when the user does not want to wait for an orderly end.
    """

    def __init__(self, python_arguments: Sequence[str], port: Port, clock: Clock, urgent: asyncio.Event) -> None:
        self._python_arguments = python_arguments
        self._port = port
        self._clock = clock
        self._urgent = urgent
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        listener = self._port.listener
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            *self._python_arguments,
            "-c",
            _BOOT,
            _PACKAGE_FOLDER,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[listener.fileno()] if listener is not None else [],
            **detached_from_terminal(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Let it end in good order. It may be called again, and costs nothing then."""
        stopping = asyncio.ensure_future(self._stop())
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            await stopping  # Ctrl-C during a restart: the order of things stays the same.
            raise

    async def begin(self, handover: Handover) -> None:
        stdin = self._running.stdin
        assert stdin is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # It has ended; `wait` tells how.
            stdin.write(handover.to_line().encode())
            await stdin.drain()

    async def wait(self) -> int:
        """Its exit code; negative: the signal that killed it."""
        return await self._running.wait()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "not entered"
        return self._process

    async def _stop(self) -> None:
        """Close its standard input, which it takes as the wish to stop (see handover.py)."""
        process = self._running
        assert process.stdin is not None
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
