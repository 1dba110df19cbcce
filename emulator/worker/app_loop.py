"""Event loop of the function app: on its thread the app's modules are imported and its async functions run.

The whole app shares one loop, because apps keep loop-bound clients in global variables. It is never the host's loop,
because user code may block it (docs/protocol/python-worker.md chapter 12, item 13). In a process of `azemu start` it
runs on the main thread, as in the official worker, and in a test on a daemon thread (docs/boundary.md).
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from emulator.clock import new_event_loop
from emulator.logs import get_logger
from emulator.worker.boundary.kept_tasks import KeptTasks

T = TypeVar("T")

_log = get_logger(__name__)

# Real seconds, not seconds of the host's Clock: user code that does not end is not affected by virtual time.
_CANCEL_GRACE_SECONDS = 1.0
# Longer than the grace for cancelled tasks, so that a loop that only waits for them is joined in time.
STOP_SECONDS = 1.5


class AppLoop:
    """An asyncio loop for user code. `start` begins to run it; `on_own_thread`: on a new daemon thread.

    Without `on_own_thread`, the thread that has created this object calls `run`, which returns after `stop`. All other
    methods may be called from any thread.
    """

    def __init__(self, *, on_own_thread: bool = True) -> None:
        # Created on the thread that runs it, if that is the main thread: on Windows, asyncio connects signals to a loop
        # only there.
        self.loop = new_event_loop()
        self._tasks = KeptTasks()
        self._tasks.install(self.loop)
        self._on_own_thread = on_own_thread
        self._stopping = False
        self._ended = threading.Event()
        self.thread_id = 0
        """The identifier of the thread that runs the loop; 0 before it does."""

    def start(self, on_start: Callable[[], None]) -> None:
        """Call `on_start` on the loop's thread, before anything that is submitted later."""
        if self._on_own_thread:
            # A daemon: a function that blocks the loop must not keep the process alive.
            threading.Thread(target=self.run, name="function-app", daemon=True).start()
        self.loop.call_soon_threadsafe(on_start)

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run `work()` as a task in a fresh context. The coroutine must catch BaseException itself."""
        future: Future[T] = Future()

        async def run() -> None:
            # Here and not when the task has ended: one that was cancelled while it returned has no result.
            future.set_result(await work())

        def complete(task: asyncio.Task[None]) -> None:
            if task.cancelled():
                if not future.done():
                    future.set_exception(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                future.set_exception(error)

        def begin() -> None:
            # Kept here too, because user code may replace the loop's task factory.
            self._tasks.keep(self.loop.create_task(run())).add_done_callback(complete)

        # The fresh context matters: context variables that one invocation sets must not be seen by the next one.
        self.loop.call_soon_threadsafe(begin, context=contextvars.Context())
        return future

    def stop(self, grace_seconds: float = STOP_SECONDS) -> bool:
        """Cancel the tasks that still run and end the loop; block the caller for up to `grace_seconds`.

        Return False if user code blocks the loop; its thread is then left running.
        """
        self.request_stop()
        return self._ended.wait(grace_seconds)

    def request_stop(self) -> None:
        """Let the loop cancel its tasks and end. Returns at once."""
        if not self._stopping:
            self._stopping = True
            self.loop.call_soon_threadsafe(self.loop.stop)

    def run(self) -> None:
        """Run the loop on the calling thread until it is stopped."""
        self.thread_id = threading.get_ident()
        asyncio.set_event_loop(self.loop)
        while not self._stopping:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # asyncio re-raises these two out of run_forever. They come from a background task or a signal handler
                # of the app (functions themselves are wrapped); one that calls sys.exit must not end all functions.
                if not self._stopping:
                    _log.exception("A background task or signal handler of the function app tried to end the process")
        try:
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                # With a limit: a task may ignore its cancellation.
                self.loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_GRACE_SECONDS))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        except (SystemExit, KeyboardInterrupt):
            _log.debug("user code tried to end the process while it was ending anyway")
        finally:
            self.loop.close()
            self._ended.set()
