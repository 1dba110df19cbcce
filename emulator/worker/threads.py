"""Threads for sync functions: started on demand, used again, never in the way of the process's end.

`concurrent.futures` joins its threads when the interpreter exits, so one stuck function would keep the process
alive for ever. These are daemons.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

Job = Callable[[], None]

# The official host sets PYTHON_THREADPOOL_THREAD_COUNT to this when the app does not (docs/protocol/python-worker.md
# 1.2).
DEFAULT_THREADS = 1000

_JOB_NAME = "function"
_STOPPED = "the worker has stopped"


def thread_limit(settings: Mapping[str, str], warn: Callable[[str], None]) -> int:
    """PYTHON_THREADPOOL_THREAD_COUNT: a whole number of at least 1; anything else is warned about and ignored."""
    text = settings.get("PYTHON_THREADPOOL_THREAD_COUNT")
    if text is None:
        return DEFAULT_THREADS
    try:
        wanted = int(text)
    except ValueError:
        warn("PYTHON_THREADPOOL_THREAD_COUNT must be an integer")
        return DEFAULT_THREADS
    if wanted < 1:
        warn("PYTHON_THREADPOOL_THREAD_COUNT must be set to a value of 1 or more. Reverting to the default value")
        return DEFAULT_THREADS
    return wanted


class FunctionThreads:
    """Runs calls on up to `limit` threads; further ones wait their turn, first come, first served."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = 0
        self._closed = False

    @property
    def limit(self) -> int:
        return self._limit

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Raises RuntimeError after `close`. `call` must not raise what a Future cannot carry to its waiter."""
        future: Future[T] = Future()

        def job() -> None:
            if self._closed:
                # It waited for a thread, and meanwhile the worker was stopped.
                future.set_exception(RuntimeError(_STOPPED))
                return
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        with self._lock:
            if self._closed:
                raise RuntimeError(_STOPPED)
            self._jobs.put(job)
            if not self._idle.acquire(blocking=False) and self._threads < self._limit:
                self._start_thread()
        return future

    def close(self) -> None:
        """No more calls, not even those that wait for a thread. Idle threads end now, busy ones after their call."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _start_thread(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=f"{_JOB_NAME}-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # Without this the last call's arguments would live until the next call.
            del job
            self._idle.release()
