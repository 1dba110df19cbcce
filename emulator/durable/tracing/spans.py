"""Spans of orchestrations, activities, timers, events and entities, as the Durable extension has them (tracing V2).

Source: DurableTask.Core, Tracing/TraceHelper.cs; durable-extension, Correlation/TraceHelper.cs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from emulator.durable.core.decisions import Complete, Decision, SendEvent
from emulator.durable.core.entities.messages import OPERATION, Request
from emulator.durable.core.events import (
    ExecutionStarted,
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
    TraceContext,
)
from emulator.durable.core.identity import EntityId, OrchestrationInstance, RuntimeStatus
from emulator.durable.core.state import RuntimeState
from emulator.durable.core.traces import context_of, orchestration_span, request_trace, with_span
from emulator.durable.executor import EntitySignal, OperationResult
from emulator.instant import Instant
from emulator.telemetry.span_context import SpanContext, current_span, working_in
from emulator.telemetry.spans import Attribute, Span, SpanKind, Tracer

# Names of the activity sources in .NET, which filters and dashboards of users name.
_CORE: Final = "DurableTask.Core"
_EXTENSION: Final = "WebJobs.Extensions.DurableTask"
_SCHEDULED: Final = (TaskScheduled, SubOrchestrationInstanceCreated, TimerCreated)
# Values of `durabletask.task.operation`.
_CALL: Final = "call_entity"
_SIGNAL: Final = "signal_entity"
_RESULTS: Final = (TaskCompleted, TaskFailed, SubOrchestrationInstanceCompleted, SubOrchestrationInstanceFailed)


@dataclass(slots=True)
class BatchSpans:
    """Spans of a batch of operations by request id. `results`: of the operations, to be set when they are known."""

    contexts: Mapping[str, SpanContext]
    results: Sequence[OperationResult] = ()

    def sender_of(self, signal: EntitySignal) -> SpanContext | None:
        """Return the span of the operation that has sent a signal; None: it is unknown, or not traced."""
        # The SDK for Python (1.x) does not say which one it is. It is clear if there is only one.
        if signal.request_id is None and len(self.results) == 1:
            return next(iter(self.contexts.values()), None)
        return self.contexts.get(signal.request_id or "")


class DurableSpans:
    """Records the spans of one task hub."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    # Clients ---------------------------------------------------------------------------------------------------

    @contextmanager
    def called_by(self, invocation_id: str | None, trace_parent: str | None, trace_state: str | None) -> Iterator[None]:
        """Make the span of a caller the current one while entered.

        The SDK names its span only if the app uses OpenTelemetry, but always the invocation.
        """
        caller = SpanContext.parse(trace_parent, trace_state) or self._tracer.invocations.get(invocation_id or "")
        with working_in(caller):
            yield

    @contextmanager
    def creating(self, started: ExecutionStarted) -> Iterator[ExecutionStarted]:
        """Record the start of an orchestration. Yields the event with the trace context for its message."""
        span = self._tracer.begin(
            _name("create_orchestration", started.name, started.version),
            SpanKind.PRODUCER,
            scope=_EXTENSION,
            parent=current_span() or context_of(started.parent_trace_context),
            attributes={
                **_task("orchestration", started.name, started.instance.instance_id, started.version),
                "durabletask.task.execution_id": started.instance.execution_id,
            },
        )
        context = span.context
        with self._recorded(span):
            yield replace(
                started,
                parent_trace_context=TraceContext(context.trace_parent, context.trace_state or None),
            )

    @contextmanager
    def raising(self, instance_id: str, name: str) -> Iterator[None]:
        """Record that a client sends an event to an orchestration."""
        attributes = {
            "durabletask.type": "event",
            "durabletask.task.name": name,
            "durabletask.event.target_instance_id": instance_id,
        }
        span = self._tracer.begin(
            f"orchestration_event:{name}", SpanKind.PRODUCER, scope=_CORE, parent=current_span(), attributes=attributes
        )
        with self._recorded(span):
            yield

    @contextmanager
    def signalling(self, entity: EntityId, request: Request) -> Iterator[Request]:
        """Record that a client signals an entity. Yields the request with the trace context for the entity."""
        span = self._signal_span(entity, request, _EXTENSION, current_span(), None)
        context = span.context
        with self._recorded(span):
            yield replace(request, trace=TraceContext(context.trace_parent, context.trace_state or None))

    def _signal_span(
        self,
        entity: EntityId,
        request: Request,
        scope: str,
        parent: SpanContext | None,
        span_id: str | None,
        sender: EntityId | None = None,
    ) -> Span:
        """Begin the span of a signal. `sender`: the entity that sends it; None: a client or an orchestration does."""
        return self._tracer.begin(
            _entity_name(entity, request),
            SpanKind.PRODUCER,
            scope=scope,
            parent=parent,
            attributes={
                "durabletask.type": "entity",
                "durabletask.task.operation": _SIGNAL,
                "durabletask.event.target_instance_id": entity.instance_id,
                "durabletask.task.instance_id": None if sender is None else sender.instance_id,
                "durabletask.task.scheduled_time": None if request.due is None else request.due.text7,
            },
            span_id=span_id,
        )

    # Entities --------------------------------------------------------------------------------------------------

    @contextmanager
    def operations(self, entity: EntityId, requests: Sequence[Request]) -> Iterator[BatchSpans]:
        """Record the operations of a batch.

        A call has two spans, that of the caller from the request to the response and that of the operation, because the
        entity is the first to know both its ends. Requests without a trace context have none.
        """
        calls, operations = [], []
        for request in requests:
            parent, call = context_of(request.trace), None
            if parent is not None and not request.is_signal:
                call = self._tracer.begin(
                    _entity_name(entity, request),
                    SpanKind.CLIENT,
                    scope=_EXTENSION,
                    parent=parent,
                    attributes={
                        "durabletask.type": "entity",
                        "durabletask.task.operation": _CALL,
                        "durabletask.event.target_instance_id": entity.instance_id,
                    },
                    # From the request on, so the span includes the time in the queues.
                    started_at=None if request.requested_at is None else request.requested_at.datetime,
                )
                parent = call.context
            calls.append(call)
            operations.append(
                None
                if parent is None
                else self._tracer.begin(
                    _entity_name(entity, request),
                    SpanKind.CONSUMER if request.is_signal else SpanKind.SERVER,
                    scope=_EXTENSION,
                    parent=parent,
                    attributes={
                        "durabletask.type": "entity",
                        "durabletask.task.operation": _SIGNAL if request.is_signal else _CALL,
                        "durabletask.task.instance_id": entity.instance_id,
                    },
                )
            )
        batch = BatchSpans(
            {request.id: span.context for request, span in zip(requests, operations, strict=True) if span is not None}
        )
        # One call of the function runs the whole batch, so its invocation can belong to one of the spans only.
        first = next((span for span in operations if span is not None), None)
        with working_in(None if first is None else first.context):
            yield batch
        elapsed = timedelta(0)
        for call, operation, outcome in zip(calls, operations, batch.results, strict=True):
            # They ran one after the other, for as long as the function has measured.
            began, elapsed = elapsed, elapsed + timedelta(milliseconds=outcome.duration_ms)
            if operation is not None:
                start = operation.started_at
                operation.started_at = start + began
                if outcome.is_error:
                    operation.attributes["durabletask.entity.error_message"] = outcome.result
                self._tracer.end(operation, outcome.result if outcome.is_error else None, ended_at=start + elapsed)
            if call is not None:
                self._tracer.end(call)

    def signal_of_entity(self, sender: EntityId, target: EntityId, request: Request, parent: SpanContext) -> Request:
        """Record that an entity signals another one. Return the request with the trace context for the target.

        `parent`: the span of the operation that sends it.
        """
        # By the id of the request, so that a batch that is repeated after a crash sends the same message.
        trace = request_trace(TraceContext(parent.trace_parent, parent.trace_state or None), request.id, is_signal=True)
        context = context_of(trace)
        if context is not None:
            self._tracer.end(self._signal_span(target, request, _EXTENSION, parent, context.span_id, sender))
        return replace(request, trace=trace)

    # Activities ------------------------------------------------------------------------------------------------

    @contextmanager
    def activity(self, task: TaskScheduled, instance: OrchestrationInstance) -> Iterator[Callable[[str | None], None]]:
        """Record the run of an activity. Yields a function that notes why it has failed."""
        parent = context_of(task.parent_trace_context)
        failure: str | None = None

        def note(reason: str | None) -> None:
            nonlocal failure
            failure = reason or ""

        if parent is None:
            # As in .NET, an activity whose message has no trace context has no span.
            yield note
            return
        span = self._tracer.begin(
            _name("activity", task.name, task.version),
            SpanKind.SERVER,
            scope=_CORE,
            parent=parent,
            attributes={
                **_task("activity", task.name, instance.instance_id, task.version),
                "durabletask.task.task_id": task.event_id,
            },
        )
        with working_in(span.context):
            yield note
        self._tracer.end(span, failure)

    # Orchestrations --------------------------------------------------------------------------------------------

    def begun(self, state: RuntimeState, now: Instant) -> RuntimeState:
        """Return the state of the first episode with the span of the orchestration in its start event."""
        started = state.started
        # Later episodes read the start from the history, with the span in it.
        if state.past or (traced := with_span(started, now)) is started:
            return state
        return replace(state, started=traced, new=[traced if event is started else event for event in state.new])

    def episode_decided(self, state: RuntimeState, decisions: Sequence[Decision]) -> None:
        """Record the tasks that have ended, and what the orchestrator has decided."""
        parent = orchestration_span(state.started)
        if parent is None:
            return
        scheduled: dict[int, HistoryEvent] = {}
        # Only episodes with results need the events that scheduled these; others do not search a long history.
        if any(isinstance(event, (*_RESULTS, TimerFired)) for event in state.new):
            scheduled = {event.event_id: event for event in (*state.past, *state.new) if isinstance(event, _SCHEDULED)}
        for event in state.new:
            if isinstance(event, _RESULTS):
                self._task_ended(state, parent, event, scheduled.get(event.task_scheduled_id))
            elif isinstance(event, TimerFired):
                self._timer_fired(state, parent, event, scheduled.get(event.timer_id))
        for decision in decisions:
            if isinstance(decision, SendEvent):
                self._event_sent(state, parent, decision)
            elif isinstance(decision, Complete):
                self._orchestration_ended(state, parent, decision)

    def _task_ended(
        self,
        state: RuntimeState,
        parent: SpanContext,
        result: TaskCompleted | TaskFailed | SubOrchestrationInstanceCompleted | SubOrchestrationInstanceFailed,
        scheduled: HistoryEvent | None,
    ) -> None:
        is_failure = isinstance(result, TaskFailed | SubOrchestrationInstanceFailed)
        error = (getattr(result, "reason", None) or "") if is_failure else None
        task_id: int | None = None
        match scheduled:
            case TaskScheduled():
                # The span is created when the task has ended, because another host may have scheduled it.
                kind, task_id = "activity", scheduled.event_id
                context = context_of(scheduled.parent_trace_context)
                span_id = None if context is None else context.span_id
            case SubOrchestrationInstanceCreated():
                kind, span_id = "orchestration", scheduled.client_span_id
            case _:
                return
        # The worker of the task has the span as its parent. A task from before the trace has no such id.
        if span_id is None:
            return
        span = self._tracer.begin(
            _name(kind, scheduled.name, scheduled.version),
            SpanKind.CLIENT,
            scope=_CORE,
            parent=parent,
            attributes={
                **_task(kind, scheduled.name, state.instance.instance_id, scheduled.version),
                "durabletask.task.task_id": task_id,
            },
            span_id=span_id,
            started_at=scheduled.timestamp.datetime,
        )
        self._tracer.end(span, error)

    def _timer_fired(
        self, state: RuntimeState, parent: SpanContext, fired: TimerFired, created: HistoryEvent | None
    ) -> None:
        name = state.started.name
        span = self._tracer.begin(
            f"orchestration:{name}:timer",
            SpanKind.INTERNAL,
            scope=_CORE,
            parent=parent,
            attributes={
                "durabletask.type": "timer",
                "durabletask.task.name": name,
                "durabletask.task.instance_id": state.instance.instance_id,
                "durabletask.fire_at": fired.fire_at.text7,
                "durabletask.task.task_id": fired.timer_id,
            },
            started_at=None if created is None else created.timestamp.datetime,
        )
        self._tracer.end(span)

    def _event_sent(self, state: RuntimeState, parent: SpanContext, sent: SendEvent) -> None:
        target = sent.target.instance_id
        # Messages to entities have no such span. Source: TraceHelper.StartTraceActivityForEventRaisedFromWorker.
        if (entity := EntityId.parse(target)) is not None:
            if sent.name.startswith(OPERATION):
                self._signal_sent(parent, entity, sent.input)
            return
        span = self._tracer.begin(
            f"orchestration_event:{sent.name}",
            SpanKind.PRODUCER,
            scope=_CORE,
            parent=parent,
            attributes={
                "durabletask.type": "event",
                "durabletask.task.name": sent.name,
                "durabletask.task.instance_id": state.instance.instance_id,
                "durabletask.task.execution_id": state.instance.execution_id,
                "durabletask.event.target_instance_id": target,
            },
        )
        self._tracer.end(span)

    def _signal_sent(self, parent: SpanContext, entity: EntityId, text: str | None) -> None:
        request = Request.parse(text or "")
        context = context_of(request.trace)
        # The entity records both spans of a call.
        if request.is_signal and context is not None:
            self._tracer.end(self._signal_span(entity, request, _CORE, parent, context.span_id))

    def _orchestration_ended(self, state: RuntimeState, own: SpanContext, end: Complete) -> None:
        started = state.started
        span = self._tracer.begin(
            _name("orchestration", started.name, started.version),
            SpanKind.SERVER,
            scope=_CORE,
            parent=context_of(started.parent_trace_context),
            attributes={
                **_task("orchestration", started.name, started.instance.instance_id, started.version),
                "durabletask.task.status": end.status.wire_name,
            },
            # Not a new id: the spans of its tasks, which have been recorded before, name this one as their parent.
            span_id=own.span_id,
            started_at=_start_time(started),
        )
        self._tracer.end(span, (end.result or "") if end.status is RuntimeStatus.FAILED else None)

    @contextmanager
    def _recorded(self, span: Span) -> Iterator[None]:
        error: str | None = None
        try:
            yield
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            self._tracer.end(span, error)


def _entity_name(entity: EntityId, request: Request) -> str:
    return f"entity:{entity.name}:{request.operation}"


def _name(kind: str, name: str, version: str | None) -> str:
    return f"{kind}:{name}@({version})" if version else f"{kind}:{name}"


def _task(kind: str, name: str, instance_id: str, version: str | None) -> dict[str, Attribute | None]:
    return {
        "durabletask.type": kind,
        "durabletask.task.name": name,
        "durabletask.task.instance_id": instance_id,
        "durabletask.task.version": version or None,
    }


def _start_time(started: ExecutionStarted) -> datetime | None:
    trace = started.parent_trace_context
    try:
        return Instant.parse((trace and trace.activity_start_time) or "").datetime
    except ValueError:
        return None
