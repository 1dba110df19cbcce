"""HTTP streaming: functions that use a web framework's requests and responses (`azurefunctions-extensions-http-*`).

The official worker runs the framework in a web server of its own, to which the host forwards the request while it
invokes the function. Here the framework's ASGI application is called directly, on the app's event loop:

    streaming = find_http_streaming(functions, clock)      # None if no function has a parameter of the request type
    await streaming.run(stream, invocation_id, respond)

Source: azure-functions-python-worker, http_v2.py; docs/protocol/python-worker.md 9.1.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import typing
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from emulator.clock import Clock
from emulator.logs import get_logger
from emulator.worker.port import AsgiMessage, HttpStream

_log = get_logger(__name__)

_BASE_EXTENSION = "azurefunctions.extensions.base"
_EXCHANGE_KEY = "azemu.exchange"
_INVOCATION_HEADER = b"x-ms-invocation-id"

Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class TypeTracker(Protocol):
    """The base extension's registry of the framework's request or response types."""

    def check_type(self, pytype: type) -> bool:
        """Return whether an annotation is one of the types."""


@dataclass(slots=True)
class _Exchange:
    """The framework's request object, set by its request handler, and the response, set by the function."""

    request: asyncio.Future[Any]
    response: asyncio.Future[Any]


class HttpStreaming:
    """The web framework of one app. `request_types` and `response_types` check annotations.

    `base` is the module of the base extension, in which the framework's extension has registered itself.
    """

    def __init__(self, base: Any, clock: Clock) -> None:
        self._clock = clock
        self.request_types: TypeTracker = base.RequestTrackerMeta
        self.response_types: TypeTracker = base.ResponseTrackerMeta
        self._synchronizer = base.RequestTrackerMeta.get_synchronizer()
        self._app = _new_application(base)
        # asyncio keeps only weak references to tasks; a response that is still sent must not be garbage-collected.
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, stream: HttpStream, invocation_id: str, respond: Callable[[Any], Awaitable[Any]]) -> None:
        """Call `respond` (the function) with the framework's request and send the response that it returns.

        Return when the function has returned; the response may be sent for long after that. Raises what the function
        raises, after the framework has sent an error response.
        """
        loop = asyncio.get_running_loop()
        exchange = _Exchange(loop.create_future(), loop.create_future())
        sending = loop.create_task(self._call_application(stream, invocation_id, exchange))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        await asyncio.wait({sending, exchange.request}, return_when=asyncio.FIRST_COMPLETED)
        if not exchange.request.done():
            # The framework has responded without calling the handler, for example with 405.
            raise RuntimeError("The web framework has rejected the request.")
        request = exchange.request.result()
        # The framework has one catch-all route and so no route parameters; the host has matched the function's route.
        self._synchronizer.sync_route_params(request, dict(stream.route_params))
        try:
            exchange.response.set_result(await respond(request))
        except BaseException as error:
            trace = error.__traceback__
            # The framework must not see a SystemExit or KeyboardInterrupt: asyncio would end the app's loop.
            failure = error if isinstance(error, Exception) else RuntimeError(f"The function ended with {error!r}.")
            exchange.response.set_exception(failure)
            await asyncio.wait({sending})
            # On its way through the framework the exception has collected frames that are not the user's.
            raise error.with_traceback(trace)  # noqa: B904

    async def _call_application(self, stream: HttpStream, invocation_id: str, exchange: _Exchange) -> None:
        scope = {**stream.scope, _EXCHANGE_KEY: exchange}
        # User code reads this header; the official host adds it when it forwards the request to the worker.
        scope["headers"] = [*scope["headers"], (_INVOCATION_HEADER, invocation_id.encode())]
        try:
            # After the function has returned, nothing else tells the clock that the app is still sending.
            with self._clock.busy():
                await self._app(scope, stream.receive, stream.send)
        except Exception as error:
            # The framework re-raises what the function raised, after sending status 500; the invocation reports that
            # failure. Only an error while the body is sent has no invocation to report it.
            if exchange.response.done() and exchange.response.exception() is None:
                _log.error("Invocation %s: the response could not be sent completely.", invocation_id, exc_info=error)
        finally:
            stream.close()


def find_http_streaming(functions: Iterable[Callable[..., Any]], clock: Clock) -> HttpStreaming | None:
    """Return the app's web framework if one of its HTTP functions has a parameter of the framework's request type.

    One such parameter switches the whole app to streaming, as in the official worker.
    """
    # The framework's extension imports the base extension. If the app has imported neither, it does not stream.
    base = sys.modules.get(_BASE_EXTENSION)
    if base is None or not base.HttpV2FeatureChecker.http_v2_enabled():
        return None
    for function in functions:
        try:
            annotations = typing.get_type_hints(function).values()
        except Exception:
            # The check of the signature reports what is wrong with the annotations.
            continue
        if any(base.RequestTrackerMeta.check_type(annotation) for annotation in annotations):
            return HttpStreaming(base, clock)
    return None


def _new_application(base: Any) -> AsgiApp:
    """Return the framework's application with one handler for all paths, which waits for the function's response."""

    async def catch_all(request: Any) -> Any:
        exchange: _Exchange = request.scope[_EXCHANGE_KEY]
        exchange.request.set_result(request)
        response = await exchange.response
        if response is None:
            # The framework makes status 500 of it. The invocation itself succeeds, as with the official worker.
            raise RuntimeError("The function returned no response.")
        return response

    # The framework decides by the annotation what to pass as `request`, and the type is known only at run time.
    catch_all.__annotations__ = {"request": base.RequestTrackerMeta.get_request_type()}
    web_app = importlib.import_module(base.ModuleTrackerMeta.get_module()).WebApp()
    web_app.route(catch_all)
    application: AsgiApp = web_app.get_app()
    return application
