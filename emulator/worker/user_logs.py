"""Capture of what user code logs and prints, assigned to the invocation that it belongs to.

Log records arrive through one handler on the root logger; prints arrive through replacements of sys.stdout and
sys.stderr that pass on everything not written by user code. The invocation is known from a context variable, which
follows asyncio tasks and `asyncio.to_thread`, or from `context.thread_local_storage.invocation_id` in threads that the
app starts itself. Source: docs/protocol/python-worker.md chapter 7.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from emulator.logs import HostRecord
from emulator.worker.boundary.user_streams import UserStream
from emulator.worker.port import Invocation, LogRecord
from emulator.worker.replay_state import is_replaying

# How the official host finds the level of a line that its worker writes to stderr (docs/protocol/python-worker.md 7.4;
# azure-functions-host, src/WebJobs.Script/Workers/ProcessManagement/WorkerProcess.cs).
_ERROR_WORDS = ("error", "fail", "severe", "unhandled exception")


class RunningInvocation:
    """An invocation that is running, with the incomplete lines that it has printed."""

    def __init__(self, logs: UserLogs, invocation: Invocation) -> None:
        self.logs = logs
        self.invocation = invocation
        self._incomplete: dict[str, str] = {}
        # A function may print from several threads.
        self._lock = threading.Lock()

    def write(self, stream: str, text: str) -> None:
        """Deliver the complete lines of a print; keep the rest. `stream` is "stdout" or "stderr"."""
        with self._lock:
            *lines, rest = (self._incomplete.pop(stream, "") + text).split("\n")
            if rest:
                self._incomplete[stream] = rest
        # Outside the lock: delivering runs code of the host, which may print too.
        for line in lines:
            self._deliver(stream, line)

    def finish(self) -> None:
        """Deliver what was printed without a line end."""
        with self._lock:
            incomplete, self._incomplete = self._incomplete, {}
        for stream, line in incomplete.items():
            self._deliver(stream, line)

    def _deliver(self, stream: str, line: str) -> None:
        level, text = logging.INFO, line.lower()
        if stream == "stderr" and "warn" in text:
            level = logging.WARNING
        elif stream == "stderr" and any(word in text for word in _ERROR_WORDS):
            level = logging.ERROR
        record = LogRecord(
            level=level,
            message=line.removesuffix("\r"),
            category=None,
            invocation_id=self.invocation.id,
            is_replay=is_replaying(),
        )
        self.logs.deliver(record, self)


_current_invocation: ContextVar[RunningInvocation | None] = ContextVar("azemu_invocation", default=None)


class UserLogs:
    """While entered, captures the logs and prints of one app's user code.

    `on_log` receives log records outside invocations. `debug`: capture records of level DEBUG too. `local` is what
    functions see as `context.thread_local_storage`. Several apps may be open in one process; each captures its own.
    """

    def __init__(self, on_log: Callable[[LogRecord], None], *, debug: bool) -> None:
        self.local = threading.local()
        self._on_log = on_log
        self._level = logging.DEBUG if debug else logging.INFO
        self._running: dict[str, RunningInvocation] = {}
        self._app_threads: set[int] = set()
        self._host_thread = threading.get_ident()
        self._handler = _RootHandler(self)
        self._streams: dict[str, list[UserStream]] = {"stdout": [], "stderr": []}
        self._stream_lock = threading.Lock()

    def __enter__(self) -> UserLogs:
        root = logging.root
        # The root logger's level is shared by all apps in the process. The first app keeps the original level, the
        # others copy it from there, and the last one to leave restores it.
        others = _root_handlers()
        self._handler.original_level = others[0].original_level if others else root.level
        root.setLevel(min(root.level, self._level) if others else self._level)
        root.addHandler(self._handler)
        self._replace_streams()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for streams in self._streams.values():
            for stream in reversed(streams):
                stream.uninstall()
        root = logging.root
        root.removeHandler(self._handler)
        if not _root_handlers():
            root.setLevel(self._handler.original_level)

    def register_app_thread(self) -> None:
        """Mark the calling thread as one that runs only user code: all its log records belong to this app."""
        self._app_threads.add(threading.get_ident())

    @contextmanager
    def invocation(self, invocation: Invocation) -> Iterator[None]:
        """Assign what is logged and printed inside to `invocation`. Enter it in a context of its own."""
        # Again for every invocation: other code replaces sys.stdout too, for example pytest between the phases of a
        # test.
        self._replace_streams()
        running = RunningInvocation(self, invocation)
        self._running[invocation.id] = running
        _current_invocation.set(running)
        self.local.invocation_id = invocation.id
        try:
            yield
        finally:
            running.finish()
            # All attempts of a retry have the same id. An attempt that outlived its time limit must not end the next
            # one's entry.
            if self._running.get(invocation.id) is running:
                del self._running[invocation.id]
            # The app's loop interleaves invocations on one thread, so resetting the id here could reset another one's.
            if threading.get_ident() not in self._app_threads:
                self.local.invocation_id = None

    def current(self) -> RunningInvocation | None:
        """Return the invocation that the calling code belongs to."""
        running = _current_invocation.get()
        if running is not None:
            return running
        # On the app's loop the thread-local id is that of the most recently started invocation, which may be wrong.
        # The official worker uses it nevertheless; here such a record is reported without an invocation.
        if threading.get_ident() in self._app_threads:
            return None
        invocation_id = getattr(self.local, "invocation_id", None)
        return self._running.get(invocation_id) if isinstance(invocation_id, str) else None

    def _current_of_this_app(self) -> RunningInvocation | None:
        running = self.current()
        return running if running is not None and running.logs is self else None

    def deliver(self, record: LogRecord, running: RunningInvocation | None) -> None:
        """Pass a record to its invocation's `on_log`, or to the app's if the invocation has ended or has none."""
        # A task that outlives its invocation still has the invocation's context variable. `on_log` must not be called
        # after `invoke` has returned, so such records are treated like those outside invocations.
        is_running = running is not None and self._running.get(running.invocation.id) is running
        on_log = running.invocation.on_log if running is not None and is_running else None
        (on_log or self._on_log)(record)

    def handle(self, record: logging.LogRecord) -> None:
        """Deliver a record of the logging module if it comes from this app."""
        running = self.current()
        if running is not None and running.logs is not self:
            return
        # Outside invocations only the thread shows which code has logged. A thread that is neither an app's nor the
        # host's was started by user code, but of which app is not known: the app opened last takes the record.
        thread = threading.get_ident()
        if (
            running is None
            and thread not in self._app_threads
            and (thread == self._host_thread or _root_handlers()[-1:] != [self._handler])
        ):
            return
        exception = None
        if record.exc_info:
            exception = _FORMATTER.formatException(record.exc_info)
        elif record.exc_text:
            # A handler before this one has formatted the traceback, and the record may have lost the exception itself.
            exception = record.exc_text
        if record.stack_info:
            exception = "\n".join(part for part in (exception, record.stack_info) if part)
        delivered = LogRecord(
            level=record.levelno,
            message=record.getMessage(),
            category=record.name,
            invocation_id=None if running is None else running.invocation.id,
            exception=exception,
            is_replay=running is not None and is_replaying(),
        )
        self.deliver(delivered, running)

    def _replace_streams(self) -> None:
        # Locked, because invocations begin on many threads, and two of them must not both put a replacement there.
        with self._stream_lock:
            for name, streams in self._streams.items():
                if not any(stream.is_active() for stream in streams):
                    streams.append(UserStream(name, self._current_of_this_app))


def current_invocation_id() -> str | None:
    """Return the id of the running invocation, in whose context this is called; None: there is none."""
    running = _current_invocation.get()
    return None if running is None else running.invocation.id


def log_in_invocation(level: int, message: str, category: str) -> None:
    """Log a line for the running invocation, in whose context this is called, past the app's logging configuration.

    Does nothing outside invocations. `level`: Python's number; `category`: the name of a logger.
    """
    running = _current_invocation.get()
    if running is not None:
        running.logs.deliver(LogRecord(level, message, category, running.invocation.id), running)


_FORMATTER = logging.Formatter()


class _RootHandler(logging.Handler):
    """The handler of one app on the root logger. `original_level`: the root logger's level before the first app."""

    def __init__(self, logs: UserLogs) -> None:
        super().__init__()
        self._logs = logs
        self.original_level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        # azemu's own records have handlers of their own.
        if isinstance(record, HostRecord):
            return
        try:
            self._logs.handle(record)
        except Exception:
            self.handleError(record)


def _root_handlers() -> list[_RootHandler]:
    # Handlers of all open apps, in the order in which the apps were opened.
    return [handler for handler in logging.root.handlers if isinstance(handler, _RootHandler)]
