"""Spans, and the tracer that creates them and passes ended ones on.

    span = tracer.begin("GET orders", SpanKind.SERVER, scope="Microsoft.AspNetCore", parent=None)
    span.attributes["http.response.status_code"] = 200
    tracer.end(span)

A host without traces has no tracer, and does not call this module.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from emulator.clock import Clock
from emulator.ids import NewId
from emulator.telemetry.span_context import SpanContext

Attribute = str | int | float | bool

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def unix_nanoseconds(moment: datetime) -> int:
    """Return a time as OpenTelemetry writes it: nanoseconds since 1970."""
    # In integers, because a float has too few digits for that.
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


class SpanKind(enum.IntEnum):
    """Kinds of spans, with the numbers of OTLP."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


@dataclass(slots=True, kw_only=True)
class Span:
    """A unit of work. `scope`: the name of its source, as the .NET host has it. `parent_id`: None in a root span.

    `error`: why the work has failed; an empty text: it has failed without a reason.
    """

    name: str
    kind: SpanKind
    scope: str
    context: SpanContext
    parent_id: str | None
    started_at: datetime
    ended_at: datetime
    attributes: dict[str, Attribute] = field(default_factory=dict)
    error: str | None = None


class Tracer:
    """Creates spans. `record`: takes the spans that have ended and whose trace is sampled; must not block.

    `invocations`: the spans of running invocations by invocation id, for requests of their code that name the id only.
    """

    def __init__(self, clock: Clock, new_id: NewId, record: Callable[[Span], None]) -> None:
        self._clock = clock
        self._new_id = new_id
        self._record = record
        self.invocations: dict[str, SpanContext] = {}

    def begin(
        self,
        name: str,
        kind: SpanKind,
        *,
        scope: str,
        parent: SpanContext | None,
        attributes: Mapping[str, Attribute | None] | None = None,
        span_id: str | None = None,
        started_at: datetime | None = None,
    ) -> Span:
        """Begin a span. `parent` None: it begins a trace. Attributes that are None are left out.

        `span_id`: an id that other processes know already. `started_at` None: now.
        """
        started_at = started_at or self._clock.now()
        # A trace that begins here is always sampled.
        trace = SpanContext(self._new_id(), "") if parent is None else parent
        # A trace id has 32 hex digits, as new ids have, and a span id 16.
        return Span(
            name=name,
            kind=kind,
            scope=scope,
            context=SpanContext(trace.trace_id, span_id or self._new_id()[-16:], trace.sampled, trace.trace_state),
            parent_id=None if parent is None else parent.span_id,
            started_at=started_at,
            ended_at=started_at,
            attributes={name: value for name, value in (attributes or {}).items() if value is not None},
        )

    def end(self, span: Span, error: str | None = None, *, ended_at: datetime | None = None) -> None:
        """End a span. `error`: why its work has failed. `ended_at` None: now."""
        span.ended_at = ended_at or self._clock.now()
        span.error = error
        # A span that is not sampled has ids, too: services further on get them, and decide as the caller did.
        if span.context.sampled:
            self._record(span)
