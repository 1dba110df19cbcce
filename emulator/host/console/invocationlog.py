"""Log lines of an invocation, in the words and categories of the Functions host.

Source: webjobs-sdk, Host/Loggers; host, WorkerFunctionInvoker.cs; docs/protocol/functions-host.md 7.9, 7.10, 10.5.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from emulator.dotnet.timespan import format_timespan
from emulator.errors import EmulatorError
from emulator.host.console.categories import CONSOLE, WORKER, category, function_category, user_category
from emulator.worker.port import FunctionFailed, LogRecord


class InvocationLog:
    """Logger of one invocation. `user` may be called on any thread, all other methods on the host's."""

    def __init__(self, function: str, invocation_id: str | None = None, instance_id: str | None = None) -> None:
        self._function = function
        self._id = invocation_id
        self._log = function_category(function)
        # Members of JSON lines; see `output.JSON_FIELDS`.
        self._fields = {"invocation_id": invocation_id, "function": function, "instance_id": instance_id}

    def executing(self, reason: str, details: Mapping[str, str]) -> None:
        """Log the start. `reason`: what triggered the function. `details`: trigger details, such as a message id."""
        self._write(logging.INFO, "Executing 'Functions.%s' (Reason='%s', Id=%s)", self._function, reason, self._id)
        if details:
            joined = ", ".join(f"{name}: {value}" for name, value in details.items())
            self._write(logging.INFO, "Trigger Details: %s", joined)

    def succeeded(self, elapsed: timedelta) -> None:
        """Log the end of a successful invocation."""
        self._ended(logging.INFO, "Succeeded", elapsed)

    def failed(self, elapsed: timedelta, error: EmulatorError) -> None:
        """Log the end of a failed invocation and its error."""
        self._ended(logging.ERROR, "Failed", elapsed)
        text = str(error)
        if isinstance(error, FunctionFailed) and error.origin:
            # Behind the official worker's text, which the durable SDK fills with frames and data of its own.
            text = f"{text.rstrip()}\n{error.origin}"
        # With the error, of which Application Insights makes an exception.
        self._log.log(
            logging.ERROR,
            "Exception while executing function: Functions.%s. %s",
            self._function,
            text,
            extra={**self._fields, "failure": error},
        )

    def timed_out(self, limit: str) -> None:
        """Log that `functionTimeout` is exceeded. `limit`: the timeout as a .NET TimeSpan."""
        self._write(
            logging.ERROR,
            "Timeout value of %s exceeded by function 'Functions.%s' (Id: '%s'). Initiating cancellation.",
            limit,
            self._function,
            self._id,
        )

    def waiting(self, delay: timedelta, attempt: int, maximum: int) -> None:
        """Log the delay before a retry."""
        self._write(
            logging.DEBUG,
            "Waiting for `%s` before retrying function execution. Next attempt: '%d'. Max retry count: '%d'.",
            format_timespan(delay),
            attempt,
            maximum,
        )

    def gave_up(self, retries: int) -> None:
        """Log that the last retry failed."""
        self._write(logging.ERROR, "Function execution failed after '%d' retries.", retries)

    def stopped_retrying(self) -> None:
        """Log that the host stops while the function waits for a retry."""
        self._write(logging.WARNING, "Invocation cancelled - exiting retry loop.")

    def user(self, record: LogRecord) -> None:
        """Log a line that the function has logged or printed."""
        text = record.message if record.exception is None else f"{record.message}\n{record.exception}"
        level = record.level
        if record.category is None:  # It was printed.
            log = category(CONSOLE)
        elif record.is_system:
            # The Functions host treats these as system logs, which Core Tools shows with --verbose only, whatever their
            # level is.
            log, level = category(WORKER), min(record.level, logging.INFO)
        else:
            log = user_category(self._function)
        fields = {**self._fields, "is_replay": True} if record.is_replay else self._fields
        # The text is an argument and not the format, because it may contain percent signs.
        log.log(level, "%s", text, extra=fields)

    def _ended(self, level: int, outcome: str, elapsed: timedelta) -> None:
        milliseconds = elapsed // timedelta(milliseconds=1)
        self._write(
            level, "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)", self._function, outcome, self._id, milliseconds
        )

    def _write(self, level: int, message: str, *arguments: object) -> None:
        self._log.log(level, message, *arguments, extra=self._fields)


def log_outside_invocations(record: LogRecord) -> None:
    """Log a line of user code that runs outside of an invocation, for example on a thread of its own."""
    # The Functions host drops such lines. Here they are hidden by default and can be made visible by the log level.
    name = logging.getLevelName(record.level)
    text = record.message if record.exception is None else f"{record.message}\n{record.exception}"
    category(WORKER).debug(
        "User code logged outside of an invocation (level %s, logger %s): %s", name, record.category or "print", text
    )
