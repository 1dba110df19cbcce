"""Determinism check: finds orchestrators that are not deterministic, with the line of their code.

An orchestrator's code runs again in every episode and must come to the same decisions. The check runs it twice on a
history (of an instance with many episodes, on some of them) and compares the results, and it observes which functions
the code calls: the clock, randomness, the environment, files, sockets, threads. What the SDK offers instead
(`context.current_utc_datetime`, `context.new_uuid()`, activities, timers) is allowed.
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
from emulator.testing.observers.app_files import AppFiles
from emulator.testing.observers.side_effects import IO, forbidden_call, side_effect_of_app
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import FunctionFailed, FunctionMetadata, Invocation, Returned, Worker
from emulator.worker.user_functions import orchestrator_function
from emulator.worker.yields import Place, Yields

_DEPEND_ON_HISTORY = "make every decision depend only on the input, on the results of durable tasks and on events"
# The memory address of an object differs in every run. In the text of an error it decides nothing.
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+")
# Each of the first episodes of an instance is run twice, then every tenth, and the last.
_FIRST_EPISODES, _FURTHER_EPISODES = 100, 10
# OrchestratorStarted in the context of an orchestrator: docs/protocol/durable-orchestration.md 2.4.
_EPISODE = '"EventType": 12'
_IS_DONE = re.compile(r'"isDone":\s*true')


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake of an orchestrator: `what` the code does, and what to do `instead`."""

    orchestrator: str
    what: str
    instead: str
    place: Place | None

    def __str__(self) -> str:
        where = f" at {self.place}" if self.place else ""
        return f'The orchestrator "{self.orchestrator}" {self.what}{where}: {self.instead}.'


class NotDeterministic(EmulatorError):
    """An orchestrator of the app would not make the same decisions again. `findings`: all mistakes found."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class DeterminismCheck:
    """The findings in one app. Orchestrators run on many threads, and any of them may report."""

    def __init__(self, files: AppFiles) -> None:
        self._files = files
        self._findings: dict[object, Finding] = {}

    @property
    def findings(self) -> Sequence[Finding]:
        """The findings so far, each once."""
        return tuple(self._findings.values())

    def report(self, finding: Finding) -> None:
        """Add a finding, unless the same was found before."""
        # A forbidden function often calls another one, and orchestrators run many times. The first report about a place
        # is the outermost call, which is the clearest.
        self._findings.setdefault((finding.orchestrator, finding.what, finding.place), finding)

    def observed(self, function: FunctionMetadata, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is observed, if `call` is an orchestrator of the SDK."""
        user_function = orchestrator_function(call)
        if user_function is None:
            return call
        if inspect.iscoroutinefunction(user_function) or inspect.isasyncgenfunction(user_function):
            place = Place(user_function.__code__.co_filename, user_function.__code__.co_firstlineno)
            self.report(Finding(function.name, "is an async def", "write it as a generator: def and yield", place))
            return call
        # A dependency of the app, not of azemu.
        from azure.durable_functions import Orchestrator

        def observed_call(context: Any) -> Any:
            # New for every call: several instances of an orchestrator may run at the same time.
            yields = Yields(around=lambda: self._profiled(function.name))
            try:
                return Orchestrator.create(yields.observed(user_function))(context)
            finally:
                for step in yields.steps:
                    if inspect.isawaitable(step.value):
                        name = getattr(step.value, "__qualname__", type(step.value).__name__)
                        what = f"yields {name}(), which is not a durable task"
                        self.report(Finding(function.name, what, IO, step.place))
                    if inspect.iscoroutine(step.value):
                        # Otherwise Python warns later that it was never awaited, which says less than the finding.
                        step.value.close()

        return observed_call

    @contextmanager
    def _profiled(self, orchestrator: str) -> Iterator[None]:
        def profile(frame: FrameType, event: str, argument: Any) -> None:
            call = forbidden_call(frame, event, argument)
            if call is not None and (effect := side_effect_of_app(call, self._files)) is not None:
                self.report(Finding(orchestrator, effect.what, effect.instead, effect.place))

        if sys.getprofile() is not None:
            # A thread has only one profile function. A profiler that measures the test must not lose its own.
            yield
            return
        sys.setprofile(profile)
        try:
            yield
        finally:
            sys.setprofile(None)


class RunTwiceWorker:
    """A worker around another one that invokes every orchestrator twice and compares the results."""

    def __init__(self, worker: Worker, check: DeterminismCheck) -> None:
        self._worker = worker
        self._check = check
        self._orchestrators: dict[str, FunctionMetadata] = {}

    async def load(self) -> Sequence[FunctionMetadata]:
        """See Worker.load."""
        functions = await self._worker.load()
        self._orchestrators = {
            function.name: function
            for function in functions
            if any(binding.type.lower() == "orchestrationtrigger" for binding in function.bindings)
        }
        return functions

    async def invoke(self, invocation: Invocation) -> Returned:
        """See Worker.invoke."""
        function = self._orchestrators.get(invocation.function)
        if function is None:
            return await self._worker.invoke(invocation)
        first = await self._outcome(invocation)
        # A response has all decisions since the start, so a later second run compares those of this episode, too. The
        # time of a run grows with the history, and second runs would take half of that of a long test.
        episodes = max((str(datum.value).count(_EPISODE) for datum in invocation.inputs.values() if datum), default=0)
        has_ended = isinstance(first, FunctionFailed) or (first.value and _IS_DONE.search(str(first.value.value)))
        if episodes > _FIRST_EPISODES and episodes % _FURTHER_EPISODES and not has_ended:
            return _returned(first)
        # Without on_log: the user must not see every line twice.
        second = await self._outcome(replace(invocation, on_log=lambda record: None))
        if _comparable(first) != _comparable(second):
            file, separator, line = (function.source or "").rpartition(":")
            place = Place(file, int(line)) if separator else None
            what = "makes other decisions when it runs again on the same history"
            self._check.report(Finding(function.name, what, _DEPEND_ON_HISTORY, place))
        return _returned(first)

    async def _outcome(self, invocation: Invocation) -> Returned | FunctionFailed:
        try:
            return await self._worker.invoke(invocation)
        except FunctionFailed as failure:
            return failure


def with_determinism_check(
    worker: AbstractAsyncContextManager[Worker], check: DeterminismCheck
) -> AbstractAsyncContextManager[Worker]:
    """Return a worker around `worker` that reports to `check`."""
    if isinstance(worker, InProcessWorker):
        worker.wrap_functions(check.observed)

    @asynccontextmanager
    async def entered() -> AsyncIterator[Worker]:
        async with worker as inner:
            yield RunTwiceWorker(inner, check)

    return entered()


def _returned(outcome: Returned | FunctionFailed) -> Returned:
    if isinstance(outcome, FunctionFailed):
        raise outcome
    return outcome


def _comparable(outcome: Returned | FunctionFailed) -> object:
    # Without the stack: where an error was raised does not change the orchestration's history.
    if isinstance(outcome, FunctionFailed):
        return outcome.type_name, _ADDRESS.sub("0x", outcome.text)
    return None if outcome.value is None else _ADDRESS.sub("0x", str(outcome.value.value))
