"""Control of the host process by its supervisor: start, transfer of its options, wait for its end, stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from emulator.clock import Clock
from emulator.process.handover import STOP, Handover
from emulator.process.listening_port import ListeningPort
from emulator.process.thread_stacks import request_places
from emulator.subprocesses import end_process_group, kill_process_tree, python_command, start_detached

# Not imported: the supervisor does not need the modules of the host, which take long to load.
_HOST_MODULE: Final = "emulator.process.host"
# Longer than `LONGEST_STOP_SECONDS` in main_thread.py: the host process ends itself, and says what has kept it.
STOP_SECONDS: Final = 8.5
# Linux refuses to start a program with a variable of more than 128 KiB. The host adds longer settings itself.
_LONGEST_VALUE: Final = 100_000


class HostProcess:
    """One host process, from `start` to `stop`.

    It loads its modules at once, while the supervisor starts storage, and serves after `begin`. `environment`:
    variables of the app, which the process has from its start in addition to those of the supervisor, because the
    interpreter reads some of them only then (PYTHONPATH, PYTHONUTF8, TZ). `urgent`: set when the user does not want to
    wait for running functions; the process is then killed. `stacks_file`: that of the handover. `warn`: called with a
    line if the process does not react to a stop.
    """

    def __init__(
        self,
        python_arguments: Sequence[str],
        app: Path,
        environment: Mapping[str, str],
        listening: ListeningPort,
        clock: Clock,
        urgent: asyncio.Event,
        stacks_file: Path,
        warn: Callable[[str], None],
    ) -> None:
        self._python_arguments = python_arguments
        self._app = app
        self._environment = {name: value for name, value in environment.items() if len(value) <= _LONGEST_VALUE}
        self._listening = listening
        self._clock = clock
        self._urgent = urgent
        self._stacks_file = stacks_file
        self._warn = warn
        self._process: asyncio.subprocess.Process | None = None
        self._group_ended = False
        self._begun = False

    @property
    def replaced_environment(self) -> Mapping[str, str | None]:
        """For `Handover.replaced_environment`."""
        return {name: os.environ.get(name) for name in self._environment}

    async def start(self) -> None:
        """Start the process, which loads its modules and waits for `begin`."""
        # Ctrl-C reaches only the supervisor, which stops the host process before it stops storage.
        self._process = await start_detached(
            *python_command(_HOST_MODULE, interpreter_arguments=self._python_arguments),
            env={**os.environ, **self._environment},
            # Relative paths in PYTHONPATH are relative to the app folder, as under the Functions host. If the folder is
            # missing, the process reports it.
            cwd=self._app if self._app.is_dir() else None,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=[inherited.fileno() for inherited in self._listening.sockets],
        )

    async def begin(self, handover: Handover) -> None:
        """Send the options; the host process then starts to serve."""
        self._begun = True
        await self._send(handover.to_line().encode())

    async def wait(self) -> int:
        """Wait until the process ends. Return its exit code (on POSIX: -N if signal N ended it)."""
        return await self._running.wait()

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Let running functions finish, for up to `seconds`, and wait until the process has ended.

        Processes that user code has started and that still run are ended, too (on Windows only if the process has to be
        killed). May be called again, and without `start`.
        """
        process = self._process
        if process is None:
            return

        async def end() -> None:
            # Before `begin` nothing of the user runs that could be waited for, only the loading of azemu's modules.
            if process.returncode is None and self._begun:
                await self._send(STOP)
                waits = [
                    asyncio.ensure_future(wait)
                    for wait in (process.wait(), self._urgent.wait(), self._clock.sleep(seconds, upkeep=True))
                ]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
                if process.returncode is None and seconds == STOP_SECONDS and not self._urgent.is_set():
                    await self._report_hang(process)
            if process.returncode is None:
                await kill_process_tree(process)
            # Once only: later, the system may have given the number of the group to other processes.
            if not self._group_ended:
                self._group_ended = True
                await end_process_group(process, self._clock)

        ending = asyncio.ensure_future(end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            # The user pressed Ctrl-C during a restart. The host still needs storage, which ends after this method.
            await ending
            raise

    async def _report_hang(self, process: asyncio.subprocess.Process) -> None:
        """Say where the process is, which has had enough time to end itself: only native code prevents that."""
        places = await request_places(process.pid, self._stacks_file, self._clock)
        self._warn(
            "The host process did not react and is killed. Native code that does not let Python run prevents that."
            + (f" The app's code is at: {'; '.join(places)}." if places else "")
        )

    async def _send(self, line: bytes) -> None:
        stdin = self._running.stdin
        assert stdin is not None
        # If the process has ended already, `wait` returns its exit code, which says more than a broken pipe.
        with suppress(BrokenPipeError, ConnectionResetError):
            stdin.write(line)
            await stdin.drain()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "`start` has not been called"
        return self._process
