"""httpTrigger and the http output: a route per function, a request in, the returned value out.

Source: host, WebScriptHostHttpRoutesManager.cs, ScriptHost.ValidateHttpFunction; webjobs-extensions, Http;
docs/protocol/functions-host.md 4.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.extensions.http.response import HttpAnswer, ResponseRefused, check_length, render
from emulator.extensions.http.stream import Exchange
from emulator.host.bindings import HTTP_OUTPUT, HTTP_TRIGGER
from emulator.host.console.categories import STARTUP, category
from emulator.host.http.keys.authorization import function_access
from emulator.host.http.routing.routes import FunctionRoutes, HttpCall, Route
from emulator.host.http.routing.templates import TemplateError, parse_template
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge, RequestBindingData, read_body, request_data
from emulator.host.port import Extension, Function, Invoke, TriggerEvent
from emulator.worker.port import Binding, Datum, HttpRequestData

MAX_BODY_BYTES = 104_857_600
"""What a request may bring, unless FUNCTIONS_REQUEST_BODY_SIZE_LIMIT says otherwise."""

_startup = category(STARTUP)


def http_extension(
    routes: FunctionRoutes, clock: Clock, *, prefix: str = "api", max_body_bytes: int = MAX_BODY_BYTES
) -> Extension:
    """`routes`: the server's table, into which the functions' routes go. `prefix`: extensions.http.routePrefix."""

    @asynccontextmanager
    async def listen(function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
        endpoint = _Endpoint(function, invoke, clock, max_body_bytes)
        route = Route(
            name=function.name,
            template=parse_template(route_text(function, binding, prefix)),
            methods=methods_of(binding),
            access=function_access(binding.properties.get("authLevel"), function.name),
            handler=endpoint.answer,
        )
        with routes.serving(route):
            _say_mapped(route, routes.shadowing(route))
            yield

    return Extension(name="http", triggers={HTTP_TRIGGER: listen}, by_hand={HTTP_TRIGGER: _no_request})


class NoHttpRequest(EmulatorError):
    """An HTTP function was to be run by hand."""


async def _no_request(function: Function, binding: Binding, text: str | None) -> TriggerEvent:
    raise NoHttpRequest("An HttpRequest is required")


def route_text(function: Function, binding: Binding, prefix: str) -> str:
    """The route's template as the user wrote it, with the prefix: `api/items/{id}`."""
    own = str(binding.properties.get("route") or function.name).strip("/")
    return f"{prefix.strip('/')}/{own}".strip("/")


def methods_of(binding: Binding) -> Sequence[str] | None:
    """Upper case; None: all methods. An empty list is a route that nothing matches."""
    methods = binding.properties.get("methods")
    return None if methods is None else [str(method).upper() for method in methods]


def route_check(prefix: str) -> Callable[[Function, Sequence[Function]], str | None]:
    """The rules for routes, a `Check` for the catalog: what is wrong with a function beside those before it."""

    def check(function: Function, others: Sequence[Function]) -> str | None:
        if not _is_http(function):
            return None
        own = _comparable(function)
        if own.startswith(("admin", "runtime")):
            return "The specified route conflicts with one or more built in routes."
        for other in others:
            if (
                other.trigger.type.lower() == HTTP_TRIGGER
                and _comparable(other) == own
                and _share_a_method(function, other)
            ):
                return f"The route specified conflicts with the route defined by function '{other.name}'."
        try:
            parse_template(route_text(function, function.trigger, prefix))
        except TemplateError as error:
            return f"The route '{route_text(function, function.trigger, prefix)}' is invalid: {error}"
        return None

    return check


def _is_http(function: Function) -> bool:
    return function.trigger.type.lower() == HTTP_TRIGGER


def _comparable(function: Function) -> str:
    return route_text(function, function.trigger, "").lower()


def _share_a_method(one: Function, other: Function) -> bool:
    # As the host compares them: no list and an empty one mean all here, and letter case counts.
    ours, theirs = (set(function.trigger.properties.get("methods") or ()) for function in (one, other))
    return not ours or not theirs or bool(ours & theirs)


def _say_mapped(route: Route, hiding: Route | None) -> None:
    methods = "all" if route.methods is None else ",".join(route.methods)
    _startup.info("Mapped function route '%s' [%s] to '%s'", route.template.text, methods, route.name)
    if hiding is not None:
        _startup.warning(
            "Function '%s' will never be called: function '%s' takes all requests to its route '%s'. Routes are tried "
            "in the order of the function names.",
            route.name,
            hiding.name,
            route.template.text,
        )


class _Endpoint:
    """Answers the requests of one function. `max_body_bytes`: of what is read before the function is called."""

    def __init__(self, function: Function, invoke: Invoke, clock: Clock, max_body_bytes: int) -> None:
        self._function = function
        self._invoke = invoke
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        bindings = function.metadata.bindings
        self._output = next((one.name for one in bindings if one.type.lower() == HTTP_OUTPUT), None)
        self._streaming: set[asyncio.Task[None]] = set()

    async def answer(self, call: HttpCall) -> web.StreamResponse:
        if self._function.metadata.streams_http:
            return await self._streamed(call)
        try:
            body = await read_body(call.request, self._clock, limit=self._max_body_bytes)
        except BodyTooLarge:
            return _last_response(413)
        except BodyBroken:
            return _last_response(400)
        return await self._invoked(call, body)

    async def _invoked(self, call: HttpCall, body: bytes) -> web.Response:
        data = request_data(call, body)
        try:
            returned = await self._invoke(_event(Datum("http", data), data))
            answer = render(returned, self._output)
            check_length(answer, data.method)
            return _web_response(answer, call.request)
        except ResponseRefused as error:
            category(f"Function.{self._function.name}").error("%s", error)
            return web.Response(status=500)
        except EmulatorError:
            # The invoker has said what happened; the client learns no more than that something did.
            return web.Response(status=500)

    async def _streamed(self, call: HttpCall) -> web.StreamResponse:
        exchange = Exchange(call, self._clock)
        running = asyncio.create_task(self._run_streaming(call, exchange))
        self._streaming.add(running)
        running.add_done_callback(self._streaming.discard)
        return await exchange.response() or web.Response(status=500)

    async def _run_streaming(self, call: HttpCall, exchange: Exchange) -> None:
        try:
            await self._invoke(_event(Datum("http_stream", exchange.stream), request_data(call, b"")))
        except EmulatorError:
            # As above. A framework has answered for its function; if it never got so far, nobody has.
            exchange.abandon()
        except BaseException:
            exchange.abandon()
            raise


def _event(value: Datum, data: HttpRequestData) -> TriggerEvent:
    return TriggerEvent(
        value=value,
        binding_data=RequestBindingData(data),
        trace_parent=data.headers.get("traceparent", ""),
        trace_state=data.headers.get("tracestate", ""),
    )


def _last_response(status: int) -> web.Response:
    """An answer after which the connection is closed, since what the client still sends is not wanted."""
    response = web.Response(status=status)
    response.force_close()
    return response


def _web_response(answer: HttpAnswer, request: web.Request) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body or None)
    for name, value in answer.headers:
        response.headers.add(name, value)
    # Kestrel streams what has no length, and so does the Functions host with every body.
    if answer.body and "Content-Length" not in response.headers and request.version >= (1, 1):
        response.enable_chunked_encoding()
    return response
