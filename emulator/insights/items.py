"""Items of telemetry, and their form for the process that sends them (sender.py)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from emulator.telemetry.span_context import SpanContext
from emulator.telemetry.spans import Attribute, Span, SpanKind, unix_nanoseconds

# The attribute with which samplers of Azure Monitor tell its exporter the percentage.
_SAMPLE_RATE: Final = "_MS.sampleRate"
_INVOCATIONS: Final = "Microsoft.Azure.WebJobs"


class ErrorDetails(NamedTuple):
    """An exception. `stack`: empty if it is unknown."""

    type_name: str
    message: str
    stack: str


class Line(NamedTuple):
    """A log line, or an exception if it has one. `context`: the span in which it was logged."""

    time: datetime
    level: int
    category: str
    message: str
    attributes: Mapping[str, Attribute]
    context: SpanContext | None
    error: ErrorDetails | None

    @property
    def kind(self) -> str:
        """The type of telemetry, as `excludedTypes` of host.json names it."""
        return "Trace" if self.error is None else "Exception"


def span_kind(span: Span) -> SpanKind:
    """Return the kind of a span, which decides whether it becomes a request or a dependency."""
    # On Azure the run of a function is a request. That of an HTTP function is a part of its request here.
    if span.scope == _INVOCATIONS and span.attributes.get("faas.trigger") != "http":
        return SpanKind.SERVER
    return span.kind


def span_type(span: Span) -> str:
    """Return the type of telemetry, as `excludedTypes` of host.json names it."""
    return "Request" if span_kind(span) in (SpanKind.SERVER, SpanKind.CONSUMER) else "Dependency"


def span_members(span: Span, percentage: float) -> dict[str, Any]:
    """Return a span as JSON members."""
    attributes = dict(span.attributes)
    # The name under which queries for Azure Functions look for it.
    if (invocation_id := attributes.get("faas.invocation_id")) is not None:
        attributes["InvocationId"] = invocation_id
    if percentage < 100:
        attributes[_SAMPLE_RATE] = percentage
    return {
        "name": span.name,
        "kind": span_kind(span).name,
        "scope": span.scope,
        "traceId": span.context.trace_id,
        "spanId": span.context.span_id,
        "parentId": span.parent_id,
        "start": unix_nanoseconds(span.started_at),
        "end": unix_nanoseconds(span.ended_at),
        "attributes": attributes,
        "error": span.error,
    }


def line_members(line: Line) -> dict[str, Any]:
    """Return a line as JSON members."""
    error = line.error
    failure = (
        {}
        if error is None
        else {
            "exception.type": error.type_name,
            "exception.message": error.message,
            "exception.stacktrace": error.stack,
        }
    )
    return {
        "time": unix_nanoseconds(line.time),
        "level": line.level,
        "category": line.category,
        # The exporter takes the message of an exception from here.
        "message": line.message if error is None else error.message or error.type_name,
        "attributes": {"Category": line.category, **line.attributes, **failure},
        "traceId": None if line.context is None else line.context.trace_id,
        "spanId": None if line.context is None else line.context.span_id,
    }
