"""Event loop of the function app: a thread on which the app's modules are imported and its async functions run.

The whole app shares one loop, because apps keep loop-bound clients in global variables. It is never the host's loop,
because user code may block it (docs/protocol/python-worker.md chapter 12, item 13).
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
_JOIN_GRACE_SECONDS = 3.0


class AppLoop:
    """An asyncio loop on a daemon thread. `on_start` is called on that thread before the loop runs.

    `submit` may be called from any thread; `stop` blocks its caller for up to three seconds.
    """

    def __init__(self, on_start: Callable[[], None]) -> None:
        self._on_start = on_start
        self.loop = new_event_loop()
        self._tasks = KeptTasks()
        self._tasks.install(self.loop)
        self._stopping = False
        # A daemon: a function that blocks the loop must not keep the process alive.
        self._thread = threading.Thread(target=self._run_until_stopped, name="function-app", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run `work()` as a task in a fresh context. The coroutine must catch BaseException itself."""
        future: Future[T] = Future()

        def complete(task: asyncio.Task[T]) -> None:
            if task.cancelled():
                future.set_exception(asyncio.CancelledError())
            elif (error := task.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(task.result())

        def begin() -> None:
            # Kept here too, because user code may replace the loop's task factory.
            self._tasks.keep(self.loop.create_task(work())).add_done_callback(complete)

        # The fresh context matters: context variables that one invocation sets must not be seen by the next one.
        self.loop.call_soon_threadsafe(begin, context=contextvars.Context())
        return future

    def stop(self) -> bool:
        """Cancel the tasks that still run and end the thread.

        Return False if user code blocks the loop; the thread is then left running.
        """
        self._stopping = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_JOIN_GRACE_SECONDS)
        return not self._thread.is_alive()

    def _run_until_stopped(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._on_start()
        while not self._stopping:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # asyncio re-raises these two out of run_forever. They come from a background task of the app (functions
                # themselves are wrapped); one task that calls sys.exit must not end all other functions.
                _log.exception("A background task of the function app tried to end the process")
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            # With a limit: a task may ignore its cancellation.
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_GRACE_SECONDS))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
