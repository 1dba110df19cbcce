"""Main function of the host process: read the supervisor's options, run the host, stop when the supervisor says so."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
import threading
import traceback
from contextlib import ExitStack, suppress

from emulator import exit_codes
from emulator.clock import SystemClock
from emulator.config.start import configure
from emulator.errors import EmulatorError
from emulator.forking import hidden_from_forks
from emulator.loading import loading_modules
from emulator.own_modules import remove_checkout_from_path
from emulator.process.handover import STOP, Handover
from emulator.process.main_thread import LONGEST_STOP_SECONDS, HostRunner, exit_after
from emulator.process.predecessor import serving_lock
from emulator.process.serving import open_console, serve
from emulator.process.thread_stacks import write_stacks_on_request
from emulator.worker.app_loop import AppLoop
from emulator.worker.boundary.breakpoints import explain_breakpoints

# If the supervisor was killed, the user may start the app again at once, and this process must not be in the way. What
# it has not finished, the next host takes over, as after a crash.
_ORPHAN_SECONDS = 0.7


def main() -> int:
    """Run one host in this process. Return its exit code (see `exit_codes`)."""
    # User code that reads standard input gets an empty file, not the supervisor's pipe.
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An encoding that the app chooses (PYTHONIOENCODING) may lack characters of the host's log lines.
        sys.stdout.reconfigure(errors="replace")
    # A fault in a native library ends the process. This prints where, on standard error.
    with suppress(OSError, ValueError, io.UnsupportedOperation):  # It has no file descriptor.
        faulthandler.enable(all_threads=False)
    explain_breakpoints()
    try:
        # Load the modules now, while the supervisor starts storage, and not after it.
        with loading_modules():
            import emulator.app  # noqa: F401
    except EmulatorError as error:
        sys.stderr.write(f"{error}\n")  # A package is too old.
        return exit_codes.NOT_STARTED
    except ImportError:
        # The installation is damaged. No change of the app could repair that.
        traceback.print_exc()
        return exit_codes.NOT_STARTED
    line, _, rest = _read_line(pipe).partition(b"\n")
    if line + b"\n" in (b"\n", STOP):
        return exit_codes.OK  # The supervisor ended before it sent the handover.
    remove_checkout_from_path()
    handover = Handover.from_line(line.decode())
    _restore_environment(handover)
    if handover.stacks_file is not None:
        write_stacks_on_request(handover.stacks_file)
    folder = handover.options.app
    with ExitStack() as stack:
        for listener in handover.options.listeners:
            stack.enter_context(listener)
        stack.enter_context(hidden_from_forks(lambda: [pipe]))
        try:
            # User code opens files by paths relative to the app folder, as under the Python worker.
            os.chdir(folder)
        except OSError as error:
            sys.stderr.write(
                f"Cannot change to the app folder '{folder}': {error.strerror}. Restore the folder or start azemu in "
                "another one.\n"
            )
            return exit_codes.NOT_STARTED
        stack.enter_context(serving_lock(folder, handover.chosen_port))
        try:
            return _run(handover, pipe, rest)
        except EmulatorError as error:
            sys.stderr.write(f"{error}\n")
            return exit_codes.NOT_STARTED


def _read_line(pipe: int) -> bytes:
    content = b""
    while b"\n" not in content and (more := os.read(pipe, 65536)):
        content += more
    return content


def _restore_environment(handover: Handover) -> None:
    """Remove the app's variables again, so that the settings are read and reported as with --no-reload.

    The host sets them before it loads the app. The interpreter has read those that concern it.
    """
    for name, value in handover.replaced_environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _run(handover: Handover, pipe: int, received: bytes) -> int:
    """Run the host until the supervisor or a signal stops it, or the admin API asks for a restart."""
    runner = HostRunner()
    orphaned = threading.Event()

    def on_signal(number: int) -> None:
        # The code is that of shells. The supervisor did not ask for this end, so it starts the host again.
        runner.stop(128 + number)

    def stop_with_supervisor() -> None:
        content = received
        while STOP not in content and (more := os.read(pipe, 65536)):
            content += more
        if STOP not in content:
            orphaned.set()
        runner.stop()
        if STOP in content:
            exit_after(LONGEST_STOP_SECONDS, exit_codes.FAILED)
        else:
            exit_after(_ORPHAN_SECONDS, exit_codes.FAILED, before=_kill_own_group)

    async def run_host(app_loop: AppLoop) -> None:
        configuration = configure(handover.options, os.environ)
        console = open_console(sys.stdout, handover.options, configuration, style=handover.style, clock=SystemClock())
        await serve(
            configuration,
            console,
            announce=handover.print_functions,
            restart=lambda: runner.stop(exit_codes.RESTART),
            app_loop=app_loop,
            served_mark=handover.served_mark,
            chaos=handover.chaos,
            storage_restarted=handover.storage_restarted,
        )

    # A thread, because Windows cannot wait for a pipe in an event loop.
    threading.Thread(target=stop_with_supervisor, name="supervisor pipe", daemon=True).start()
    code = runner.run(run_host, on_signal)
    if orphaned.is_set():
        _kill_own_group()
    return code


def _kill_own_group() -> None:
    """End the processes that user code has started, and this one. The supervisor, which does it usually, is dead."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
