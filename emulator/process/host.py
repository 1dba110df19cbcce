"""Main function of the host process: read the supervisor's options, run the host, stop when standard input closes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from contextlib import nullcontext, suppress
from types import FrameType

from emulator import exit_codes
from emulator.clock import SystemClock
from emulator.config.start import configure
from emulator.errors import EmulatorError
from emulator.process.handover import Handover
from emulator.process.serving import open_console, serve

# The host waits ten seconds for running functions. If it still runs after this time, a function blocks its end.
LONGEST_STOP_SECONDS = 20.0
# How long threads of user code (those that are not daemons) may run after the host has ended.
_LEFTOVER_SECONDS = 3.0


def main() -> int:
    """Run one host in this process. Return its exit code (see `exit_codes`)."""
    # User code that reads standard input gets an empty file, not the supervisor's pipe.
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    try:
        # Load the modules now, while the supervisor starts storage, and not after it.
        import emulator.app  # noqa: F401
    except EmulatorError as error:
        sys.stderr.write(f"{error}\n")  # A package is too old.
        return exit_codes.NOT_STARTED
    except ImportError:
        # The installation is damaged. No change of the app could repair that.
        traceback.print_exc()
        return exit_codes.NOT_STARTED
    line = b""
    while not line.endswith(b"\n") and (more := os.read(pipe, 65536)):
        line += more
    if not line:
        return exit_codes.OK  # The supervisor ended before it sent the handover.
    handover = Handover.from_line(line.decode())
    folder = handover.options.app
    with handover.options.listener or nullcontext():
        try:
            # User code opens files by paths relative to the app folder, as under the Python worker.
            os.chdir(folder)
        except OSError as error:
            sys.stderr.write(
                f"Cannot change to the app folder '{folder}': {error.strerror}. Restore the folder or start azemu in "
                "another one.\n"
            )
            return exit_codes.NOT_STARTED
        try:
            code = asyncio.run(_serve(handover, pipe))
        except EmulatorError as error:
            sys.stderr.write(f"{error}\n")
            code = exit_codes.NOT_STARTED
    _exit_after(_LEFTOVER_SECONDS, code)
    return code


async def _serve(handover: Handover, pipe: int) -> int:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    code = exit_codes.OK

    def stop() -> None:
        # RuntimeError: the loop is closed, because the host ended by itself at the same moment.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(task.cancel)

    def restart() -> None:
        nonlocal code
        code = exit_codes.RESTART
        stop()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, on_signal)

    def stop_at_end_of_pipe() -> None:
        while os.read(pipe, 65536):
            pass
        stop()
        _exit_after(LONGEST_STOP_SECONDS, exit_codes.FAILED)

    # A thread, because Windows cannot wait for a pipe in an event loop.
    threading.Thread(target=stop_at_end_of_pipe, name="supervisor pipe", daemon=True).start()
    options = handover.options
    configuration = configure(options, os.environ)
    console = open_console(sys.stdout, options, configuration, style=handover.style, clock=SystemClock())
    with suppress(asyncio.CancelledError):
        await serve(configuration, console, announce=handover.print_functions, restart=restart)
    return code


def _exit_after(seconds: float, code: int) -> None:
    """End the process after `seconds`, even if a thread of user code still runs."""

    def end() -> None:
        # Not Clock.sleep: the event loop may be blocked or closed.
        threading.Event().wait(seconds)
        os._exit(code)

    threading.Thread(target=end, name="forced exit", daemon=True).start()
