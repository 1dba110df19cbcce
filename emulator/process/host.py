"""The child of the supervisor: takes the handover, runs the host, ends when its standard input closes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType

from emulator import exit_codes
from emulator.clock import SystemClock
from emulator.config.start import configure
from emulator.errors import EmulatorError
from emulator.process.handover import Handover
from emulator.process.serving import open_console, serve

# The host gives running functions ten seconds. Whatever has not ended long after that never will.
_LAST_SECONDS = 20.0
# What user code left running (threads that are no daemons) may take this long once the host has ended.
_LEFTOVER_SECONDS = 3.0


def main() -> int:
    """The exit code: see `exit_codes`."""
    lifeline = _take_standard_input()
    if not _load_host():
        return exit_codes.NOT_STARTED
    line = _read_line(lifeline)
    if not line:
        return exit_codes.OK  # The supervisor ended before it had anything to hand over.
    handover = Handover.from_line(line)
    with handover.options.listener or nullcontext():
        code = _run(handover, lifeline) if _enter(handover.options.app) else exit_codes.NOT_STARTED
    _end_after(_LEFTOVER_SECONDS, code)
    return code


def _load_host() -> bool:
    """Load the modules while the supervisor still looks for storage. No change of the app could repair a failure."""
    try:
        import emulator.app  # noqa: F401
    except ImportError:
        traceback.print_exc()
        return False
    return True


def _enter(folder: Path) -> bool:
    try:
        os.chdir(folder)
    except OSError as error:
        sys.stderr.write(f"The app folder '{folder}' cannot be entered: {error.strerror}.\n")
        return False
    return True


def _run(handover: Handover, lifeline: int) -> int:
    try:
        return asyncio.run(_serve(handover, lifeline))
    except EmulatorError as error:
        sys.stderr.write(f"{error}\n")
        return exit_codes.NOT_STARTED


async def _serve(handover: Handover, lifeline: int) -> int:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    code = exit_codes.OK

    def stop() -> None:
        with suppress(RuntimeError):  # The loop has closed: the host ended by itself at the same moment.
            loop.call_soon_threadsafe(task.cancel)

    def restart() -> None:
        nonlocal code
        code = exit_codes.RESTART
        stop()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, on_signal)
    threading.Thread(target=_watch, args=(lifeline, stop), name="lifeline", daemon=True).start()
    options = handover.options
    configuration = configure(options, os.environ)
    console = open_console(sys.stdout, options, configuration, style=handover.style, clock=SystemClock())
    with suppress(asyncio.CancelledError):
        await serve(options, console, announce=handover.announce, restart=restart)
    return code


def _take_standard_input() -> int:
    """The descriptor of the pipe from the supervisor; user code that reads its standard input finds it empty."""
    lifeline = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return lifeline


def _read_line(lifeline: int) -> str:
    read = b""
    while not read.endswith(b"\n") and (more := os.read(lifeline, 65536)):
        read += more
    return read.decode()


def _watch(lifeline: int, stop: Callable[[], None]) -> None:
    while os.read(lifeline, 65536):
        pass
    stop()
    _end_after(_LAST_SECONDS, exit_codes.FAILED)


def _end_after(seconds: float, code: int) -> None:
    """A thread of user code that never returns must not keep the process."""

    def end() -> None:
        threading.Event().wait(seconds)
        os._exit(code)

    threading.Thread(target=end, name="last resort", daemon=True).start()
