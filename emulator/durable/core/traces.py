"""Trace contexts of events: the span of an orchestration, and those of the tasks that it schedules.

The ids of these spans depend on the execution alone, where .NET has random ones, so that an episode that is repeated
after a crash sends the same messages. An orchestration has a span only if its start has a trace context.
Source: DurableTask.Core, Tracing/TraceHelper.cs, TaskOrchestrationDispatcher.cs.
"""

from __future__ import annotations

from dataclasses import replace

from emulator.durable.core.events import ExecutionStarted, TraceContext
from emulator.durable.core.identity import OrchestrationInstance, derived_id
from emulator.instant import Instant
from emulator.telemetry.span_context import SpanContext


def with_span(started: ExecutionStarted, now: Instant) -> ExecutionStarted:
    """Return the start with the id of the orchestration's span, which begins `now`; unchanged if it has one or none."""
    trace = started.parent_trace_context
    parent = context_of(trace)
    if trace is None or trace.span_id is not None or parent is None:
        return started
    own = replace(parent, span_id=_span_id("orchestration", started.instance))
    # A DateTimeOffset in .NET, so it is written with an offset.
    began = now.text.removesuffix("Z") + "+00:00"
    return replace(
        started,
        parent_trace_context=replace(trace, id=own.trace_parent, span_id=own.span_id, activity_start_time=began),
    )


def orchestration_span(started: ExecutionStarted) -> SpanContext | None:
    """Return the span of an orchestration; None: it is not traced."""
    trace = started.parent_trace_context
    parent = context_of(trace)
    return None if trace is None or trace.span_id is None or parent is None else replace(parent, span_id=trace.span_id)


def task_trace(started: ExecutionStarted, task_id: int) -> TraceContext | None:
    """Return the context for the message of a task: the span that lasts from its schedule to its result.

    None: the orchestration is not traced.
    """
    span = orchestration_span(started)
    if span is None:
        return None
    task = replace(span, span_id=_span_id(task_id, started.instance))
    return TraceContext(task.trace_parent, span.trace_state or None)


def request_trace(trace: TraceContext | None, request_id: str, *, is_signal: bool) -> TraceContext | None:
    """Return the context for a request to an entity. `trace`: of the span that sends it; None: it has none.

    For a signal that is a span of its own. The receiver of a call makes that span, as in .NET.
    """
    span = context_of(trace)
    if span is None or not is_signal:
        return trace
    sending = replace(span, span_id=derived_id("span", request_id)[-16:])
    return TraceContext(sending.trace_parent, span.trace_state or None)


def own_trace(started: ExecutionStarted) -> TraceContext | None:
    """Return the span of an orchestration as the context for its requests; None: it is not traced."""
    span = orchestration_span(started)
    return None if span is None else TraceContext(span.trace_parent, span.trace_state or None)


def context_of(trace: TraceContext | None) -> SpanContext | None:
    """Return the span that a trace context names as the parent; None if it names none."""
    return None if trace is None else SpanContext.parse(trace.trace_parent, trace.trace_state)


def _span_id(what: str | int, execution: OrchestrationInstance) -> str:
    return derived_id("span", what, execution.instance_id, execution.execution_id)[-16:]
