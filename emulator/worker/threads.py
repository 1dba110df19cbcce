"""Thread pool for sync functions: daemon threads that are started on demand and reused.

`concurrent.futures.ThreadPoolExecutor` joins its threads when the interpreter exits, so one function that never returns
would keep the process alive. The threads of this pool are daemons.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")

Job = Callable[[], None]

# The official host sets PYTHON_THREADPOOL_THREAD_COUNT to this if the app does not (docs/protocol/python-worker.md
# 1.2).
DEFAULT_THREADS = 1000
# Source: docs/protocol/functions-host.md chapter 1.6.
_MAX_PROCESSES = 10

_THREAD_NAME = "function"
_STOPPED = "the worker has stopped"


def thread_limit(settings: Mapping[str, str], warn: Callable[[str], None]) -> int:
    """Return how many sync functions may run at a time: PYTHON_THREADPOOL_THREAD_COUNT threads for each process.

    The setting FUNCTIONS_WORKER_PROCESS_COUNT is the number of processes: here they are one, with the threads of
    all. A wrong value counts as the default, and is reported with `warn`, in the official worker's words where it has
    them.
    """
    return _threads_of_a_process(settings, warn) * _processes(settings, warn)


def _threads_of_a_process(settings: Mapping[str, str], warn: Callable[[str], None]) -> int:
    text = settings.get("PYTHON_THREADPOOL_THREAD_COUNT")
    if text is None:
        return DEFAULT_THREADS
    try:
        limit = int(text)
    except ValueError:
        warn("PYTHON_THREADPOOL_THREAD_COUNT must be an integer")
        return DEFAULT_THREADS
    if limit < 1:
        warn("PYTHON_THREADPOOL_THREAD_COUNT must be set to a value of 1 or more. Reverting to the default value")
        return DEFAULT_THREADS
    return limit


def _processes(settings: Mapping[str, str], warn: Callable[[str], None]) -> int:
    text = settings.get("FUNCTIONS_WORKER_PROCESS_COUNT")
    if not text:
        return 1
    try:
        count = int(text)
    except ValueError:
        warn(f"FUNCTIONS_WORKER_PROCESS_COUNT is '{text}'; allowed: 1 to {_MAX_PROCESSES}. Using 1.")
        return 1
    if count > _MAX_PROCESSES:
        # The official host does not start the worker at all.
        warn(f"FUNCTIONS_WORKER_PROCESS_COUNT is {count}; allowed: 1 to {_MAX_PROCESSES}. Using {_MAX_PROCESSES}.")
    return min(max(count, 1), _MAX_PROCESSES)


class FunctionThreadPool:
    """Runs calls on up to `limit` threads. Further calls wait for a free thread, in the order of their arrival."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # Counts the idle threads that no queued job has claimed yet.
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = 0
        self._closed = False

    @property
    def limit(self) -> int:
        """The maximum number of threads."""
        return self._limit

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run `call` on a thread; the future has its result or exception, BaseException included.

        Raises RuntimeError after `close`.
        """
        future: Future[T] = Future()

        def job() -> None:
            if self._closed:
                # The pool was closed while this job waited for a thread. The caller must not wait for it any longer.
                future.set_exception(RuntimeError(_STOPPED))
                return
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)

        # The lock keeps `close` from counting the threads while one is being started: every thread needs its end
        # marker.
        with self._lock:
            if self._closed:
                raise RuntimeError(_STOPPED)
            self._jobs.put(job)
            # Acquiring claims an idle thread for this job. Without the claim two quick submits would both count on the
            # same idle thread, and the second job would wait although a thread could be started for it.
            if not self._idle.acquire(blocking=False) and self._threads < self._limit:
                self._threads += 1
                name = f"{_THREAD_NAME}-{self._threads}"
                threading.Thread(target=self._run_jobs, name=name, daemon=True).start()
        return future

    def close(self) -> None:
        """End the threads: idle ones now, busy ones after their call. Calls that wait for a thread are not run."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _run_jobs(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # Without this the arguments of the last call would stay alive until the thread gets its next job.
            del job
            self._idle.release()
