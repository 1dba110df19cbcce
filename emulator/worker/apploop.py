"""The app's own asyncio loop, in a thread of its own: async functions and the import of the app's modules run there.

One loop for the whole app, because apps keep loop-bound clients in globals; never the host's, because an app may
block it (docs/protocol/python-worker.md chapter 12, item 13).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Real seconds: user code does not live by our clock.
_CANCEL_GRACE_SECONDS = 1.0
_JOIN_GRACE_SECONDS = 3.0


class AppLoop:
    """`start` it, `submit` coroutines from any thread, `stop` it from a thread that may wait a moment."""

    def __init__(self, on_start: Callable[[], None]) -> None:
        self._on_start = on_start
        self.loop = asyncio.new_event_loop()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="function-app", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run `work()` as a task in a fresh context. The coroutine must not let BaseExceptions out."""
        future: Future[T] = Future()

        def begin() -> None:
            task = self.loop.create_task(work())
            task.add_done_callback(lambda done: _hand_over(done, future))

        self.loop.call_soon_threadsafe(begin, context=contextvars.Context())
        return future

    def stop(self) -> bool:
        """Cancel what still runs and end the thread. False: user code blocks it, and it is left behind."""
        self._stopping = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_JOIN_GRACE_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._on_start()
        while not self._stopping:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # asyncio lets these two stop the loop. They came out of a background task of the app, whose end
                # must not end the other functions.
                _log.exception("A background task of the function app tried to end the process")
        self._cancel_all()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks, timeout=_CANCEL_GRACE_SECONDS))


def _hand_over(done: asyncio.Task[T], future: Future[T]) -> None:
    if done.cancelled():
        future.set_exception(asyncio.CancelledError())
    elif (error := done.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())
