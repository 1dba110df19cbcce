"""The worker that runs the app in this process: sync functions on threads, async ones on the app's own loop.

    async with InProcessWorker(root, settings=…, clock=…, on_log=…) as worker:
        functions = await worker.load()
        returned = await worker.invoke(Invocation(…))

Never the host's loop: an app that blocks must not cost the host its leases.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import azure.functions as func

from emulator.clock import Clock
from emulator.worker import hooks, values
from emulator.worker.apploop import AppLoop
from emulator.worker.context import Context
from emulator.worker.failures import app_load_error, function_failed
from emulator.worker.hooks import Hooks
from emulator.worker.indexing import CONTEXT, LoadedFunction, index
from emulator.worker.loader import AppModules, import_app, script_name
from emulator.worker.port import Datum, FunctionMetadata, HttpStream, Invocation, LogRecord, Returned, WorkerError
from emulator.worker.sdk_sessions import loop_sessions
from emulator.worker.sdk_times import remember_times
from emulator.worker.sdk_warnings import soften_warnings
from emulator.worker.streaming import Streaming
from emulator.worker.switches import is_on
from emulator.worker.threads import FunctionThreads, thread_limit
from emulator.worker.userlogs import UserLogs

T = TypeVar("T")

WrapCall = Callable[[FunctionMetadata, Callable[..., Any]], Callable[..., Any]]
"""Gives the function to call instead; it has to take and return the same."""

_log = logging.getLogger(__name__)


class InProcessWorker:
    """Implements the Worker port. `on_log`: what user code logs outside of invocations, called on any thread."""

    def __init__(
        self, root: Path, *, settings: Mapping[str, str], clock: Clock, on_log: Callable[[LogRecord], None]
    ) -> None:
        self._root = root
        self._settings = settings
        self._clock = clock
        self._stack = ExitStack()
        self._logs = UserLogs(on_log, debug=is_on(settings, "PYTHON_ENABLE_DEBUG_LOGGING"))
        self._app_loop = AppLoop(self._logs.app_thread)
        self._threads = FunctionThreads(thread_limit(settings, _log.warning))
        self._hooks = Hooks() if is_on(settings, hooks.SETTING) else None
        self._app: func.FunctionRegister | None = None
        self._functions: dict[str, LoadedFunction] = {}
        self._wrap: WrapCall | None = None

    @property
    def app_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the app's async functions. It runs on another thread."""
        return self._app_loop.loop

    def wrap_calls(self, wrap: WrapCall) -> None:
        """Put something around the user's functions themselves, for tests that watch them. Call it before `load`."""
        self._wrap = wrap

    async def __aenter__(self) -> InProcessWorker:
        self._stack.enter_context(AppModules(self._root))
        self._stack.enter_context(self._logs)
        self._app_loop.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack, self._clock.busy():
            self._threads.close()
            if not await asyncio.to_thread(self._stop_app_loop):
                _log.warning("A function blocks the app's event loop; it is left behind")

    async def load(self) -> Sequence[FunctionMetadata]:
        if self._settings.get("FUNCTIONS_WORKER_PROCESS_COUNT", "1") not in ("", "0", "1"):
            _log.warning("FUNCTIONS_WORKER_PROCESS_COUNT has no effect here: all functions run in one process.")
        with self._clock.busy():
            loaded = await _result_of(self._app_loop.submit(self._load))
        if isinstance(loaded, BaseException):
            raise app_load_error(loaded, list(sys.path)) from loaded
        self._functions = {function.metadata.name: self._wrapped(function) for function in loaded}
        return [function.metadata for function in loaded]

    def _wrapped(self, function: LoadedFunction) -> LoadedFunction:
        return function if self._wrap is None else replace(function, call=self._wrap(function.metadata, function.call))

    async def invoke(self, invocation: Invocation) -> Returned:
        function = self._functions.get(invocation.function)
        if function is None:
            raise WorkerError(f'The function app has no function "{invocation.function}".')
        # Left only when the answer has arrived on this loop: until then there is work that only we know of.
        with self._clock.busy():
            outcome = await _result_of(self._start(function, invocation))
        if isinstance(outcome, BaseException):
            raise function_failed(outcome)
        return outcome

    def _start(self, function: LoadedFunction, invocation: Invocation) -> Future[Returned | BaseException]:
        if function.streaming is not None:
            streaming = function.streaming
            return self._app_loop.submit(lambda: self._stream(streaming, function, invocation))
        if function.is_async:
            return self._app_loop.submit(lambda: self._await(function, invocation))
        fresh = contextvars.Context()
        return self._threads.submit(lambda: fresh.run(self._call, function, invocation))

    # On the app's threads: nothing below may raise, a BaseException would end a thread or a loop. ------------------

    async def _load(self) -> list[LoadedFunction] | BaseException:
        try:
            self._app = import_app(self._root, script_name(self._settings))
            loop_sessions()
            remember_times()
            soften_warnings()
            if self._app is None:
                _log.warning(
                    "There is no %s in %s. Functions are declared there, in the v2 programming model; another name can "
                    "be given with the setting PYTHON_SCRIPT_FILE_NAME.",
                    script_name(self._settings),
                    self._root,
                )
                return []
            functions = index(self._app, self._root, self._clock)
            if self._hooks is not None:
                for function in functions:
                    self._hooks.after_load(function.metadata.name, function.directory)
        except BaseException as error:
            return error
        return functions

    def _call(self, function: LoadedFunction, invocation: Invocation) -> Returned | BaseException:
        with self._logs.invocation(invocation):
            try:
                call = self._prepare(function, invocation)
                return call.returned(function.call(**call.arguments))
            except BaseException as error:
                return error

    async def _await(self, function: LoadedFunction, invocation: Invocation) -> Returned | BaseException:
        with self._logs.invocation(invocation):
            try:
                call = self._prepare(function, invocation)
                return call.returned(await function.call(**call.arguments))
            except BaseException as error:
                return error

    async def _stream(
        self, streaming: Streaming, function: LoadedFunction, invocation: Invocation
    ) -> Returned | BaseException:
        """The function answers through the stream of its request: what it returns is the answer, not an output."""
        with self._logs.invocation(invocation):
            try:
                call = self._prepare(function, invocation)
                name = call.stream_name

                async def answer(request: Any) -> Any:
                    call.arguments[name] = request
                    if function.is_async:
                        return await function.call(**call.arguments)
                    # In a copy of the context: what the thread logs belongs to this invocation.
                    context = contextvars.copy_context()
                    work = self._threads.submit(lambda: context.run(function.call, **call.arguments))
                    return await asyncio.wrap_future(work)

                await streaming.run(call.arguments[name], invocation.id, answer)
                return call.returned(None)
            except BaseException as error:
                return error

    def _prepare(self, function: LoadedFunction, invocation: Invocation) -> _Call:
        context = Context(
            invocation,
            name=function.metadata.name,
            directory=function.directory,
            local=self._logs.local,
        )
        call = _Call(function, invocation, context, self._hooks)
        if self._hooks is not None:
            self._hooks.before(context, call.arguments)
        return call

    # Stopping ------------------------------------------------------------------------------------------------------

    def _stop_app_loop(self) -> bool:
        shutdown = self._app_loop.submit(self._shut_down_app)
        try:
            shutdown.result(timeout=1.0)
        except TimeoutError:
            _log.debug("the app's loop is busy; its ASGI shutdown is skipped")
        return self._app_loop.stop()

    async def _shut_down_app(self) -> None:
        """End what belongs to the loop. The ASGI app gets its lifespan.shutdown: the library would try from a
        finaliser, on any thread.
        """
        sessions = loop_sessions()
        if sessions is not None:
            await sessions.close()
        app = self._app
        if isinstance(app, func.AsgiFunctionApp) and app.startup_task_done:
            app.startup_task_done = False
            try:
                await app.middleware.notify_shutdown()  # type: ignore[no-untyped-call]
            except Exception:
                _log.exception("The ASGI app's shutdown failed")


