"""In-process worker: implementation of `worker.port` that runs the user's functions in the host's process.

    async with InProcessWorker(root, settings=…, clock=…, on_log=…) as worker:
        functions = await worker.load()
        returned = await worker.invoke(Invocation(…))

Sync functions run on a thread pool, async functions on the app's own event loop. Nothing of the app runs on the host's
loop: an app that blocks it would keep the host from renewing its leases and message locks.
"""

from __future__ import annotations

import asyncio
import contextvars
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
from emulator.errors import AppLoadError
from emulator.logs import get_logger
from emulator.worker import open_telemetry, worker_extensions
from emulator.worker.app_loading import LoadedApp, load_app
from emulator.worker.app_loop import STOP_SECONDS, AppLoop
from emulator.worker.boundary.app_modules import AppModules
from emulator.worker.failures import app_load_error, function_failed
from emulator.worker.function_call import FunctionCall
from emulator.worker.indexing import LoadedFunction
from emulator.worker.loader import script_name
from emulator.worker.origins import place_in_app
from emulator.worker.port import FunctionFailed, FunctionMetadata, Invocation, LogRecord, Returned, WorkerError
from emulator.worker.running_calls import RunningCalls
from emulator.worker.sdk_patches.http_sessions import close_session_of_this_loop
from emulator.worker.streaming import HttpStreaming
from emulator.worker.switches import is_on
from emulator.worker.threads import FunctionThreadPool, thread_limit
from emulator.worker.tracing import Traced, trace
from emulator.worker.user_functions import orchestrator_function
from emulator.worker.user_logs import UserLogs
from emulator.worker.worker_extensions import WorkerExtensions

T = TypeVar("T")

WrapFunction = Callable[[FunctionMetadata, Callable[..., Any]], Callable[..., Any]]
"""Returns the callable to use instead of a user's function. It takes the same arguments and returns the same."""

# Real seconds. An ASGI app that does not answer lifespan.shutdown must not hold up the host's stop for longer.
_SHUTDOWN_SECONDS = 1.0
_BUSY_STOP_SECONDS = 0.3

_log = get_logger(__name__)


