"""Child processes: their command lines, start detached from the terminal, end, and exit codes, on every system."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from emulator.clock import Clock

_PACKAGE: Final = Path(__file__).resolve().parent
# PYTHONPATH may lead to another package of azemu's name, so azemu's is imported from its own folder. That folder is on
# the import path only until then: in a checkout of azemu it has folders such as `tests`, which are not for the app.
_CALL_MAIN: Final = (
    f"import sys; sys.path.insert(0, sys.argv[1]); import {_PACKAGE.name}; del sys.path[0]; "
    "from importlib import import_module; sys.exit(import_module(sys.argv[2]).main(*sys.argv[3:]))"
)

_TERMINATE_CHECKS = 20
_TERMINATE_CHECK_SECONDS = 0.05

_WINDOWS_CRASHES = {
    0xC0000005: "0xC0000005, access violation",
    0xC00000FD: "0xC00000FD, stack overflow",
    0xC0000374: "0xC0000374, heap corruption",
    0xC0000409: "0xC0000409, stack buffer overrun or abort",
}


def python_command(module: str, *arguments: str, interpreter_arguments: Sequence[str] = ()) -> list[str]:
    """Return a command that calls `main(*arguments)` of one of azemu's modules, which returns the exit code.

    The process gets azemu's package whatever the import path contains. `interpreter_arguments`: of Python itself.
    """
    # -P keeps the current folder off the import path: a file of the app must not shadow a module of azemu.
    start = [sys.executable, "-P", *interpreter_arguments, "-c", _CALL_MAIN]
    return [*start, str(_PACKAGE.parent), module, *arguments]


def without_debugger() -> AbstractContextManager[None]:
    """Return a context in which processes that this thread starts are not followed by a debugger of this process.

    debugpy and PyCharm put themselves into the command of each Python that a debugged process starts. It then waits for
    the editor, writes lines of the debugger into its output, and is killed when debugging stops. The process that runs
    Azurite must not be, because others may use it. The process of the host starts outside of this context: a user who
    debugs `azemu start` means the functions.
    """
    # A debugger that is attached has loaded this module. There is no other way to except single processes.
    debugger = sys.modules.get("_pydev_bundle.pydev_monkey")
    skip: AbstractContextManager[None] = getattr(debugger, "skip_subprocess_arg_patch", nullcontext)()
    return skip


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


async def end_process_group(process: asyncio.subprocess.Process, clock: Clock) -> None:
    """End the processes that a process of `start_detached`, which has ended, has started and left running.

    They get SIGTERM, and SIGKILL if that does not end them within a second. A process that has left the group (a
    daemon) stays. Does nothing on Windows, where the system does not know which processes they are.
    """
    if sys.platform == "win32":
        return
    # No other process can have this group's number while a process is in it. ProcessLookupError: none is left;
    # PermissionError: none that may be ended (macOS, for processes that have ended but have not been waited for).
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        for _ in range(_TERMINATE_CHECKS):
            await clock.sleep(_TERMINATE_CHECK_SECONDS, upkeep=True)
            os.killpg(process.pid, 0)
        os.killpg(process.pid, signal.SIGKILL)


def describe_exit_code(code: int) -> str:
    """Describe an exit code for a message. On POSIX -N means that signal N ended the process."""
    if code >= 0:
        # On Windows a crash has the number of its exception as exit code, which is known in hexadecimal.
        crash = _WINDOWS_CRASHES.get(code, f"0x{code:08X}") if code > 0xFFFF else ""
        return f"exit code {code}" + (f", {crash}" if crash else "")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"killed by signal {-code}"
    return f"killed by {name}"
