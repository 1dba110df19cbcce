"""What user code logs and prints, told apart by invocation.

Records reach us through one handler on the root logger, prints through a stand-in for sys.stdout and sys.stderr that
lets everything pass that is not user code's. Which invocation it belongs to is known from a context variable, which
follows tasks and `asyncio.to_thread`, or from `context.thread_local_storage.invocation_id` in the app's own threads.
Facts: docs/protocol/python-worker.md chapter 7.
"""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TextIO

from emulator.worker.port import Invocation, LogRecord

_OURSELVES = f"{__name__.partition('.')[0]}."

# Debuggers talk to their user through sys.stdout; that conversation is no log.
_DEBUGGERS = frozenset(("pdb", "bdb", "cmd", "code", "IPython"))

_ERROR_WORDS = ("error", "fail", "severe", "unhandled exception")


class Run:
    """One running invocation and the unfinished lines that it has printed."""

    def __init__(self, logs: UserLogs, invocation: Invocation) -> None:
        self.logs = logs
        self.invocation = invocation
        self._unfinished: dict[str, str] = {}
        self._lock = threading.Lock()

    def printed(self, stream: str, text: str) -> None:
        with self._lock:
            *lines, rest = (self._unfinished.pop(stream, "") + text).split("\n")
            if rest:
                self._unfinished[stream] = rest
        for line in lines:
            self._tell(stream, line)

    def finish(self) -> None:
        """Say what was printed without a line end."""
        with self._lock:
            unfinished, self._unfinished = self._unfinished, {}
        for stream, line in unfinished.items():
            self._tell(stream, line)

    def _tell(self, stream: str, line: str) -> None:
        self.logs.deliver(_console_line(stream, line, self.invocation.id), self)


_current_run: ContextVar[Run | None] = ContextVar("azemu_run", default=None)


class UserLogs:
    """While entered, catches the logs and prints of user code. `elsewhere` gets those outside of any invocation.

    `local` is the `thread_local_storage` of the functions' context. `debug`: the root logger lets DEBUG through.
    """

    def __init__(self, elsewhere: Callable[[LogRecord], None], *, debug: bool) -> None:
        self.local = threading.local()
        self._elsewhere = elsewhere
        self._level = logging.DEBUG if debug else logging.INFO
        self._running: dict[str, Run] = {}
        self._app_threads: set[int] = set()
        self._host_thread = threading.get_ident()
        self._handler = _RootHandler(self)
        self._streams: list[_UserStream] = []
        self._placing = threading.Lock()

    def __enter__(self) -> UserLogs:
        root = logging.getLogger()
        # Of several open apps the first found the level of the process, and the last gives it back.
        others = _root_handlers()
        self._handler.level_before = others[0].level_before if others else root.level
        root.setLevel(min(root.level, self._level) if others else self._level)
        root.addHandler(self._handler)
        self._catch_prints()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in reversed(self._streams):
            stream.retire()
        root = logging.getLogger()
        root.removeHandler(self._handler)
        if not _root_handlers():
            root.setLevel(self._handler.level_before)

    def _catch_prints(self) -> None:
        with self._placing:
            for name in ("stdout", "stderr"):
                if not _stands_before(self, getattr(sys, name)):
                    self._streams.append(_UserStream(self, name))

    def app_thread(self) -> None:
        """Say that the calling thread runs nothing but user code: what it logs outside invocations counts too."""
        self._app_threads.add(threading.get_ident())

    @contextmanager
    def invocation(self, invocation: Invocation) -> Iterator[None]:
        """Everything inside belongs to `invocation`. Enter it in a context of its own."""
        # Somebody may have put other streams there since; test runners do so between the phases of a test.
        self._catch_prints()
        run = Run(self, invocation)
        self._running[invocation.id] = run
        _current_run.set(run)
        self.local.invocation_id = invocation.id
        try:
            yield
        finally:
            run.finish()
            self._running.pop(invocation.id, None)
            if threading.get_ident() not in self._app_threads:
                self.local.invocation_id = None

    def current(self) -> Run | None:
        """The invocation that the calling code belongs to."""
        run = _current_run.get()
        if run is not None:
            return run
        # The app's own loop serves many invocations at once: there only the context variable tells the truth.
        if threading.get_ident() in self._app_threads:
            return None
        invocation_id = getattr(self.local, "invocation_id", None)
        return self._running.get(invocation_id) if isinstance(invocation_id, str) else None

    def deliver(self, record: LogRecord, run: Run | None) -> None:
        on_log = run.invocation.on_log if run is not None and run.invocation.id in self._running else None
        (on_log or self._elsewhere)(record)

    def is_app_thread(self) -> bool:
        return threading.get_ident() in self._app_threads

    def logged(self, record: logging.LogRecord) -> None:
        run = self.current()
        if run is not None and run.logs is not self:
            return
        if run is None and not self._is_ours_to_tell():
            return
        self.deliver(_log_record(record, run), run)

    def _is_ours_to_tell(self) -> bool:
        """Outside invocations: whether it is user code at all, and of this app if several are open."""
        if self.is_app_thread():
            return True
        return threading.get_ident() != self._host_thread and _root_handlers()[-1:] == [self._handler]


