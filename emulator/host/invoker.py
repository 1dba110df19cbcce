"""The single road to user code: inputs, retries, the time limit, outputs, and what is said about it.

    invoke = invoker.invoke_of(function)      # for a listener
    returned = await invoke(TriggerEvent(value=…))

Source: webjobs-sdk, FunctionExecutor.cs; host, WorkerFunctionInvoker.cs; docs/protocol/functions-host.md chapter 7.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from emulator.clock import Clock, within
from emulator.config.timespan import format_timespan
from emulator.errors import EmulatorError
from emulator.host.bindings import RETURN, BindingTypes, PreparedBinding, PreparedFunction
from emulator.host.console.invocationlog import InvocationLog
from emulator.host.expressions import BindingData, TriggerMetadata
from emulator.host.port import BindingContext, Function, Invoke, TriggerEvent
from emulator.host.retries import delay_before, may_retry
from emulator.ids import NewId, hyphenated
from emulator.worker.port import Datum, Invocation, RetryContext, RetryPolicy, Returned, Worker, WorkerError

T = TypeVar("T")


class FunctionTimedOut(EmulatorError):
    """The function ran longer than host.json's functionTimeout. It may still be running; its result is dropped."""

    def __init__(self, function: str, limit: timedelta) -> None:
        super().__init__(f"Timeout value of {format_timespan(limit)} was exceeded by function: Functions.{function}")
        self.function = function
        self.limit = limit


class BindingFailed(EmulatorError):
    """An input could not be read, or an output not written. The cause is the extension's error."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One run of a function: its id and what its bindings may know."""

    id: str
    function: Function
    event: TriggerEvent
    data: BindingData
    retry: RetryContext | None
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)

    def context(self, prepared: PreparedBinding) -> BindingContext:
        return BindingContext(self.function, prepared.binding, prepared.render(self.data), self.id, self.resources)


