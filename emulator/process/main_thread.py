"""Threads of a process of `azemu start`: user code has the main thread, and the host's event loop runs on another one.

As in the official worker, modules are imported and async functions run on the main thread, because signal handlers and
some libraries work only there. See docs/boundary.md.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final

from emulator import exit_codes
from emulator.worker.app_loop import AppLoop
from emulator.worker.boundary.stop_signals import stop_signals
from emulator.worker.origins import place_in_app

LONGEST_STOP_SECONDS: Final = 7.5
"""How long a host may take to stop: longer than `DRAIN_SECONDS` in serving.py. User code that blocks ends then, too."""
# How long threads of user code (those that are not daemons) and a blocked main thread may run after the host has ended.
_LEFTOVER_SECONDS = 3.0
_POLL_SECONDS = 0.2

RunHost = Callable[[AppLoop], Coroutine[Any, Any, None]]
"""Runs the host until it is cancelled. It starts the given loop for user code."""


class HostRunner:
    """Runs one host on a thread of its own and the app's event loop on the main thread, which calls `run`.

    `on_stop`: called on the host's thread when `stop` takes effect.
    """

    def __init__(self, on_stop: Callable[[], None] = lambda: None) -> None:
        self._on_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._code = exit_codes.OK

    def run(self, run_host: RunHost, on_signal: Callable[[int], None]) -> int:
        """Block until the host has ended. Return the exit code, or raise what `run_host` raises.

        `on_signal`: called with the number of each stop signal, on the main thread; it may call `stop`. The process
        ends a few seconds after the host even if user code blocks the main thread.
        """
        app_loop = AppLoop(on_own_thread=False)
        ended: Future[None] = Future()

        async def run_until_stopped() -> None:
            self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
            # From here on `stop` cancels this task. It may have been called before.
            if self._stopping:
                self._on_stop()
            else:
                with suppress(asyncio.CancelledError):
                    await run_host(app_loop)

        def run_on_this_thread() -> None:
            try:
                ended.set_result(asyncio.run(run_until_stopped()))
            except BaseException as error:
                self._code = self._code or exit_codes.FAILED
                ended.set_exception(error)
            finally:
                app_loop.request_stop()
                exit_after(_LEFTOVER_SECONDS, self._code)

        with stop_signals(on_signal):
            thread = threading.Thread(target=run_on_this_thread, name="azemu host", daemon=True)
            thread.start()
            app_loop.run()
            while thread.is_alive():
                # With a time limit, because on Windows no signal handler runs while the main thread waits for a lock.
                thread.join(_POLL_SECONDS)
        # Otherwise Python would wait for these processes at its exit. `multiprocessing` knows only its own ones; the
        # supervisor ends all others (subprocesses.end_process_group).
        if "multiprocessing" in sys.modules:
            import multiprocessing  # Not at the top: few apps use it, and importing it would delay every start.

            for child in multiprocessing.active_children():
                child.terminate()
        ended.result()
        return self._code

    def stop(self, code: int = exit_codes.OK) -> None:
        """Cancel the host; `run` then returns `code`. Returns at once; for any thread, and for signal handlers."""
        if self._stopping:
            return
        self._stopping, self._code = True, code
        if self._loop is not None:
            # RuntimeError: the loop is closed, because the host has ended by itself at the same moment.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        assert self._task is not None
        self._on_stop()
        self._task.cancel()


def exit_after(seconds: float, code: int, *, before: Callable[[], object] = lambda: None) -> None:
    """End the process after `seconds` even if a thread of user code still runs. Call `before` immediately before.

    Prints where the threads are that have kept the process from ending.
    """

    def end() -> None:
        # Not Clock.sleep: the event loop may be blocked or closed.
        threading.Event().wait(seconds)
        for line in _what_blocks_the_exit():
            # The console belongs to the host, which has ended or hangs.
            with suppress(OSError, ValueError):
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
        before()
        os._exit(code)

    threading.Thread(target=end, name="forced exit", daemon=True).start()


def _what_blocks_the_exit() -> Iterator[str]:
    """Yield a line for each thread that Python waits for at its exit and that runs code of the app."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        place = None if thread.daemon or thread.ident is None else place_in_app(frames.get(thread.ident))
        if place is not None:
            yield f"The process is ended although code of the app still runs on thread '{thread.name}' ({place})."
