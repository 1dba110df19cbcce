"""Invocation of functions: input bindings, retries, the time limit, output bindings, and their log lines.

Listeners, the admin API and the durable engine all run functions through this module.

    returned = await invoker.invoke(function, TriggerEvent(value=…))

Source: webjobs-sdk, FunctionExecutor.cs; host, WorkerFunctionInvoker.cs; docs/protocol/functions-host.md chapter 7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final, TypeVar

from emulator.clock import Clock, within
from emulator.dotnet.timespan import format_timespan
from emulator.errors import EmulatorError
from emulator.host.bindings import QUEUE_OUTPUT, RETURN, BindingTypes, PreparedBinding, PreparedFunction
from emulator.host.console.invocationlog import InvocationLog
from emulator.host.expressions import BindingData, TriggerMetadata
from emulator.host.port import BindingContext, Function, RenderMember, TriggerEvent
from emulator.host.recording import Recording
from emulator.host.retries import delay_before, may_retry
from emulator.ids import NewId, hyphenated
from emulator.random_numbers import uniform
from emulator.storage.counting import caused_by
from emulator.telemetry.span_context import SpanContext, current_span, working_in
from emulator.telemetry.spans import SpanKind, Tracer
from emulator.worker.port import Datum, Invocation, RetryContext, RetryPolicy, Returned, Worker, WorkerError

T = TypeVar("T")

_NO_RENDERERS: Final[Mapping[str, RenderMember]] = MappingProxyType({})


class FunctionTimedOut(EmulatorError):
    """The function ran longer than functionTimeout of host.json. It may still be running; its result is discarded."""

    def __init__(self, function: str, limit: timedelta) -> None:
        super().__init__(f"Timeout value of {format_timespan(limit)} was exceeded by function: Functions.{function}")
        self.function = function
        self.limit = limit


class BindingFailed(EmulatorError):
    """An input could not be read or an output could not be written. `__cause__` is the extension's error."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt to run a function for an event: a first run or a retry."""

    id: str
    function: Function
    event: TriggerEvent
    data: BindingData
    retry: RetryContext | None
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)

    def context(
        self, prepared: PreparedBinding, renderers: Mapping[str, RenderMember] = _NO_RENDERERS
    ) -> BindingContext:
        return BindingContext(
            self.function,
            prepared.binding,
            prepared.render(self.data, renderers),
            self.id,
            self.resources,
            self.event.inputs.get(prepared.binding.name),
        )


