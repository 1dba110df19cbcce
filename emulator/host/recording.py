"""Record of what a host has done lately: log lines and invocations, for the dashboard and `azemu logs`.

    recording = Recording(clock)
    with recording.recording_lines():
        run = recording.begin(function="greet", invocation_id="…", event=event, retry=0)
        ...
        recording.end(run, error=None)

The oldest entries are dropped when there are too many of them, or too large ones. Lines may come from any thread;
everything else happens on the host's event loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Final, NamedTuple

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.host.console.output import category_for, level_of
from emulator.host.port import TriggerEvent
from emulator.logs import get_logger
from emulator.worker.port import Datum, HttpRequestData, HttpResponseData, Returned

_MAX_LINES: Final = 20_000
# Of all kept lines together. A line also costs some 200 bytes beside its text.
_MAX_CHARACTERS: Final = 8_000_000
_MAX_LINE_CHARACTERS: Final = 20_000
_MAX_ERRORS: Final = 100
# For each function, so that one that runs all the time does not displace the others.
_MAX_RUNS: Final = 100
_MAX_PREVIEW_CHARACTERS: Final = 500


class Line(NamedTuple):
    """One line of the log. `seq`: 1 for the first line of this host. `level`: Python's number.

    `logger`: the name of the logger, of which `category` makes the log category. `is_replay`: an orchestrator has
    logged it while it was replayed.
    """

    seq: int
    time: datetime
    level: int
    logger: str
    function: str | None
    invocation_id: str | None
    instance_id: str | None
    is_replay: bool
    message: str

    @property
    def level_name(self) -> str:
        """The level as .NET names it, such as "Information"."""
        return level_of(self.level).value

    @property
    def category(self) -> str:
        """The log category, such as `Function.greet.User`."""
        return category_for(self.logger)


@dataclass(slots=True)
class Run:
    """One attempt to run a function. `retry`: 0 for the first attempt.

    `input`, `result`: the beginning of the trigger's value and of the return value, if they are text; of HTTP requests
    method and URL, of responses the status. `ended_at` None: it is running. `error`: why it has failed.
    """

    invocation_id: str
    function: str
    instance_id: str | None
    reason: str
    retry: int
    started_at: datetime
    input: str | None
    ended_at: datetime | None = None
    result: str | None = None
    error: str | None = None


@dataclass(slots=True)
class RunCounts:
    """Attempts to run one function since the host was started."""

    succeeded: int = 0
    failed: int = 0
    seconds: float = 0.0
    latest: deque[Run] = field(default_factory=lambda: deque(maxlen=_MAX_RUNS))


class Recording:
    """The last log lines and invocations of one host. `version`: grows with each change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._host_thread = threading.get_ident()
        self._lines: deque[Line] = deque()
        self._characters = 0
        # Apart from the others, so that a log with many lines does not displace its errors.
        self._errors: deque[Line] = deque(maxlen=_MAX_ERRORS)
        self._last_seq = 0
        # Reentrant: objects that are destroyed in the middle of a line may log, too.
        self._lock = threading.RLock()
        self._counts: dict[str, RunCounts] = {}
        # By invocation id. All attempts of an event have the same id, but run one after the other.
        self._running: dict[str, Run] = {}
        self.version = 0
        self._changed: asyncio.Event | None = None

    # Log lines -------------------------------------------------------------------------------------------------------

    @contextmanager
    def recording_lines(self) -> Iterator[None]:
        """Record the lines of this host while entered. Hosts in one process share the loggers."""
        handler, logger = _Handler(self), get_logger("emulator")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)

    def lines(self, after: int = 0) -> Sequence[Line]:
        """Return the kept lines with a higher `seq`, oldest first; all of them if no line has had such a number yet."""
        with self._lock:
            if after > self._last_seq:
                after = 0  # It is of the host before this one, whose client is connected again.
            newest_first = list(takewhile(lambda line: line.seq > after, reversed(self._lines)))
        return newest_first[::-1]

    @property
    def errors(self) -> Sequence[Line]:
        """The last lines of level Error and Critical, oldest first; kept longer than others."""
        with self._lock:
            return list(self._errors)

    def belongs(self, record: logging.LogRecord) -> bool:
        """Return whether this host, or one of its invocations, has logged a record."""
        return record.thread == self._host_thread or getattr(record, "invocation_id", None) in self._running

    def add_line(self, record: logging.LogRecord) -> None:
        """Keep a log record; drop the oldest ones if there are too many."""
        members = record.__dict__
        invocation_id, instance_id = members.get("invocation_id"), members.get("instance_id")
        message = record.getMessage()
        if record.exc_info and (error := record.exc_info[1]) is not None:
            # As in the console: the message of an EmulatorError says all.
            is_own = isinstance(error, EmulatorError)
            message += "\n" + (str(error) if is_own else "".join(traceback.format_exception(error)).rstrip())
        if len(message) > _MAX_LINE_CHARACTERS:
            message = f"{message[:_MAX_LINE_CHARACTERS]}… ({len(message)} characters)"
        now = self._clock.now()
        with self._lock:
            self._last_seq += 1
            line = Line(
                self._last_seq,
                now,
                record.levelno,
                record.name,
                members.get("function"),
                invocation_id,
                instance_id,
                members.get("is_replay", False),
                message,
            )
            self._lines.append(line)
            self._characters += len(message)
            if record.levelno >= logging.ERROR:
                self._errors.append(line)
            while len(self._lines) > _MAX_LINES or self._characters > _MAX_CHARACTERS:
                self._characters -= len(self._lines.popleft().message)
        self._note_change()

    # Invocations -----------------------------------------------------------------------------------------------------

    def begin(self, function: str, invocation_id: str, event: TriggerEvent, retry: int) -> Run:
        """Note that an attempt to run a function begins."""
        run = Run(
            invocation_id,
            function,
            event.instance_id,
            event.reason,
            retry,
            self._clock.now(),
            _preview(event.value),
        )
        self._running[invocation_id] = run
        self._counts_of(function).latest.append(run)
        self._note_change()
        return run

    def end(self, run: Run, returned: Returned | None, error: BaseException | None) -> None:
        """Note that an attempt has ended. `error`: why it has failed, or why its result is discarded."""
        run.ended_at = self._clock.now()
        self._running.pop(run.invocation_id, None)
        counts = self._counts_of(run.function)
        counts.seconds += (run.ended_at - run.started_at).total_seconds()
        if error is None:
            counts.succeeded += 1
            run.result = _preview(returned.value if returned is not None else None)
        else:
            counts.failed += 1
            run.error = (str(error) or type(error).__name__)[:_MAX_LINE_CHARACTERS]
        self._note_change()

    def counts(self, function: str) -> RunCounts:
        """Return what is known of the attempts to run a function."""
        return self._counts.get(function) or RunCounts()

    @property
    def functions(self) -> Sequence[str]:
        """The names of the functions that have run."""
        return list(self._counts)

    @property
    def running(self) -> Sequence[Run]:
        """The attempts that are running, oldest first."""
        return list(self._running.values())

    def _counts_of(self, function: str) -> RunCounts:
        counts = self._counts.get(function)
        if counts is None:
            counts = self._counts[function] = RunCounts()
        return counts

    # Changes ---------------------------------------------------------------------------------------------------------

    async def wait_for_change(self, version: int) -> None:
        """Return when `version` of this object is another one than the given."""
        while True:
            with self._lock:
                if self.version != version:
                    return
                # Threads that log set the event only if somebody waits, because waking the loop costs a system call.
                changed = self._changed = self._changed or asyncio.Event()
            await changed.wait()

    def _note_change(self) -> None:
        with self._lock:
            self.version += 1
            changed, self._changed = self._changed, None
        if changed is None:
            return
        if threading.get_ident() == self._host_thread:
            changed.set()
        else:
            self._loop.call_soon_threadsafe(changed.set)


class _Handler(logging.Handler):
    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    # Instead of `emit`, around which the inherited method takes a lock of its own.
    def handle(self, record: logging.LogRecord) -> bool:
        try:
            if self._recording.belongs(record):
                self._recording.add_line(record)
        except Exception:
            self.handleError(record)
        return True


def _preview(datum: Datum | None) -> str | None:
    """Return the beginning of a value that is text, a line for HTTP; None for all others."""
    match datum.value if datum is not None else None:
        case str() as text:
            pass
        case HttpRequestData() as request:
            text = f"{request.method} {request.url}"
        case HttpResponseData() as response:
            text = f"{response.status}, {len(response.body)} bytes"
        case _:
            return None
    return text if len(text) <= _MAX_PREVIEW_CHARACTERS else f"{text[:_MAX_PREVIEW_CHARACTERS]}…"
