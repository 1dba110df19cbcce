"""Child processes: start them detached from the terminal, kill them, describe their exit codes, on every system."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any


async def start_detached(*command: str, **options: Any) -> asyncio.subprocess.Process:
    """Start a process that Ctrl-C in the terminal does not reach. `options`: those of `create_subprocess_exec`.

    A terminal sends Ctrl-C to all its processes. azemu stops its child processes itself, in order: the host needs
    storage until running functions have finished. A caller that is cancelled during the start leaves no process
    behind. Raises OSError if the program cannot be started.
    """
    # Windows sends Ctrl-C to a process group of the console, POSIX to the foreground group of the session. A new group
    # or session also contains all children of the process, so that `kill_process_tree` can kill them together.
    if sys.platform == "win32":
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    else:
        options["start_new_session"] = True
    starting = asyncio.ensure_future(asyncio.create_subprocess_exec(*command, **options))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The start is completed first. asyncio (3.11) would kill the process but not its children, and wait forever for
        # pipes that these keep open.
        with suppress(OSError):
            await kill_process_tree(await starting)
        raise


async def kill_process_tree(process: asyncio.subprocess.Process) -> None:
    """Kill a process that was started with `start_detached` and all its children. Wait until it has ended."""
    if process.returncode is None:
        # npm and .cmd files are scripts that start the real program. Killing only the script would leave the program
        # running, and a reader of their common output would wait for it.
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
    """Describe an exit code for a message. On POSIX -N means that signal N ended the process."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
