"""OTLP in its JSON encoding: the body of a request with spans.

Source: opentelemetry-proto, docs/specification.md ("JSON Protobuf Encoding") and trace/v1/trace.proto.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from emulator.telemetry.spans import Attribute, Span, unix_nanoseconds

# STATUS_CODE_ERROR. Without an error the status stays unset: OK is for the app to set (OpenTelemetry specification,
# "Set Status").
_STATUS_ERROR: Final = 2


def trace_request(resource: Mapping[str, Attribute], spans: Sequence[Span]) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest with the spans. `resource`: attributes of the process."""
    by_scope: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        by_scope[span.scope].append(span)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [
                    {"scope": {"name": scope}, "spans": [_span(span) for span in of_scope]}
                    for scope, of_scope in by_scope.items()
                ],
            }
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    context = span.context
    return {
        # Hex digits, where bytes are base64 otherwise in the JSON encoding of protobuf.
        "traceId": context.trace_id,
        "spanId": context.span_id,
        **({"traceState": context.trace_state} if context.trace_state else {}),
        **({"parentSpanId": span.parent_id} if span.parent_id else {}),
        "name": span.name,
        "kind": int(span.kind),
        # 64-bit integers are texts in this encoding.
        "startTimeUnixNano": str(unix_nanoseconds(span.started_at)),
        "endTimeUnixNano": str(unix_nanoseconds(span.ended_at)),
        "attributes": _attributes(span.attributes),
        "status": {} if span.error is None else {"code": _STATUS_ERROR, "message": span.error},
    }


def _attributes(attributes: Mapping[str, Attribute]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Attribute) -> dict[str, Any]:
    # bool first, because it is a subclass of int.
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value}
