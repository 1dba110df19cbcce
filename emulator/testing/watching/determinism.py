"""Orchestrators that would not do the same again: found while their tests run, with the line.

An orchestrator's code runs anew in every episode and has to come to the same decisions. The check runs it twice on
every history and compares, and it watches what the code calls: the clock, randomness, the environment, files, sockets,
threads. What the SDK offers instead (`context.current_utc_datetime`, `context.new_uuid()`, activities, timers) is fine.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

from emulator.errors import EmulatorError
from emulator.testing.watching.appfiles import AppFiles
from emulator.testing.watching.unrepeatable import IO, deed_of_app, unrepeatable_call
from emulator.testing.watching.yields import Place, Yielded, Yields
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import FunctionFailed, FunctionMetadata, Invocation, Returned, Worker

_TWICE = "make every decision depend on the input, on results and on events only"
# Where an object lies in memory: in the text of an error it decides nothing.
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` the code did, and what to do `instead`."""

    orchestrator: str
    what: str
    instead: str
    place: Place | None

    def __str__(self) -> str:
        where = f" at {self.place}" if self.place else ""
        return f'The orchestrator "{self.orchestrator}" {self.what}{where}: {self.instead}.'


class NotDeterministic(EmulatorError):
    """At least one orchestrator of the app would not do the same again. `findings`: all of them."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class Determinism:
    """What was found in one app so far. Any thread may report."""

    def __init__(self, files: AppFiles) -> None:
        self._files = files
        self._found: dict[object, Finding] = {}

    @property
    def findings(self) -> Sequence[Finding]:
        return tuple(self._found.values())

    def report(self, finding: Finding) -> None:
        # What a call does inside is no news: the first word on it is the clearest.
        self._found.setdefault((finding.orchestrator, finding.what, finding.place), finding)

    def watched(self, function: FunctionMetadata, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, watched, when it is an orchestrator of the SDK."""
        user_function = getattr(call, "orchestrator_function", None)
        if user_function is None:
            return call
        if inspect.iscoroutinefunction(user_function) or inspect.isasyncgenfunction(user_function):
            place = Place(user_function.__code__.co_filename, user_function.__code__.co_firstlineno)
            self.report(Finding(function.name, "is an async def", "write it as a generator: def and yield", place))
            return call
        # The app's own dependency: azemu can be imported without it.
        from azure.durable_functions import Orchestrator

        def watched_call(context: Any) -> Any:
            # One of its own for every call: instances of an orchestrator run side by side.
            yields = Yields(around=lambda: self._profiled(function.name))
            try:
                return Orchestrator.create(yields.watch(user_function))(context)
            finally:
                self._check_yields(function.name, yields.steps)

        return watched_call

    def _check_yields(self, orchestrator: str, steps: Sequence[Yielded]) -> None:
        for step in steps:
            if inspect.isawaitable(step.what):
                name = getattr(step.what, "__qualname__", type(step.what).__name__)
                self.report(Finding(orchestrator, f"yields {name}(), which is no durable task", IO, step.place))
            if inspect.iscoroutine(step.what):
                # Nobody will await it, which Python would say less clearly.
                step.what.close()

    @contextmanager
    def _profiled(self, orchestrator: str) -> Iterator[None]:
        def see(frame: FrameType, event: str, argument: Any) -> None:
            call = unrepeatable_call(frame, event, argument)
            if call is not None and (deed := deed_of_app(call, self._files)) is not None:
                self.report(Finding(orchestrator, deed.what, deed.instead, deed.place))

        if sys.getprofile() is not None:
            # There is room for one, and somebody measures.
            yield
            return
        sys.setprofile(see)
        try:
            yield
        finally:
            sys.setprofile(None)


class CheckedWorker:
    """See worker.api.Worker. Every call of an orchestrator is made twice."""

    def __init__(self, worker: Worker, determinism: Determinism) -> None:
        self._worker = worker
        self._determinism = determinism
        self._orchestrators: dict[str, FunctionMetadata] = {}

    async def load(self) -> Sequence[FunctionMetadata]:
        functions = await self._worker.load()
        self._orchestrators = {function.name: function for function in functions if _is_orchestrator(function)}
        return functions

    async def invoke(self, invocation: Invocation) -> Returned:
        function = self._orchestrators.get(invocation.function)
        if function is None:
            return await self._worker.invoke(invocation)
        first = await self._outcome(invocation)
        # What it says is heard once.
        second = await self._outcome(replace(invocation, on_log=lambda record: None))
        if _told(first) != _told(second):
            what = "decides otherwise when it is run again on the same history"
            self._determinism.report(Finding(function.name, what, _TWICE, _place_of(function)))
        if isinstance(first, FunctionFailed):
            raise first
        return first

    async def _outcome(self, invocation: Invocation) -> Returned | FunctionFailed:
        try:
            return await self._worker.invoke(invocation)
        except FunctionFailed as failure:
            return failure


def checked(
    worker: AbstractAsyncContextManager[Worker], determinism: Determinism
) -> AbstractAsyncContextManager[Worker]:
    """What `open_app` puts around the app's worker."""
    if isinstance(worker, InProcessWorker):
        worker.wrap_functions(determinism.watched)

    @asynccontextmanager
    async def entered() -> AsyncIterator[Worker]:
        async with worker as inner:
            yield CheckedWorker(inner, determinism)

    return entered()


def _told(outcome: Returned | FunctionFailed) -> object:
    if isinstance(outcome, FunctionFailed):
        return outcome.type_name, _ADDRESS.sub("0x", outcome.text)
    return None if outcome.value is None else _ADDRESS.sub("0x", str(outcome.value.value))


def _place_of(function: FunctionMetadata) -> Place | None:
    file, separator, line = (function.source or "").rpartition(":")
    return Place(file, int(line)) if separator else None


def _is_orchestrator(function: FunctionMetadata) -> bool:
    return any(binding.type.lower() == "orchestrationtrigger" for binding in function.bindings)
