"""Start, kill and describe child processes in the same way on every operating system."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any


def detached_from_terminal() -> dict[str, Any]:
    """How to start a process that Ctrl-C does not reach: whoever started it decides when it ends.

    A terminal sends Ctrl-C to all its processes, but the host needs its storage until it has drained.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


async def kill_process_tree(process: asyncio.subprocess.Process) -> None:
    """End a process that was started `detached_from_terminal`, and all that it started, and wait for that.

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


def describe_exit_code(code: int) -> str:
    """The exit code of a process in words; on POSIX a negative one is the signal that killed it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
