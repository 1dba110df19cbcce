"""A worker around the app's own: activities that fail or are replaced as a test wants, user code untouched."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from emulator.clock import Clock
from emulator.testing.errors import UnknownActivity
from emulator.testing.watching.awaited import Awaited
from emulator.testing.watching.leftover_work import Stragglers
from emulator.testing.watching.records import Records
from emulator.testing.watching.slowness import Slowness
from emulator.worker import values
from emulator.worker.failures import function_failed
from emulator.worker.port import FunctionMetadata, Invocation, Returned, Worker

Fake = Callable[..., Any]

_ACTIVITY = "activitytrigger"


class Steering:
    """What the test wants of activities. Any thread may say it."""

    def __init__(self) -> None:
        self._activities: dict[str, FunctionMetadata] = {}
        self._failures: defaultdict[str, deque[BaseException]] = defaultdict(deque)
        self._fakes: dict[str, Fake] = {}

    def know(self, functions: Sequence[FunctionMetadata]) -> None:
        self._activities = {function.name: function for function in functions if _is_activity(function)}

    def fail(self, name: str, times: int, error: BaseException) -> None:
        """Raises UnknownActivity."""
        self._failures[self._known(name)].extend([error] * times)

    def replace(self, name: str, fake: Fake | None) -> None:
        """None: the app's own again. Raises UnknownActivity."""
        known = self._known(name)
        if fake is None:
            self._fakes.pop(known, None)
        else:
            self._fakes[known] = fake

    def next_failure(self, name: str) -> BaseException | None:
        failures = self._failures.get(name)
        return failures.popleft() if failures else None

    def fake(self, name: str) -> tuple[Fake, FunctionMetadata] | None:
        fake = self._fakes.get(name)
        return None if fake is None else (fake, self._activities[name])

    def _known(self, name: str) -> str:
        # As the host compares names.
        for known in self._activities:
            if known.lower() == name.lower():
                return known
        raise UnknownActivity(name, sorted(self._activities))


@dataclass(frozen=True, slots=True)
class SteeringParts:
    """What a steered worker works with."""

    steering: Steering
    records: Records
    slowness: Slowness
    stragglers: Stragglers
    awaited: Awaited
    clock: Clock


class OverridingWorker:
    """See worker.api.Worker."""

    def __init__(self, worker: Worker, parts: SteeringParts) -> None:
        self._worker = worker
        self._steering = parts.steering
        self._records = parts.records
        self._slowness = parts.slowness
        self._stragglers = parts.stragglers
        self._awaited = parts.awaited
        self._clock = parts.clock

    async def load(self) -> Sequence[FunctionMetadata]:
        functions = await self._worker.load()
        self._steering.know(functions)
        self._awaited.know(functions)
        self._stragglers.app_loaded()
        return functions

    async def invoke(self, invocation: Invocation) -> Returned:
        invocation = self._records.overhear(invocation)
        failure = self._steering.next_failure(invocation.function)
        if failure is not None:
            raise function_failed(failure)
        steered = self._steering.fake(invocation.function)
        if steered is None:
            return await self._invoke(invocation)
        fake, function = steered
        try:
            with self._clock.busy():
                return await _call(fake, function, invocation)
        except Exception as error:
            raise function_failed(error) from error

    async def _invoke(self, invocation: Invocation) -> Returned:
        self._stragglers.function_begins()
        try:
            with self._slowness.watching(invocation.function):
                returned = await self._worker.invoke(invocation)
        finally:
            self._stragglers.function_ended()
        self._awaited.note(invocation, returned)
        return returned


def steered(worker: AbstractAsyncContextManager[Worker], parts: SteeringParts) -> AbstractAsyncContextManager[Worker]:
    """What `open_app` puts around the app's worker."""

    @asynccontextmanager
    async def entered() -> AsyncIterator[Worker]:
        async with worker as inner:
            yield OverridingWorker(inner, parts)

    return entered()


async def _call(fake: Fake, function: FunctionMetadata, invocation: Invocation) -> Returned:
    """Call it as the activity is called: its values decoded, by position; what it returns goes back the same way."""
    trigger = next(binding for binding in function.bindings if binding.is_trigger)
    value = values.decode(trigger.type, invocation.inputs.get(trigger.name), invocation.trigger_metadata)
    if inspect.iscoroutinefunction(fake):
        result = await fake(value)
    else:
        result = await asyncio.to_thread(fake, value)
        if inspect.isawaitable(result):
            result = await result
    return Returned(values.encode(trigger.type, result, None))


def _is_activity(function: FunctionMetadata) -> bool:
    return any(binding.type.lower() == _ACTIVITY for binding in function.bindings)