class Invoker:
    """Runs functions of a catalog. `timeout` None: unlimited. `retry`: for functions without a policy of their own."""

    def __init__(
        self,
        worker: Worker,
        types: BindingTypes,
        *,
        prepared: Mapping[str, PreparedFunction],
        clock: Clock,
        new_id: NewId,
        timeout: timedelta | None = None,
        retry: RetryPolicy | None = None,
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._worker = worker
        self._types = types
        self._prepared = prepared
        self._clock = clock
        self._new_id = new_id
        self._timeout = timeout
        self._retry = retry
        self._spread = spread
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """How many events are being worked on, waiting retries included."""
        return self._running

    async def wait_until_idle(self) -> None:
        await self._idle.wait()

    def invoke_of(self, function: Function) -> Invoke:
        async def invoke(event: TriggerEvent) -> Returned:
            return await self.invoke(function, event)

        return invoke

    async def invoke(self, function: Function, event: TriggerEvent) -> Returned:
        """Run the function for one event, again if its retry policy says so.

        Raises FunctionFailed, FunctionTimedOut, BindingFailed of the last attempt.
        """
        self._running += 1
        self._idle.clear()
        try:
            policy = function.metadata.retry or self._retry
            if policy is None or not event.retried:
                return await self._attempt(function, event, None)
            return await self._until_success(function, event, policy)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def _until_success(self, function: Function, event: TriggerEvent, policy: RetryPolicy) -> Returned:
        retries, delay, failure = 0, 0.0, None
        log = InvocationLog(function.name)
        while True:
            try:
                return await self._attempt(
                    function,
                    event,
                    RetryContext(retry_count=retries, max_retry_count=policy.max_attempts, exception=failure),
                )
            except (WorkerError, FunctionTimedOut, BindingFailed) as error:
                failure = str(error)
                if not may_retry(policy, retries):
                    log.gave_up(retries)
                    raise
            retries += 1
            delay = delay_before(policy, retries, delay, self._spread)
            log.waiting(timedelta(seconds=delay), retries, policy.max_attempts)
            await self._clock.sleep(delay)

    async def _attempt(self, function: Function, event: TriggerEvent, retry: RetryContext | None) -> Returned:
        first = retry is None or retry.retry_count == 0
        given = event.invocation_id if first else None
        attempt = _Attempt(
            id=given or hyphenated(self._new_id()),
            function=function,
            event=event,
            data=BindingData(
                event.binding_data, event.value, function=function.name, clock=self._clock, new_id=self._new_id
            ),
            retry=retry,
        )
        log = InvocationLog(function.name, attempt.id)
        started = self._clock.now()
        log.executing(event.reason, event.details)
        try:
            returned = await self._run(attempt, log)
        except (WorkerError, FunctionTimedOut, BindingFailed) as error:
            log.failed(self._clock.now() - started, error)
            raise
        log.succeeded(self._clock.now() - started)
        return returned

    async def _run(self, attempt: _Attempt, log: InvocationLog) -> Returned:
        prepared = self._prepared[attempt.function.name]
        async with attempt.resources:
            inputs = await self._read(attempt, prepared.inputs)
            returned = await self._call(attempt, inputs, log)
            await self._write(attempt, prepared.outputs, returned)
        return returned

    async def _call(self, attempt: _Attempt, inputs: Mapping[str, Datum | None], log: InvocationLog) -> Returned:
        event = attempt.event
        call = self._worker.invoke(
            Invocation(
                id=attempt.id,
                function=attempt.function.name,
                inputs={attempt.function.trigger.name: event.value, **inputs},
                trigger_metadata=TriggerMetadata(event.metadata, event.value),
                trace_parent=trace_parent(event.trace_parent, self._new_id),
                trace_state=event.trace_state,
                retry=attempt.retry,
                on_log=log.user,
            )
        )
        if self._timeout is None:
            return await call
        try:
            return await within(self._clock, self._timeout.total_seconds(), call)
        except TimeoutError:
            log.timed_out(format_timespan(self._timeout))
            raise FunctionTimedOut(attempt.function.name, self._timeout) from None

    async def _read(self, attempt: _Attempt, inputs: Sequence[PreparedBinding]) -> dict[str, Datum | None]:
        async def read(prepared: PreparedBinding) -> Datum | None:
            try:
                return await self._types.input(prepared.binding).read(attempt.context(prepared))
            except EmulatorError as error:
                raise BindingFailed(f"Exception binding parameter '{prepared.binding.name}'. {error}") from error

        values = await _side_by_side([read(prepared) for prepared in inputs])
        return {prepared.binding.name: value for prepared, value in zip(inputs, values, strict=True)}

    async def _write(self, attempt: _Attempt, outputs: Sequence[PreparedBinding], returned: Returned) -> None:
        """Only after the function has succeeded, all of them. What was not set is not written."""
        values = {**returned.outputs, RETURN: returned.value}

        async def write(prepared: PreparedBinding, datum: Datum) -> None:
            writer = self._types.output(prepared.binding).write
            if writer is None:
                return
            try:
                await writer(attempt.context(prepared), datum)
            except EmulatorError as error:
                raise BindingFailed(
                    f"Error while handling parameter {prepared.binding.name} after function returned: {error}"
                ) from error

        await _side_by_side(
            [write(prepared, datum) for prepared in outputs if (datum := values.get(prepared.binding.name)) is not None]
        )


async def _side_by_side(work: Sequence[Awaitable[T]]) -> list[T]:
    """All results; the first error after the others have come to their end."""
    if len(work) == 1:
        return [await work[0]]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    results = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results


def trace_parent(of_event: str, new_id: NewId) -> str:
    """The W3C trace context of an invocation: a new span in the event's trace, or in a new one."""
    match = _TRACE_PARENT.fullmatch(of_event)
    trace, flags = match.groups() if match else (new_id(), "01")
    return f"00-{trace}-{new_id()[-16:]}-{flags}"


_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
