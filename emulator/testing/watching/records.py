"""What functions log and print, and what the console would show, kept for one app only."""

from __future__ import annotations

import io
import logging
import threading
from dataclasses import dataclass

from emulator.worker.port import Invocation, LogRecord


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of user code. `level`: Python's number. `category`: the logger's name; None: it was printed."""

    function: str
    level: int
    message: str
    category: str | None
    invocation_id: str | None


class Records:
    """Collects from several threads. `output` is the stream of the app's console."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.output = io.StringIO()
        self._invocations: set[str] = set()
        self._host_thread = 0

    def on_this_thread(self) -> None:
        """The calling thread is the host's."""
        self._host_thread = threading.get_ident()

    def overhear(self, invocation: Invocation) -> Invocation:
        """The same invocation, of which every log line comes by here."""
        self._invocations.add(invocation.id)
        told = invocation.on_log

        def on_log(record: LogRecord) -> None:
            self.lines.append(
                LogLine(invocation.function, record.level, record.message, record.category, record.invocation_id)
            )
            if told is not None:
                told(record)

        return Invocation(
            id=invocation.id,
            function=invocation.function,
            inputs=invocation.inputs,
            trigger_metadata=invocation.trigger_metadata,
            trace_parent=invocation.trace_parent,
            trace_state=invocation.trace_state,
            trace_attributes=invocation.trace_attributes,
            retry=invocation.retry,
            on_log=on_log,
        )

    def filter(self, record: logging.LogRecord) -> bool:
        """For the console's handler: lines of this app's host thread and of its invocations, not of another app's."""
        return record.thread == self._host_thread or getattr(record, "invocation_id", None) in self._invocations
