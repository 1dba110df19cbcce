"""Use of Microsoft's exporter for Application Insights. Loaded only by the process of sender.py.

The exporter takes the objects of the OpenTelemetry SDK, which are created here from what the host has recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from azure.monitor.opentelemetry.exporter import AzureMonitorLogExporter, AzureMonitorTraceExporter
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

# Statuses after which the exporter itself would send the items again, from files. azemu keeps them in memory instead.
_RETRYABLE: Final = frozenset((401, 403, 408, 429, 500, 502, 503, 504))
_EXPLANATIONS: Final = {
    400: "the instrumentation key or the data is not valid",
    401: "the resource accepts only Microsoft Entra ID",
    402: "the daily cap of the resource is reached",
    404: "the endpoint does not know the resource",
    429: "too many requests",
    439: "the daily cap of the resource is reached",
}


class AzureMonitor:
    """A resource of Application Insights. `resource`: attributes of the host. Raises what the exporter raises."""

    def __init__(self, connection_string: str, resource: Mapping[str, str]) -> None:
        self._statuses: list[int] = []
        self._problems = _Problems()
        logger = logging.getLogger("azure.monitor.opentelemetry.exporter")  # noqa: TID251 - of the exporter
        logger.addHandler(self._problems)
        logger.propagate = False
        settings: dict[str, Any] = {
            "connection_string": connection_string,
            # Items that could not be sent stay in the memory of the host, and nothing is left on the disk.
            "disable_offline_storage": True,
            # The host repeats them, and should learn of a problem at once.
            "retry_total": 0,
            # Shorter than the time limit of the host for a batch (telemetry/batches.py), which would end this process.
            "timeout": 4.0,
            "read_timeout": 4.0,
            "raw_response_hook": lambda response: self._statuses.append(response.http_response.status_code),
        }
        self._resource = Resource(resource)
        self._spans = AzureMonitorTraceExporter(**settings)
        self._lines = AzureMonitorLogExporter(**settings)

    def send_spans(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Send spans. Return the problem, if there is one, and whether to send them again."""
        self._statuses.clear()
        self._problems.reasons.clear()
        spans = [
            ReadableSpan(
                name=item["name"],
                context=_context(item["traceId"], item["spanId"]),
                parent=_context(item["traceId"], item["parentId"]) if item["parentId"] else None,
                resource=self._resource,
                attributes=item["attributes"],
                kind=trace.SpanKind[item["kind"]],
                status=trace.Status() if item["error"] is None else trace.Status(trace.StatusCode.ERROR, item["error"]),
                start_time=item["start"],
                end_time=item["end"],
                instrumentation_scope=InstrumentationScope(item["scope"]),
            )
            for item in items
        ]
        return self._outcome(self._spans.export(spans).name if spans else "SUCCESS")

    def send_lines(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Send log lines and exceptions. Return the problem, if there is one, and whether to send them again."""
        self._statuses.clear()
        self._problems.reasons.clear()
        return self._outcome(self._lines.export([self._line(item) for item in items]).name if items else "SUCCESS")

    def _outcome(self, result: str) -> dict[str, Any]:
        reasons = self._problems.reasons
        if result == "SUCCESS":
            return {}
        if not self._statuses:
            return {"problem": f"does not respond ({reasons[0] if reasons else 'no connection'})", "again": True}
        status = self._statuses[-1]
        # The service has taken a part, and names the items that it does not take. Without any it has sampled them out.
        if status in (200, 206):
            return {"problem": f"refuses some of the data ({reasons[0]})", "again": False} if reasons else {}
        explanation = _EXPLANATIONS.get(status)
        problem = f"answers with status {status}" + (f" ({explanation})" if explanation else "")
        return {"problem": problem, "again": status in _RETRYABLE}

    def _line(self, item: Mapping[str, Any]) -> ReadableLogRecord:
        context = None
        if item["traceId"]:
            span = trace.NonRecordingSpan(_context(item["traceId"], item["spanId"]))
            context = trace.set_span_in_context(span)
        record = LogRecord(
            timestamp=item["time"],
            context=context,
            # Python's levels are 10 for Debug to 50 for Critical, those of OpenTelemetry 5 to 21.
            severity_number=SeverityNumber(max(1, min(item["level"] // 10 * 4 + 1, 21))),
            body=item["message"],
            attributes=item["attributes"],
        )
        return ReadableLogRecord(record, self._resource, InstrumentationScope(item["category"]))


class _Problems(logging.Handler):
    """Handler that keeps the reasons in the exporter's warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        # A status and a text, or a text alone. A third argument is the data of the user.
        self.reasons.append(", ".join(str(argument)[:300] for argument in arguments[:2]) or record.getMessage()[:300])


def _context(trace_id: str, span_id: str) -> trace.SpanContext:
    sampled = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    return trace.SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=sampled)
