"""HTTP streaming: functions with requests and responses of a web framework (`azurefunctions-extensions-http-*`).

The official worker runs the framework in a web server of its own, to which the host forwards the request while it
invokes the function. Here the framework's application is called directly, on the app's loop, with the host's exchange:

    streaming = find_streaming(functions)             # None unless a function is annotated with the framework's Request
    returned = await streaming.run(stream, invocation_id, call)

Source: azure-functions-python-worker, http_v2.py; docs/protocol/python-worker.md 9.1.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import typing
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from emulator.clock import Clock
from emulator.worker.port import AsgiMessage, HttpStream

_log = logging.getLogger(__name__)

_BASE = "azurefunctions.extensions.base"
_CONVERSATION = "azemu.conversation"
_INVOCATION_HEADER = b"x-ms-invocation-id"

Receive = Callable[[], Awaitable[AsgiMessage]]
Send = Callable[[AsgiMessage], Awaitable[None]]
AsgiApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class TypeTracker(Protocol):
    """The base extension's record of the framework's request or response types."""

    def check_type(self, pytype: type) -> bool: ...


@dataclass(slots=True)
class _Conversation:
    """Where the framework's handler and the function meet: it brings the request, the function the response."""

    request: asyncio.Future[Any]
    response: asyncio.Future[Any]


class Streaming:
    """The framework of one app. `requests` and `responses` judge annotations."""

    def __init__(self, base: Any, clock: Clock) -> None:
        self._clock = clock
        self.requests: TypeTracker = base.RequestTrackerMeta
        self.responses: TypeTracker = base.ResponseTrackerMeta
        self._synchronizer = base.RequestTrackerMeta.get_synchronizer()
        self._app = _application(base)
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self, stream: HttpStream, invocation_id: str, call: Callable[[Any], Awaitable[Any]]) -> None:
        """Call the function with the framework's request, answer with what it returns.

        Returns when the function has returned; the answer may go on for long after that. Raises what the function
        raises, after the framework has answered for it.
        """
        loop = asyncio.get_running_loop()
        conversation = _Conversation(loop.create_future(), loop.create_future())
        answering = loop.create_task(self._answer(stream, invocation_id, conversation))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)
        await asyncio.wait({answering, conversation.request}, return_when=asyncio.FIRST_COMPLETED)
        if not conversation.request.done():
            raise RuntimeError("The web framework has refused the request.")
        request = conversation.request.result()
        self._synchronizer.sync_route_params(request, dict(stream.route_params))
        try:
            conversation.response.set_result(await call(request))
        except BaseException as error:
            trace = error.__traceback__
            conversation.response.set_exception(_for_framework(error))
            await asyncio.wait({answering})
            # On its way through the framework the error has collected frames that are not the user's.
            raise error.with_traceback(trace)  # noqa: B904

    async def _answer(self, stream: HttpStream, invocation_id: str, conversation: _Conversation) -> None:
        scope = {**stream.scope, _CONVERSATION: conversation}
        scope["headers"] = [*scope["headers"], (_INVOCATION_HEADER, invocation_id.encode())]
        try:
            # Nobody else knows that the app is still sending once the function has returned.
            with self._clock.busy():
                await self._app(scope, stream.receive, stream.send)
        except Exception as error:
            # The framework has answered 500 if it could. That the function failed is for its invocation to report.
            if conversation.response.done() and conversation.response.exception() is None:
                _log.error("Invocation %s: the response broke off.", invocation_id, exc_info=error)
        finally:
            stream.close()


def find_streaming(functions: Iterable[Callable[..., Any]], clock: Clock) -> Streaming | None:
    """The framework, if one of these HTTP functions has a parameter of its request type."""
    base = sys.modules.get(_BASE)
    if base is None or not base.HttpV2FeatureChecker.http_v2_enabled():
        return None
    annotations = (kind for function in functions for kind in _annotations(function))
    if not any(base.RequestTrackerMeta.check_type(kind) for kind in annotations):
        return None
    return Streaming(base, clock)


def _annotations(function: Callable[..., Any]) -> Iterable[Any]:
    try:
        return typing.get_type_hints(function).values()
    except Exception:
        # Indexing will say what is wrong with them.
        return ()


def _application(base: Any) -> AsgiApp:
    """The framework's application, with one handler for all paths: it lends its request and waits for the response."""

    async def catch_all(request: Any) -> Any:
        conversation: _Conversation = request.scope[_CONVERSATION]
        conversation.request.set_result(request)
        response = await conversation.response
        if response is None:
            raise RuntimeError("The function returned no response.")
        return response

    # The framework looks at the annotation, which is known only now.
    catch_all.__annotations__ = {"request": base.RequestTrackerMeta.get_request_type()}
    web_app = importlib.import_module(base.ModuleTrackerMeta.get_module()).WebApp()
    web_app.route(catch_all)
    application: AsgiApp = web_app.get_app()
    return application


def _for_framework(error: BaseException) -> Exception:
    """What the framework may see: the end of the process is not its affair."""
    return error if isinstance(error, Exception) else RuntimeError(f"The function ended with {error!r}.")
