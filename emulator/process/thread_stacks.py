"""Stacks of the threads of a process in which native code keeps Python from running.

Such code holds the interpreter's lock (GIL), so no signal handler and no other thread of Python runs. A handler of
faulthandler is C code, which runs all the same:

    write_stacks_on_request(file)               # in the host process
    places = await request_places(pid, file)    # in the supervisor
"""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from emulator.clock import Clock
from emulator.worker.origins import place_in_stack
from emulator.worker.stack_files import stacks_in

_WRITING_SECONDS = 0.2


def write_stacks_on_request(file: Path) -> None:
    """Let SIGQUIT write the stacks of all threads into `file`. Does nothing on Windows, which has no such signal."""
    if sys.platform != "win32":
        # Never closed: the handler writes to it until the process ends.
        faulthandler.register(signal.SIGQUIT, open(file, "w", encoding="utf-8"))  # noqa: SIM115


def write_stacks_at_quit() -> None:
    r"""Let SIGQUIT (Ctrl-\ in a terminal) write the stacks of all threads to standard error and end the process."""
    if sys.platform != "win32":
        with suppress(OSError, ValueError, io.UnsupportedOperation):  # It has no file descriptor.
            faulthandler.register(signal.SIGQUIT, sys.stderr, chain=True)


async def request_places(process_id: int, file: Path, clock: Clock) -> Sequence[str]:
    """Return where the threads of the process are in the app's code, such as "function_app.py, line 8, in go: …".

    `file`: that of `write_stacks_on_request` in this process. Empty if the process has ended, has not come as far as
    this call, or on Windows.
    """
    if sys.platform == "win32":
        return ()
    try:
        os.kill(process_id, signal.SIGQUIT)
    except ProcessLookupError:
        return ()
    await clock.sleep(_WRITING_SECONDS, upkeep=True)
    # Without a file the process had no handler yet, so the signal has ended it.
    return [place for stack in stacks_in(file) if (place := place_in_stack(stack)) is not None]
