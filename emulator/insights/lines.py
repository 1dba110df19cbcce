"""Log lines of the host and its functions as telemetry."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from emulator.clock import Clock
from emulator.host.console.output import LevelRules, category_for, level_of
from emulator.insights.items import ErrorDetails, Line
from emulator.insights.options import InsightsTarget
from emulator.telemetry.span_context import current_span
from emulator.telemetry.spans import Attribute, Tracer
from emulator.worker.port import FunctionFailed


class LineHandler(logging.Handler):
    """Log handler that passes lines on to `take`, with the span of their invocation."""

    def __init__(self, target: InsightsTarget, clock: Clock, tracer: Tracer, take: Callable[[Line], None]) -> None:
        super().__init__()
        self._clock = clock
        self._tracer = tracer
        self._take = take
        self._user_lines = target.user_lines
        # Lines of level Information are sent whatever the console shows, as on Azure.
        self._rules = LevelRules(configured=target.log_level, verbose=True)

    # Instead of `emit`, around which the inherited method takes a lock of its own.
    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record if the rules allow it."""
        try:
            category, level = category_for(record.name), level_of(record.levelno)
            is_user = category.startswith("Function.") and category.endswith(".User")
            if self._rules.allows(category, level, "") and (self._user_lines or not is_user):
                self._take(self._line(record, category, level.value))
        except Exception:
            self.handleError(record)
        return True

    def _line(self, record: logging.LogRecord, category: str, level: str) -> Line:
        members = record.__dict__
        attributes: dict[str, Attribute] = {"LogLevel": level}
        invocation_id = members.get("invocation_id")
        # The names under which queries for Azure Functions look for them.
        for name, key in (
            ("InvocationId", "invocation_id"),
            ("ai.operation.name", "function"),
            ("prop__instanceId", "instance_id"),
        ):
            if (value := members.get(key)) is not None:
                attributes[name] = value
        if members.get("is_replay"):
            attributes["prop__isReplay"] = True
        failure: BaseException | None = record.exc_info[1] if record.exc_info else members.get("failure")
        error = None
        if isinstance(failure, FunctionFailed):
            # Without the history that the durable SDK writes into the text of a failed orchestrator.
            error = ErrorDetails(failure.type_name, failure.origin or failure.text, failure.stack)
        elif failure is not None:
            stack = "".join(traceback.format_exception(failure)) if record.exc_info else ""
            error = ErrorDetails(type(failure).__name__, str(failure), stack)
        return Line(
            self._clock.now(),
            record.levelno,
            category,
            record.getMessage(),
            attributes,
            # Of a line outside of an invocation, such as one of a retry that waits, the task knows the span.
            self._tracer.invocations.get(invocation_id or "") or current_span(),
            error,
        )
