"""What the host says about an invocation, in the words and categories of the Functions host.

Source: webjobs-sdk, Host/Loggers; host, WorkerFunctionInvoker.cs; docs/protocol/functions-host.md 7.9, 7.10, 10.5.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from emulator.dotnet.timespan import format_timespan
from emulator.errors import EmulatorError
from emulator.host.console.categories import CONSOLE, WORKER, category, function_category, user_category
from emulator.worker.port import LogRecord

# The worker's and the library's own loggers: system logs, which the console shows only on request.
_SYSTEM_LOGGERS = ("azure_functions_worker", "azure.functions")


class InvocationLog:
    """The story of one invocation; `user` may be called on any thread."""

    def __init__(self, function: str, invocation_id: str | None = None) -> None:
        self._function = function
        self._id = invocation_id
        self._log = function_category(function)
        self._facts = {"invocation_id": invocation_id, "function": function}

    def executing(self, reason: str, details: Mapping[str, str]) -> None:
        self._say(logging.INFO, "Executing 'Functions.%s' (Reason='%s', Id=%s)", self._function, reason, self._id)
        if details:
            told = ", ".join(f"{name}: {value}" for name, value in details.items())
            self._say(logging.INFO, "Trigger Details: %s", told)

    def succeeded(self, took: timedelta) -> None:
        self._ended(logging.INFO, "Succeeded", took)

    def failed(self, took: timedelta, error: EmulatorError) -> None:
        self._ended(logging.ERROR, "Failed", took)
        self._say(logging.ERROR, "Exception while executing function: Functions.%s. %s", self._function, error)

    def timed_out(self, limit: str) -> None:
        self._say(
            logging.ERROR,
            "Timeout value of %s exceeded by function 'Functions.%s' (Id: '%s'). Initiating cancellation.",
            limit,
            self._function,
            self._id,
        )

    def waiting(self, delay: timedelta, attempt: int, maximum: int) -> None:
        self._say(
            logging.DEBUG,
            "Waiting for `%s` before retrying function execution. Next attempt: '%d'. Max retry count: '%d'.",
            format_timespan(delay),
            attempt,
            maximum,
        )

    def gave_up(self, retries: int) -> None:
        self._say(logging.ERROR, "Function execution failed after '%d' retries.", retries)

    def user(self, record: LogRecord) -> None:
        """A line of the function itself: its logger's, or printed."""
        text = record.message if record.exception is None else f"{record.message}\n{record.exception}"
        self._category_of(record).log(record.level, "%s", text, extra=self._facts)

    def _category_of(self, record: LogRecord) -> logging.Logger:
        if record.category is None:
            return category(CONSOLE)
        if record.category.startswith(_SYSTEM_LOGGERS):
            return category(WORKER)
        return user_category(self._function)

    def _ended(self, level: int, how: str, took: timedelta) -> None:
        milliseconds = took // timedelta(milliseconds=1)
        self._say(
            level, "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)", self._function, how, self._id, milliseconds
        )

    def _say(self, level: int, message: str, *arguments: object) -> None:
        self._log.log(level, message, *arguments, extra=self._facts)


def outside_of_invocations(record: LogRecord) -> None:
    """User code that logs while no function runs. The real host drops it; a debugging aid here."""
    name = logging.getLevelName(record.level)
    text = record.message if record.exception is None else f"{record.message}\n{record.exception}"
    category(WORKER).debug("Outside of invocations, %s of %s: %s", name, record.category or "print", text)
