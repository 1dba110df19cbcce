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

from emulator.errors import ConfigurationError

T = TypeVar("T")

Job = Callable[[], None]

PROCESS_COUNT = "FUNCTIONS_WORKER_PROCESS_COUNT"
THREAD_COUNT = "PYTHON_THREADPOOL_THREAD_COUNT"
MOST_PROCESSES = 10
# The official host sets PYTHON_THREADPOOL_THREAD_COUNT to this if the app does not (docs/protocol/python-worker.md
# 1.2).
DEFAULT_THREADS = 1000

_THREAD_NAME = "function"
_STOPPED = "the worker has stopped"


def thread_limit(settings: Mapping[str, str], warn: Callable[[str], None]) -> int:
    """Return the number of threads of all worker processes: FUNCTIONS_WORKER_PROCESS_COUNT times
    PYTHON_THREADPOOL_THREAD_COUNT.

    azemu has one worker process, so its pool stands for those of all processes. A wrong number of threads is reported
    with `warn`, in the official worker's words, and the default is used. Raises ConfigurationError for too many
    processes.
    """
    return _process_count(settings) * _threads_of_one_process(settings, warn)


def _process_count(settings: Mapping[str, str]) -> int:
    # Source: docs/protocol/functions-host.md 1.6. A text that is not a number and a number below 1 mean one process.
    try:
        count = int(settings.get(PROCESS_COUNT, ""))
    except ValueError:
        return 1
    if count > MOST_PROCESSES:
        raise ConfigurationError(
            f"The setting {PROCESS_COUNT} is {count}, but the Functions host starts at most {MOST_PROCESSES} worker "
            f"processes (ProcessCount must not be greater than MaxProcessCount). Set it to 1 to {MOST_PROCESSES}, or "
            "remove it."
        )
    return max(count, 1)


def _threads_of_one_process(settings: Mapping[str, str], warn: Callable[[str], None]) -> int:
    text = settings.get(THREAD_COUNT)
    if text is None:
        return DEFAULT_THREADS
    try:
        limit = int(text)
    except ValueError:
        warn(f"{THREAD_COUNT} must be an integer")
        return DEFAULT_THREADS
    if limit < 1:
        warn(f"{THREAD_COUNT} must be set to a value of 1 or more. Reverting to the default value")
        return DEFAULT_THREADS
    return limit


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