class _Call:
    """The arguments of one call and what becomes of its results."""

    def __init__(self, function: LoadedFunction, invocation: Invocation, context: Context, hooks: Hooks | None) -> None:
        self._function = function
        self._context = context
        self._hooks = hooks
        self._outs = {name: values.Out[Any]() for name in function.outputs}
        self.arguments: dict[str, Any] = {
            name: values.decode(function.inputs[name].converter, datum, invocation.trigger_metadata)
            for name, datum in invocation.inputs.items()
        }
        if function.takes_context:
            self.arguments[CONTEXT] = context
        self.arguments.update(self._outs)

    @property
    def stream_name(self) -> str:
        """The parameter that came as an HttpStream."""
        return next(name for name, value in self.arguments.items() if isinstance(value, HttpStream))

    def returned(self, value: Any) -> Returned:
        """Outputs in the order of declaration, those that are None left out; then the return value, None included."""
        function = self._function
        if self._hooks is not None:
            self._hooks.after(self._context, self.arguments, value)
        if value is not None and function.returns is None:
            # The missing blank is in the original.
            raise RuntimeError(
                f"function {function.metadata.name!r} without a $return bindingreturned a non-None value"
            )
        outputs: dict[str, Datum] = {}
        for name, bound in function.outputs.items():
            if (set_value := self._outs[name].get()) is not None:
                encoded = values.encode(bound.converter, set_value, bound.python_type)
                if encoded is not None:
                    outputs[name] = encoded
        if function.returns is None:
            return Returned(None, outputs)
        return Returned(values.encode(function.returns.converter, value, function.returns.python_type), outputs)


async def _result_of(future: Future[T]) -> T:
    """Wait without being able to cancel: user code runs to its end, whoever stops waiting for it."""
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def wake(_: Future[T]) -> None:
        # The loop is closed when nobody waits any more: a stuck function that ended after its host.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(arrived.set)

    future.add_done_callback(wake)
    await arrived.wait()
    return future.result()