class Invoker:
    """Runs functions of the catalog.

    `timeout` None: unlimited. `retry`: the policy of functions that have none of their own. `spread(a, b)`: a random
    number from a to b, for exponential delays. `recording`: notes each attempt. `tracer`: records a span of it.
    """

    def __init__(  # noqa: PLR0913 (the parts of a host, each by its name)
        self,
        worker: Worker,
        types: BindingTypes,
        *,
        prepared: Mapping[str, PreparedFunction],
        clock: Clock,
        new_id: NewId,
        timeout: timedelta | None = None,
        retry: RetryPolicy | None = None,
        recording: Recording | None = None,
        tracer: Tracer | None = None,
        spread: Callable[[float, float], float] = uniform,
    ) -> None:
        self._worker = worker
        self._types = types
        self._prepared = prepared
        self._clock = clock
        self._new_id = new_id
        self._timeout = timeout
        self._retry = retry
        self._recording = recording or Recording(clock)
        self._tracer = tracer
        self._spread = spread
        self._running = 0
        self._started = 0
        self._waiting = 0
        # An event besides the counter, because waiting for a counter would mean polling.
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = asyncio.Event()

    @property
    def running(self) -> int:
        """The number of events that are being processed, including those that wait for a retry."""
        return self._running

    @property
    def started(self) -> int:
        """The number of events that have been received so far."""
        return self._started

    @property
    def only_waits(self) -> bool:
        """Whether events are being processed, and all of them wait for a retry."""
        return 0 < self._running == self._waiting

    async def wait_until_idle(self) -> None:
        """Return when no event is being processed."""
        await self._idle.wait()

    def stop_retrying(self) -> None:
        """End all waits for a retry, now and from now on: their invocations fail with the error of the last attempt."""
        self._stopping.set()

    async def invoke(self, function: Function, event: TriggerEvent) -> Returned:
        """Run the function for one event, and again if it fails and its retry policy says so.

        Raises FunctionFailed, FunctionTimedOut, BindingFailed of the last attempt.
        """
        # An event counts as running while it waits for a retry, so that a host that stops waits for it.
        self._running += 1
        self._started += 1
        self._idle.clear()
        try:
            policy = function.metadata.retry or self._retry
            # One id for all attempts of an event, as on Azure; only a redelivery gets a new one.
            invocation_id = event.invocation_id or hyphenated(self._new_id())
            if policy is None or not event.retried:
                return await self._attempt(function, event, invocation_id, None)
            return await self._until_success(function, event, invocation_id, policy)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _until_success(
        self, function: Function, event: TriggerEvent, invocation_id: str, policy: RetryPolicy
    ) -> Returned:
        retries, delay, failure = 0, 0.0, None
        log = InvocationLog(function.name, invocation_id, event.instance_id)
        while True:
            try:
                return await self._attempt(
                    function,
                    event,
                    invocation_id,
                    RetryContext(retry_count=retries, max_retry_count=policy.max_attempts, exception=failure),
                )
            # Timeouts and failed bindings are retried too: .NET's executor only sees that the invocation has failed.
            except (WorkerError, FunctionTimedOut, BindingFailed) as error:
                failure = str(error)
                if not may_retry(policy, retries):
                    log.gave_up(retries)
                    raise
                retries += 1
                delay = delay_before(policy, retries, delay, self._spread)
                log.waiting(timedelta(seconds=delay), retries, policy.max_attempts)
                if await self._stops_within(delay):
                    log.stopped_retrying()
                    raise

    async def _stops_within(self, seconds: float) -> bool:
        self._waiting += 1
        try:
            await within(self._clock, seconds, self._stopping.wait())
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def _attempt(
        self, function: Function, event: TriggerEvent, invocation_id: str, retry: RetryContext | None
    ) -> Returned:
        attempt = _Attempt(
            id=invocation_id,
            function=function,
            event=event,
            data=BindingData(
                event.binding_data, event.value, function=function.name, clock=self._clock, new_id=self._new_id
            ),
            retry=retry,
        )
        log = InvocationLog(function.name, attempt.id, event.instance_id)
        prepared = self._prepared[function.name]
        started = self._clock.now()
        run = self._recording.begin(function.name, attempt.id, event, retry.retry_count if retry else 0)
        # Around the log lines, which belong to the span, too.
        with self._span(attempt):
            log.executing(event.reason, event.details)
            try:
                with caused_by(function.name):
                    async with attempt.resources:
                        inputs = await self._read(attempt, prepared.inputs)
                        returned = await self._call(attempt, inputs, log)
                        # Outputs are written only after the function has succeeded, as on Azure: a function that fails
                        # and is retried must not write its outputs twice.
                        await self._write(attempt, prepared.outputs, returned)
            except (WorkerError, FunctionTimedOut, BindingFailed) as error:
                log.failed(self._clock.now() - started, error)
                self._recording.end(run, None, error)
                raise
            except BaseException as error:
                # Cancelled, or a defect, which the listener reports.
                self._recording.end(run, None, error)
                raise
            log.succeeded(self._clock.now() - started)
        self._recording.end(run, returned, None)
        return returned

    @contextmanager
    def _span(self, attempt: _Attempt) -> Iterator[None]:
        """Record a span of an attempt, which is the current one while entered."""
        tracer, event, function = self._tracer, attempt.event, attempt.function
        if tracer is None:
            yield
            return
        span = tracer.begin(
            function.name,
            SpanKind.INTERNAL,
            scope="Microsoft.Azure.WebJobs",
            parent=current_span() or SpanContext.parse(event.trace_parent, event.trace_state),
            attributes={
                "faas.name": function.name,
                "faas.invocation_id": attempt.id,
                "faas.trigger": _SPAN_TRIGGERS.get(function.trigger.type.lower(), "other"),
                "azure.functions.retry_count": attempt.retry.retry_count if attempt.retry else None,
            },
        )
        failure: str | None = None
        try:
            tracer.invocations[attempt.id] = span.context
            with working_in(span.context):
                yield
        except BaseException as error:
            failure = str(error) or type(error).__name__
            raise
        finally:
            tracer.invocations.pop(attempt.id, None)
            tracer.end(span, failure)

    async def _call(self, attempt: _Attempt, inputs: Mapping[str, Datum | None], log: InvocationLog) -> Returned:
        event, span = attempt.event, current_span()
        parent = trace_parent(event.trace_parent, self._new_id) if span is None else span.trace_parent
        call = self._worker.invoke(
            Invocation(
                id=attempt.id,
                function=attempt.function.name,
                inputs={attempt.function.trigger.name: event.value, **inputs},
                trigger_metadata=TriggerMetadata(event.metadata, event.value),
                trace_parent=parent,
                trace_state=event.trace_state if span is None else span.trace_state,
                retry=attempt.retry,
                on_log=log.user,
            )
        )
        # Only the function is limited, as on Azure; bindings have the time limits of their services.
        if self._timeout is None:
            return await call
        try:
            return await within(self._clock, self._timeout.total_seconds(), call)
        except TimeoutError:
            # The worker cannot stop user code, so the function continues and its result is discarded.
            log.timed_out(format_timespan(self._timeout))
            raise FunctionTimedOut(attempt.function.name, self._timeout) from None

    async def _read(self, attempt: _Attempt, inputs: Sequence[PreparedBinding]) -> dict[str, Datum | None]:
        unusable = attempt.event.unusable
        if unusable is not None:
            raise BindingFailed(
                f"Exception binding parameter '{attempt.function.trigger.name}'. {unusable}"
            ) from unusable

        async def read(prepared: PreparedBinding) -> Datum | None:
            try:
                binding_type = self._types.input(prepared.binding)
                return await binding_type.read(attempt.context(prepared, binding_type.renderers))
            except EmulatorError as error:
                # Only expected errors become failures of the invocation. Others are defects, and reach the listener.
                raise BindingFailed(f"Exception binding parameter '{prepared.binding.name}'. {error}") from error

        values = await _concurrently([read(prepared) for prepared in inputs])
        return {prepared.binding.name: value for prepared, value in zip(inputs, values, strict=True)}

    async def _write(self, attempt: _Attempt, outputs: Sequence[PreparedBinding], returned: Returned) -> None:
        values = {**returned.outputs, RETURN: returned.value}

        async def write(prepared: PreparedBinding, datum: Datum) -> None:
            write_output = self._types.output(prepared.binding).write
            if write_output is None:
                return
            try:
                await write_output(attempt.context(prepared), datum)
            except EmulatorError as error:
                raise BindingFailed(
                    f"Error while handling parameter {prepared.binding.name} after function returned: {error}"
                ) from error

        # Outputs that the function has not set are not written.
        given = [(prepared, datum) for prepared in outputs if (datum := values.get(prepared.binding.name)) is not None]
        # Messages are sent when all else is written: a function that gets one finds the blob or row that it tells of.
        # Source: docs/protocol/functions-host.md 7.1.
        for is_message in (False, True):
            await _concurrently(
                [
                    write(prepared, datum)
                    for prepared, datum in given
                    if (prepared.binding.type.lower() == QUEUE_OUTPUT) is is_message
                ]
            )


async def _concurrently(work: Sequence[Awaitable[T]]) -> list[T]:
    """Await all; return their results, or raise the first error after the others have ended."""
    # Most functions have at most one such binding, and a task costs more than most bindings.
    if not work:
        return []
    if len(work) == 1:
        return [await work[0]]
    # Not a task group, which would cancel the others: an output that is half written is worse than one that is
    # written although another has failed.
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    results = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results


def trace_parent(of_event: str, new_id: NewId) -> str:
    """Return the W3C trace context of an invocation: a new span in the event's trace, or in a new trace."""
    # Without an event to decide it, every trace is sampled.
    trace = SpanContext.parse(of_event) or SpanContext(new_id(), "")
    return replace(trace, span_id=new_id()[-16:]).trace_parent


# The values that the semantic conventions have for `faas.trigger`; all others are "other".
_SPAN_TRIGGERS: Final = {
    "httptrigger": "http",
    "timertrigger": "timer",
    "blobtrigger": "datasource",
    "queuetrigger": "pubsub",
    "eventgridtrigger": "pubsub",
    "servicebustrigger": "pubsub",
    "eventhubtrigger": "pubsub",
}
