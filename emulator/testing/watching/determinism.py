"""Orchestrators that would not do the same again: found while their tests run, with the line.

An orchestrator's code runs anew in every episode and has to come to the same decisions. The check runs it twice on
every history and compares, and it watches what the code calls: the clock, randomness, the environment, files, sockets,
threads. What the SDK offers instead (`context.current_utc_datetime`, `context.new_uuid()`, activities, timers) is fine.
"""

from __future__ import annotations

import asyncio
import builtins
import gc
import inspect
import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from types import BuiltinFunctionType, FrameType
from typing import Any

from emulator.errors import EmulatorError
from emulator.testing.watching.appfiles import AppFiles
from emulator.testing.watching.yields import Place, Yielded, Yields
from emulator.worker.api import FunctionFailed, FunctionMetadata, Invocation, Returned, Worker
from emulator.worker.inprocess import InProcessWorker

_CLOCK = "use context.current_utc_datetime"
_RANDOM = "do it in an activity, or seed a random.Random with context.instance_id"
_UUID = "use context.new_uuid()"
_ENVIRONMENT = "read it in an activity, or hand it in as input"
_IO = "do it in an activity"
_SLEEP = "yield context.create_timer(…)"
_TWICE = "make every decision depend on the input, on results and on events only"

_SDK = (f"{os.sep}azure{os.sep}durable_functions{os.sep}", f"{os.sep}azure{os.sep}functions{os.sep}")
_LOGGING = f"{os.sep}logging{os.sep}__init__.py"

# What is found out by being the function that is called; named here, not used.
_FUNCTIONS: Mapping[object, str] = {
    time.time: _CLOCK,  # noqa: TID251
    time.time_ns: _CLOCK,
    time.monotonic: _CLOCK,
    time.monotonic_ns: _CLOCK,
    time.perf_counter: _CLOCK,
    time.perf_counter_ns: _CLOCK,
    time.sleep: _SLEEP,
    os.urandom: _RANDOM,  # secrets, random.SystemRandom
    os.system: _IO,
    builtins.open: _IO,
    builtins.input: _IO,
}
# What is found out by the code that begins to run.
_CODES: Mapping[object, str] = {
    type(os.environ).__getitem__.__code__: _ENVIRONMENT,
    uuid.uuid1.__code__: _UUID,
    uuid.uuid4.__code__: _UUID,  # noqa: TID251
    threading.Thread.start.__code__: _IO,
    subprocess.Popen.__init__.__code__: _IO,
    asyncio.run.__code__: _IO,
}
# Where the name of the code would tell nobody anything.
_WORDS = {type(os.environ).__getitem__.__code__.co_qualname: "reads os.environ"}
_TODAY = frozenset(("now", "utcnow", "today"))
_SOCKET = frozenset(("connect", "connect_ex", "send", "sendall", "sendto", "recv", "recv_into", "recvfrom", "accept"))


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
        if inspect.iscoroutinefunction(user_function):
            self.report(Finding(function.name, "is an async def", "write it as a generator: def and yield", None))
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
                self.report(Finding(orchestrator, f"yields {name}(), which is no durable task", _IO, step.place))

    @contextmanager
    def _profiled(self, orchestrator: str) -> Iterator[None]:
        before = sys.getprofile()

        def see(frame: FrameType, event: str, argument: Any) -> None:
            if event == "c_call":
                instead, called = _forbidden_function(argument), _name(argument)
                caller: FrameType | None = frame
            elif event == "call" and frame.f_code in _CODES:
                instead, caller, called = _CODES[frame.f_code], frame.f_back, frame.f_code.co_qualname
            else:
                return
            if instead is None or caller is None:
                return
            seen = self._user_line(caller, called)
            if seen is not None:
                place, name = seen
                self.report(Finding(orchestrator, _WORDS.get(name, f"calls {name}()"), instead, place))

        sys.setprofile(see)
        try:
            yield
        finally:
            sys.setprofile(before)

    def _user_line(self, frame: FrameType, called: str) -> tuple[Place, str] | None:
        """Where the app's code made the call, and what it called there. None when it was not the app that did."""
        interrupting = _collectors()
        caller: FrameType | None = frame
        while caller is not None:
            file = caller.f_code.co_filename
            if file.endswith(_LOGGING) or any(part in file for part in _SDK):
                return None
            if caller.f_code in interrupting or caller.f_code.co_name == "__del__":
                return None
            if file in self._files:
                return Place(file, caller.f_lineno), called
            called = caller.f_code.co_qualname
            caller = caller.f_back
        return None


def _collectors() -> Set[object]:
    """The code that garbage collection runs in the midst of whatever runs, which has not called it."""
    return {getattr(callback, "__code__", None) for callback in gc.callbacks}


def _forbidden_function(function: Any) -> str | None:
    if not isinstance(function, BuiltinFunctionType):
        return None
    owner = function.__self__
    if isinstance(owner, type) and issubclass(owner, date) and function.__name__ in _TODAY:
        return _CLOCK
    # Only the module's own generator: one that was seeded gives the same numbers again.
    if owner is getattr(random, "_inst", None) or isinstance(owner, random.SystemRandom):
        return _RANDOM
    if isinstance(owner, socket.socket) and function.__name__ in _SOCKET:
        return _IO
    return _FUNCTIONS.get(function)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", function))


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
        worker.wrap_calls(determinism.watched)

    @asynccontextmanager
    async def entered() -> AsyncIterator[Worker]:
        async with worker as inner:
            yield CheckedWorker(inner, determinism)

    return entered()


def _told(outcome: Returned | FunctionFailed) -> object:
    if isinstance(outcome, FunctionFailed):
        return outcome.type_name, outcome.text
    return None if outcome.value is None else outcome.value.value


def _place_of(function: FunctionMetadata) -> Place | None:
    file, separator, line = (function.source or "").rpartition(":")
    return Place(file, int(line)) if separator else None


def _is_orchestrator(function: FunctionMetadata) -> bool:
    return any(binding.type.lower() == "orchestrationtrigger" for binding in function.bindings)
