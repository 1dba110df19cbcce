"""Log capture: the lines that an app's functions log and print, and the text of its console.

Several apps may run in one test; each has its own capture.
"""

from __future__ import annotations

import io
import logging
import threading
from dataclasses import dataclass, replace

from emulator.worker.port import Invocation, LogRecord


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a function has logged or printed. `category`: the logger's name; None for print."""

    function: str
    level: int
    message: str
    category: str | None
    invocation_id: str | None


class LogCapture:
    """Collects lines from several threads. `console` is the stream of the app's console."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.console = io.StringIO()
        self._invocations: set[str] = set()
        self._host_thread = 0

    def register_host_thread(self) -> None:
        """Mark the calling thread as the one that runs this app's host."""
        self._host_thread = threading.get_ident()

    def captured(self, invocation: Invocation) -> Invocation:
        """Return the same invocation with an `on_log` that also collects its lines."""
        self._invocations.add(invocation.id)
        on_log = invocation.on_log

        def collect(record: LogRecord) -> None:
            if not record.is_system:
                self.lines.append(
                    LogLine(invocation.function, record.level, record.message, record.category, record.invocation_id)
                )
            if on_log is not None:
                on_log(record)

        return replace(invocation, on_log=collect)

    def filter(self, record: logging.LogRecord) -> bool:
        """Accept a record for the console if this app's host or one of its invocations has logged it.

        A logging filter: all apps in the process share the loggers, but each has a console of its own.
        """
        return record.thread == self._host_thread or getattr(record, "invocation_id", None) in self._invocations
