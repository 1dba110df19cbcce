"""Ctrl-C and its relatives: the first one asks, the second one insists."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

# The last two exist on one system each: a closed terminal window, Ctrl-Break.
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def interruptible(*, first: Callable[[], object], again: Callable[[], object]) -> Iterator[None]:
    """While entered, a signal calls `first` on the running event loop, and every later one `again`."""
    loop = asyncio.get_running_loop()
    count = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        with suppress(RuntimeError):  # The loop has closed: everything is over already.
            loop.call_soon_threadsafe(first if count == 1 else again)

    # Not loop.add_signal_handler, which Windows does not have.
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def apart_from_the_terminal() -> dict[str, Any]:
    """How to start a process that Ctrl-C does not reach: whoever started it decides when it ends.

    A terminal sends Ctrl-C to all its processes, but the host needs its storage until it has drained.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


async def kill_with_children(process: asyncio.subprocess.Process) -> None:
    """End a process that was started `apart_from_the_terminal`, and all that it started, and wait for that.

    A script that starts a program would leave it behind, and whoever reads what it prints would wait for it.
    """
    if process.returncode is None:
        if sys.platform == "win32":
            words = ("taskkill", "/F", "/T", "/PID", str(process.pid))
            nowhere = asyncio.subprocess.DEVNULL
            killer = await asyncio.create_subprocess_exec(*words, stdout=nowhere, stderr=nowhere)
            await killer.wait()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def how_it_ended(code: int) -> str:
    """The exit code of a process in words; on POSIX a negative one is the signal that killed it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
