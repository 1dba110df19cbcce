"""Connection of an azemu to the process that runs Azurite (`runner.py`): start that process, read what it sends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator import exit_codes
from emulator.clock import Clock, within
from emulator.errors import StorageUnavailable
from emulator.private_files import make_private_folder, owner_only
from emulator.storage.azurite.probe import HOST
from emulator.storage.azurite.process import Ports
from emulator.storage.azurite.program import PrintLine
from emulator.storage.azurite.run_record import LOCK_FILE, RunRequest, runner_port
from emulator.storage.azurite.search import NoAzurite
from emulator.storage.file_lock import try_lock
from emulator.subprocesses import describe_exit_code, python_command, without_debugger

# Not imported: only the process that runs Azurite needs this module.
_RUNNER_MODULE: Final = "emulator.storage.azurite.runner"
_LOG_FILE: Final = "azemu.log"

_GREETING_SECONDS: Final = 3.0
# An Azurite that ends may take ten seconds to save its data, and a busy machine seconds to start a process.
_CONNECT_SECONDS: Final = 40.0
_RETRY_SECONDS: Final = 0.05
_LEAVE_SECONDS: Final = 15.0
# A runner that a signal has ended while it started is started again. After this many, it is a defect.
_MAX_KILLS: Final = 3


@dataclass(frozen=True, slots=True)
class Listening:
    """Azurite answers at these ports. `origin`: where its program comes from, for messages."""

    ports: Ports
    origin: str


class RunnerConnection:
    """Open connection to a runner. Azurite runs at least as long as it is open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, process_id: int) -> None:
        self.process_id = process_id
        """The process id of the runner."""
        self.started = False
        """Whether the runner was started for this connection."""
        self._reader = reader
        self._writer = writer

    async def wait_until_listening(self, print_line: PrintLine) -> Listening | None:
        """Wait until Azurite answers, and print what the runner has to say meanwhile; None if the runner ends.

        Raises StorageUnavailable if Azurite cannot be started, NoAzurite if there is none.
        """
        while (message := await self._next(print_line)) is not None:
            if "listening" in message:
                return Listening(message["listening"], message["origin"])
        return None

    async def watch(self, print_line: PrintLine, restarted: asyncio.Event) -> None:
        """Print what the runner has to say and set `restarted` after a crash of Azurite, until the runner ends.

        Raises StorageUnavailable if Azurite does not keep running.
        """
        while (message := await self._next(print_line)) is not None:
            if "restarted" in message:
                restarted.set()

    async def leave(self, clock: Clock) -> None:
        """Close the connection. If it is the last one, wait until Azurite has saved its data and ended."""
        with suppress(OSError):
            self._writer.write_eof()
            # The runner closes its side at once if others need Azurite, else when Azurite has ended.
            await within(clock, _LEAVE_SECONDS, self._reader.read())
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _next(self, print_line: PrintLine) -> dict[str, Any] | None:
        """Return the next message but lines, which are printed; None at the end of the connection."""
        while True:
            try:
                line = await self._reader.readline()
            except OSError:
                return None
            if not line.endswith(b"\n"):
                return None
            message: dict[str, Any] = json.loads(line)
            if "reason" in message:
                raise NoAzurite(message["reason"])
            if "error" in message:
                raise StorageUnavailable(message["error"])
            if "line" not in message:
                return message
            print_line(message["line"])


async def connect(folder: Path, clock: Clock) -> RunnerConnection | None:
    """Connect to the runner of a data folder; None if it has none that answers."""
    port = runner_port(folder)
    if port is None:
        return None
    try:
        reader, writer = await within(clock, _GREETING_SECONDS, asyncio.open_connection(HOST, port))
    except OSError:
        return None
    connection = None
    try:
        greeting = json.loads(await within(clock, _GREETING_SECONDS, reader.readline()))
        # The record may have been left by a killed runner, and the port may belong to another program now.
        if greeting["folder"] == str(folder):
            connection = RunnerConnection(reader, writer, greeting["process"])
    except (OSError, ValueError, LookupError, TypeError):
        pass  # Another program answers, or the runner is ending.
    finally:
        # Also if this is cancelled: an open connection would keep Azurite running.
        if connection is None:
            writer.close()
    return connection


async def connect_or_start(request: RunRequest, clock: Clock) -> RunnerConnection:
    """Connect to the runner of the data folder, and start it if there is none. Raises StorageUnavailable."""
    try:
        make_private_folder(request.folder)
        return await within(clock, _CONNECT_SECONDS, _connect_or_start(request, clock))
    except OSError as error:
        # TimeoutError is an OSError, too.
        if isinstance(error, TimeoutError):
            raise StorageUnavailable(
                f"Another process uses the Azurite data in {request.folder}, but gives no access to its Azurite: "
                f"{_log_of(request.folder) or 'it is still starting or stopping'}. Start azemu again."
            ) from None
        raise StorageUnavailable(
            f"Azurite needs the folder {request.folder} for its data, which cannot be used: {error.strerror}. "
            "Make it writable, choose another one with the environment variable AZEMU_DATA, or use "
            "--storage builtin:PATH with a file elsewhere."
        ) from error


async def _connect_or_start(request: RunRequest, clock: Clock) -> RunnerConnection:
    process: subprocess.Popen[bytes] | None = None
    kills = 0
    try:
        while True:
            connection = await connect(request.folder, clock)
            if connection is not None:
                # Another azemu may have started one at the same moment, and ours has ended or is about to.
                connection.started = process is not None and process.pid == connection.process_id
                return connection
            if process is not None and process.poll() is not None:
                kills += process.returncode < 0
                was_killed = process.returncode < 0 and kills < _MAX_KILLS
                if process.returncode not in (exit_codes.OK, exit_codes.RUNNER_EXISTS) and not was_killed:
                    raise StorageUnavailable(
                        f"The process that runs Azurite ended ({describe_exit_code(process.returncode)}): "
                        f"{_log_of(request.folder)}"
                    )
                process = None
            if process is None:
                # While another runner starts or stops, a new one would only end again.
                with try_lock(request.folder / LOCK_FILE) as lock:
                    is_free = lock is not None
                if is_free:
                    process = _start_runner(request)
            await clock.sleep(_RETRY_SECONDS)
    finally:
        if process is not None and process.returncode is None:
            # The runner may outlive this process, and nothing waits for it. Without this, Popen would warn about that.
            process.returncode = 0


def _start_runner(request: RunRequest) -> subprocess.Popen[bytes]:
    detached: dict[str, Any]
    # A session or console of its own: neither Ctrl-C nor closing the terminal reaches the runner.
    if sys.platform == "win32":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    else:
        detached = {"start_new_session": True}
    with open(request.folder / _LOG_FILE, "wb", opener=owner_only) as log, without_debugger():
        return subprocess.Popen(
            python_command(_RUNNER_MODULE, request.to_text()),
            # Not the app folder, which could not be deleted on Windows while the runner runs.
            cwd=request.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **detached,
        )


def _log_of(folder: Path) -> str:
    """Return the last line that the runner has written to its log."""
    with suppress(OSError):
        lines = (folder / _LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
    return ""
