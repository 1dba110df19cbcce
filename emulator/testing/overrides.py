"""Overrides of activities in a test: activities that fail or are replaced, without a change of user code."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from emulator.clock import Clock
from emulator.durable.core.identity import FunctionKind
from emulator.extensions.durable.functions import TRIGGERS, name_of
from emulator.testing.errors import UnknownActivity
from emulator.testing.observers.leftover_work import LeftoverWork
from emulator.testing.observers.log_capture import LogCapture
from emulator.testing.observers.real_waits import RealWaits
from emulator.worker import values
from emulator.worker.failures import function_failed
from emulator.worker.large_text import LargeText
from emulator.worker.port import Datum, FunctionMetadata, Invocation, Returned, Worker

Fake = Callable[..., Any]


class ActivityOverrides:
    """The overrides that the test has set. Callable on any thread."""

    def __init__(self) -> None:
        # By the name of the function. `_called`: that name, by the lower-case name by which orchestrators call it.
        self._activities: dict[str, FunctionMetadata] = {}
        self._called: dict[str, str] = {}
        self._failures: defaultdict[str, deque[BaseException]] = defaultdict(deque)
        self._fakes: dict[str, Fake] = {}

    def functions_loaded(self, functions: Sequence[FunctionMetadata]) -> None:
        """Note the app's activities."""
        triggers = [
            (function, binding) for function in functions for binding in function.bindings if binding.is_trigger
        ]
        found = [pair for pair in triggers if TRIGGERS.get(pair[1].type.lower()) is FunctionKind.ACTIVITY]
        self._activities = {function.name: function for function, _ in found}
        self._called = {
            name_of(FunctionKind.ACTIVITY, function.name, trigger).lower(): function.name for function, trigger in found
        }

    def fail(self, name: str, times: int, error: BaseException) -> None:
        """Let the next `times` calls of an activity raise `error`. Raises UnknownActivity."""
        # Added to earlier ones, so that a test can let the first call fail with one error and the next with another.
        self._failures[self._known_name(name)].extend([error] * times)

    def replace(self, name: str, fake: Fake | None) -> None:
        """Call `fake` instead of an activity; None: call the activity again. Raises UnknownActivity."""
        known_name = self._known_name(name)
        if fake is None:
            self._fakes.pop(known_name, None)
        else:
            self._fakes[known_name] = fake

    def next_failure(self, name: str) -> BaseException | None:
        """Remove and return the error that this call of a function must raise."""
        failures = self._failures.get(name)
        return failures.popleft() if failures else None

    def fake(self, name: str) -> tuple[Fake, FunctionMetadata] | None:
        """Return the replacement of a function, with the metadata of the activity."""
        fake = self._fakes.get(name)
        return None if fake is None else (fake, self._activities[name])

    def _known_name(self, name: str) -> str:
        # Ignoring case, as the host looks up activities. The name of the function is accepted, too.
        names = {known.lower(): known for known in self._activities} | self._called
        if name.lower() not in names:
            raise UnknownActivity(name, sorted(self._activities))
        return names[name.lower()]


@dataclass(frozen=True, slots=True)
class Instrumentation:
    """What `emulator.testing` puts around an app: overrides of activities and observers of functions."""

    overrides: ActivityOverrides
    logs: LogCapture
    real_waits: RealWaits
    leftover_work: LeftoverWork


class OverridingWorker:
    """A worker around the app's that applies the overrides and informs the observers. Implements Worker."""

    def __init__(self, worker: Worker, instrumentation: Instrumentation, clock: Clock) -> None:
        self._worker = worker
        self._instrumentation = instrumentation
        self._clock = clock

    async def load(self) -> Sequence[FunctionMetadata]:
        """See Worker.load."""
        functions = await self._worker.load()
        self._instrumentation.overrides.functions_loaded(functions)
        self._instrumentation.leftover_work.app_loaded()
        return functions

    async def invoke(self, invocation: Invocation) -> Returned:
        """See Worker.invoke."""
        invocation = _rereadable(invocation)
        tools = self._instrumentation
        # First, so that overridden calls are in the log as well.
        invocation = tools.logs.captured(invocation)
        failure = tools.overrides.next_failure(invocation.function)
        if failure is not None:
            # Wrapped like an error of user code, so that retries and the error's text are the real ones.
            raise function_failed(failure)
        replacement = tools.overrides.fake(invocation.function)
        if replacement is not None:
            fake, function = replacement
            try:
                with self._clock.busy():
                    return await _call_fake(fake, function, invocation)
            except Exception as error:
                raise function_failed(error) from error
        tools.leftover_work.function_begins()
        try:
            with tools.real_waits.observe(invocation.function):
                return await self._worker.invoke(invocation)
        finally:
            tools.leftover_work.function_ended()


def with_overrides(
    worker: AbstractAsyncContextManager[Worker], instrumentation: Instrumentation, clock: Clock
) -> AbstractAsyncContextManager[Worker]:
    """Return an OverridingWorker around `worker`."""

    @asynccontextmanager
    async def entered() -> AsyncIterator[Worker]:
        async with worker as inner:
            yield OverridingWorker(inner, instrumentation, clock)

    return entered()


async def _call_fake(fake: Fake, function: FunctionMetadata, invocation: Invocation) -> Returned:
    # Input and result go through the activity's converters. A fake thus sees what the activity would see, and a result
    # that is not JSON fails as it would on Azure. By position, because the fake may name its parameter otherwise.
    trigger = next(binding for binding in function.bindings if binding.is_trigger)
    value = values.decode(trigger.type, invocation.inputs.get(trigger.name), invocation.trigger_metadata)
    if inspect.iscoroutinefunction(fake):
        result = await fake(value)
    else:
        # On a thread: a fake that blocks must not block the host's loop.
        result = await asyncio.to_thread(fake, value)
        # For callables that are not coroutine functions but return an awaitable, such as functools.partial or a mock.
        if inspect.isawaitable(result):
            result = await result
    return Returned(values.encode(trigger.type, result, None))


def _rereadable(invocation: Invocation) -> Invocation:
    """Return the invocation with a text instead of a LargeText: tests read the context, and run orchestrators twice."""
    inputs = {
        name: Datum(datum.type, datum.value.decode("utf-8", "surrogatepass"))
        if datum is not None and isinstance(datum.value, LargeText)
        else datum
        for name, datum in invocation.inputs.items()
    }
    return replace(invocation, inputs=inputs)