class InProcessWorker:
    """Implements the Worker port. `on_log` receives what user code logs outside invocations; called on any thread.

    `app_loop`: the loop for the app's modules and async functions, not started; None: one on a thread of its own.
    `sends_telemetry`: if a setting asks for it, the app's process sends telemetry to Application Insights.
    """

    def __init__(
        self,
        root: Path,
        *,
        settings: Mapping[str, str],
        clock: Clock,
        on_log: Callable[[LogRecord], None],
        app_loop: AppLoop | None = None,
        sends_telemetry: bool = False,
    ) -> None:
        self._root = root
        self._settings = settings
        self._clock = clock
        # First, because it can raise, and the app's event loop would then be left open.
        self._threads = FunctionThreadPool(thread_limit(settings, _log.warning))
        self._running = RunningCalls()
        self._stack = ExitStack()
        self._logs = UserLogs(on_log, debug=is_on(settings.get("PYTHON_ENABLE_DEBUG_LOGGING")))
        self._app_loop = app_loop or AppLoop()
        self._extensions = WorkerExtensions() if is_on(settings.get(worker_extensions.ENABLE_SETTING)) else None
        self._app: func.FunctionRegister | None = None
        self._functions: Mapping[str, LoadedFunction] = {}
        # Without the wrappers of tests, which observe invocations.
        self._orchestrators: Mapping[str, Callable[..., Any]] = {}
        self._failures: Mapping[str, FunctionFailed] = {}
        self._wrap: WrapFunction | None = None
        self._sends_telemetry = sends_telemetry
        self._attach_span: Callable[[Invocation], None] | None = None

    @property
    def app_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the app's async functions. It never runs on the thread of the host's loop."""
        return self._app_loop.loop

    def wrap_functions(self, wrap: WrapFunction) -> None:
        """Replace the users' functions when they are loaded, for tests that observe them. Call it before `load`.

        It may be called several times: the last `wrap` is the outermost.
        """
        inner = self._wrap
        self._wrap = wrap if inner is None else lambda function, call: wrap(function, inner(function, call))

    async def __aenter__(self) -> InProcessWorker:
        self._stack.enter_context(AppModules(self._root))
        self._stack.enter_context(self._logs)
        self._app_loop.start(self._logs.register_app_thread)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Stopping blocks a thread, which a virtual clock cannot see: busy() keeps time from jumping meanwhile.
        with self._stack, self._clock.busy():
            self._threads.close()
            still_running = self._running.describe()
            for line in still_running:
                _log.warning("%s, although the host stops. It is given up.", line)
            blocked_at = await asyncio.to_thread(self._stop_app_loop)
            if blocked_at is not None:
                _log.warning(
                    "User code blocks the app's event loop%s, so its thread is left running. Await slow calls, or make "
                    "the function a sync one.",
                    f" ({blocked_at})" if blocked_at else "",
                )

    async def load(self) -> Sequence[FunctionMetadata]:
        """See Worker.load."""
        with self._clock.busy():
            loaded = await _result_of(self._app_loop.submit(self._load_on_app_loop))
        if isinstance(loaded, AppLoadError):
            raise loaded
        if isinstance(loaded, BaseException):
            raise app_load_error(loaded, list(sys.path)) from loaded
        functions, wrap = loaded.functions, self._wrap
        found = {function.metadata.name: orchestrator_function(function.call) for function in functions}
        self._orchestrators = {name: function for name, function in found.items() if function is not None}
        if wrap is not None:
            functions = [replace(function, call=wrap(function.metadata, function.call)) for function in functions]
        self._functions = {function.metadata.name: function for function in functions}
        self._failures = loaded.failures
        return loaded.metadata

    async def invoke(self, invocation: Invocation) -> Returned:
        """See Worker.invoke."""
        function = self._functions.get(invocation.function)
        if invocation.function in self._failures:
            # The official host answers every call of a function that could not be loaded with the loader's error.
            raise self._failures[invocation.function].with_traceback(None)
        if function is None:
            raise WorkerError(f'The function app has no function "{invocation.function}".')
        streaming = function.streaming
        # busy() ends only after the result has arrived on this loop. If it ended on the app's thread, a virtual clock
        # could jump before the host has seen the result.
        with self._clock.busy():
            if streaming is not None:
                future = self._app_loop.submit(lambda: self._stream(streaming, function, invocation))
            elif function.is_async:
                future = self._app_loop.submit(lambda: self._await(function, invocation))
            else:
                # Threads are reused, so a fresh context keeps context variables of the last call away from this one.
                fresh = contextvars.Context()
                future = self._threads.submit(lambda: fresh.run(self._call, function, invocation))
            outcome = await _result_of(future)
        if isinstance(outcome, BaseException):
            raise function_failed(outcome, function.metadata.source)
        return outcome

    def running_at(self, function: str) -> Sequence[str]:
        """Return where each running call of a function is now, such as "function_app.py, line 8, in flow: …"."""
        return self._running.places_of(function)

    async def trace(self, function: str, context: str, *, seconds: float) -> Traced | None:
        """Replay an orchestrator function of the SDK beside its invocations, to see where it waits.

        `context`: the trigger's value with the history. What the function logs is dropped, and its response is stored
        nowhere. None: there is no such function, or it has not returned within `seconds` of real time.
        """
        user_function = self._orchestrators.get(function)
        if user_function is None:
            return None
        with self._clock.busy():
            return await trace(user_function, context, function, self._logs, seconds=seconds)

    # On the app's threads ------------------------------------------------------------------------------------------
    #
    # These methods return exceptions instead of raising them: a SystemExit or KeyboardInterrupt of user code would
    # otherwise end the thread, or stop the app's event loop.

    async def _load_on_app_loop(self) -> LoadedApp | BaseException:
        try:
            self._attach_span = open_telemetry.set_up(self._settings.get, may_send=self._sends_telemetry)
            # On the app's loop, because modules may create loop-bound objects while they are imported.
            loaded = load_app(self._root, script_name(self._settings), self._clock)
            self._app = loaded.app
            if self._extensions is not None:
                for function in loaded.functions:
                    self._extensions.after_load(function.metadata.name, function.directory)
        except BaseException as error:
            return error
        return loaded

    def _call(self, function: LoadedFunction, invocation: Invocation) -> Returned | BaseException:
        with self._logs.invocation(invocation), self._running.running(invocation.function, is_async=False):
            try:
                call = self._new_call(function, invocation)
                return call.returned(function.call(**call.arguments))
            except BaseException as error:
                return error

    async def _await(self, function: LoadedFunction, invocation: Invocation) -> Returned | BaseException:
        with self._logs.invocation(invocation), self._running.running(invocation.function, is_async=True):
            try:
                call = self._new_call(function, invocation)
                return call.returned(await function.call(**call.arguments))
            except BaseException as error:
                return error

    async def _stream(
        self, streaming: HttpStreaming, function: LoadedFunction, invocation: Invocation
    ) -> Returned | BaseException:
        """Call a function that streams HTTP. What it returns goes to the client through the stream of its request."""
        with self._logs.invocation(invocation), self._running.running(invocation.function, is_async=True):
            try:
                call = self._new_call(function, invocation)
                parameter = call.stream_parameter

                async def respond(request: Any) -> Any:
                    call.arguments[parameter] = request
                    if function.is_async:
                        return await function.call(**call.arguments)
                    # In a copy of this context, so that what the thread logs belongs to this invocation.
                    context = contextvars.copy_context()
                    work = self._threads.submit(lambda: context.run(function.call, **call.arguments))
                    return await asyncio.wrap_future(work)

                await streaming.run(call.arguments[parameter], invocation.id, respond)
                return call.returned(None)
            except BaseException as error:
                return error

    def _new_call(self, function: LoadedFunction, invocation: Invocation) -> FunctionCall:
        if self._attach_span is not None:
            self._attach_span(invocation)
        return FunctionCall(function, invocation, self._logs.local, self._extensions)

    # Stopping ------------------------------------------------------------------------------------------------------

    def _stop_app_loop(self) -> str | None:
        """Stop the app's loop. If user code blocks it, return at which line of the app, "" if that is unknown."""
        grace_seconds = STOP_SECONDS
        shutdown = self._app_loop.submit(self._shut_down_app)
        try:
            shutdown.result(timeout=_SHUTDOWN_SECONDS)
        except TimeoutError:
            _log.debug("the app's event loop is busy; its ASGI shutdown is skipped")
            # It has had its time.
            grace_seconds = _BUSY_STOP_SECONDS
        if self._app_loop.stop(grace_seconds):
            return None
        return place_in_app(sys._current_frames().get(self._app_loop.thread_id)) or ""

    async def _shut_down_app(self) -> None:
        await close_session_of_this_loop()
        app: Any = self._app
        # Only an AsgiFunctionApp has this attribute, in the releases of the library that send lifespan events.
        if getattr(app, "startup_task_done", False):
            # The library sends lifespan.shutdown from the app object's finalizer, with asyncio.run, on whatever thread
            # the garbage collector runs. Send it here instead, and reset the flag so that the finalizer does nothing.
            app.startup_task_done = False
            try:
                await app.middleware.notify_shutdown()
            except Exception:
                _log.exception("The ASGI app's shutdown failed")


async def _result_of(future: Future[T]) -> T | asyncio.CancelledError:
    """Wait for a future of another thread without cancelling it when the caller is cancelled.

    If user code has cancelled the future's task, the error is returned: raised, it would cancel the caller.

    User code cannot be stopped halfway: it runs to its end, and its result is dropped if no task waits for it any more.
    `asyncio.wrap_future` would cancel the future, and its thread would then fail to set the result.
    """
    loop = asyncio.get_running_loop()
    arrived = asyncio.Event()

    def wake(_: Future[T]) -> None:
        # RuntimeError: the loop is closed. The function ended after its host has stopped without waiting for it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(arrived.set)

    future.add_done_callback(wake)
    await arrived.wait()
    error = future.exception()
    return error if isinstance(error, asyncio.CancelledError) else future.result()