class _RootHandler(logging.Handler):
    def __init__(self, logs: UserLogs) -> None:
        super().__init__()
        self._logs = logs
        self.level_before = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(_OURSELVES):
            return
        try:
            self._logs.logged(record)
        except Exception:
            self.handleError(record)


def _root_handlers() -> list[_RootHandler]:
    """Those of all open apps, in the order of their opening."""
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _RootHandler)]


_FORMATTER = logging.Formatter()


def _log_record(record: logging.LogRecord, run: Run | None) -> LogRecord:
    exception = None
    if record.exc_info:
        exception = _FORMATTER.formatException(record.exc_info)
    elif record.exc_text:
        exception = record.exc_text
    if record.stack_info:
        exception = "\n".join(part for part in (exception, record.stack_info) if part)
    return LogRecord(
        level=record.levelno,
        message=record.getMessage(),
        category=record.name,
        invocation_id=None if run is None else run.invocation.id,
        exception=exception,
    )


def _console_line(stream: str, line: str, invocation_id: str | None) -> LogRecord:
    return LogRecord(
        level=logging.INFO if stream == "stdout" else _stderr_level(line),
        message=line.removesuffix("\r"),
        category=None,
        invocation_id=invocation_id,
    )


def _stderr_level(line: str) -> int:
    """As the official host reads its worker's stderr: src/WebJobs.Script/Workers/ProcessManagement/WorkerProcess.cs."""
    text = line.lower()
    if "warn" in text:
        return logging.WARNING
    return logging.ERROR if any(word in text for word in _ERROR_WORDS) else logging.INFO


class _UserStream(io.TextIOBase):
    """Takes the place of sys.stdout or sys.stderr. User code's lines go to the logs, all else passes through."""

    def __init__(self, logs: UserLogs, name: str) -> None:
        self._logs: UserLogs | None = logs
        self._name = name
        self._stream: TextIO = getattr(sys, name)
        setattr(sys, name, self)

    def retire(self) -> None:
        """Give the place back, or only let everything pass if somebody else has taken it since."""
        self._logs = None
        stream = getattr(sys, self._name)
        while isinstance(stream, _UserStream) and stream._logs is None:
            # Whoever was there before may have retired, too.
            stream = stream._stream
        setattr(sys, self._name, stream)

    def write(self, text: str) -> int:
        logs = self._logs
        run = logs.current() if logs is not None else None
        if run is None or run.logs is not logs or _in_debugger():
            return self._stream.write(text)
        run.printed(self._name, text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._stream.errors

    def close(self) -> None:
        """The stream underneath is not ours to close."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _stands_before(logs: UserLogs, stream: object) -> bool:
    """Whether what is written to `stream` comes by these logs first, or by those of apps that were opened later."""
    while isinstance(stream, _UserStream):
        if stream._logs is logs:
            return True
        stream = stream._stream
    return False


def _in_debugger() -> bool:
    # Frame 0 is this function, 1 is `write`, 2 is who prints.
    caller = sys._getframe(2)
    return str(caller.f_globals.get("__name__", "")).partition(".")[0] in _DEBUGGERS
