"""HTTP triggers (httpTrigger) and the http output: routes that pass requests to functions and send their return values.

Source: host, WebScriptHostHttpRoutesManager.cs, ScriptHost.ValidateHttpFunction; webjobs-extensions, Http;
docs/protocol/functions-host.md 4.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.errors import ConfigurationError, EmulatorError
from emulator.extensions.http.response import ResponseRefused, check_length, render
from emulator.extensions.http.stream import Exchange, is_bodyless
from emulator.host.bindings import HTTP_OUTPUT, HTTP_TRIGGER
from emulator.host.console.categories import STARTUP, category, function_category
from emulator.host.context import ExtensionContext
from emulator.host.http.keys.authorization import function_access
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.routing.templates import TemplateError, parse_template
from emulator.host.http.server.aiohttp_internals import CHUNKS_WITHOUT_BODY
from emulator.host.http.server.requests import RequestBindingData, read_body, request_data
from emulator.host.http_options import HttpOptions
from emulator.host.port import Extension, Function, InvalidFunction, Invoke, ManualInput, Output, Trigger, TriggerEvent
from emulator.worker.port import Binding, Datum, HttpRequestData, member_of

BODY_LIMIT_SETTING: Final = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT"
"""App setting: how many bytes the body of a request may have."""

_MAX_BODY_BYTES: Final = 104_857_600

# A percent-encoded character such as %20 is not a setting, and names of settings rarely begin with a digit.
_SETTING_IN_ROUTE: Final = re.compile(r"%([A-Za-z_][\w.:\-]*)%")

# Source: AuthorizationLevel.cs of the Functions host. Functions in Python use the first three.
_AUTH_LEVELS: Final = ("anonymous", "function", "admin", "system", "user")

_startup = category(STARTUP)


def http_extension(context: ExtensionContext) -> Extension:
    """Return the extension of HTTP triggers and outputs. Raises ConfigurationError for wrong options."""
    prefix = context.section(HttpOptions).route_prefix
    body_limit = context.settings.get(BODY_LIMIT_SETTING) or str(_MAX_BODY_BYTES)
    if not body_limit.strip().isdecimal():
        raise ConfigurationError(f"App setting {BODY_LIMIT_SETTING} is '{body_limit}'; allowed: a number of bytes.")
    max_body_bytes = int(body_limit)

    @asynccontextmanager
    async def listen(function: Function, binding: Binding, invoke: Invoke) -> AsyncIterator[None]:
        endpoint = _Endpoint(function, invoke, context.clock, max_body_bytes)
        route = Route(
            name=function.name,
            template=parse_template(route_text(function, binding, prefix)),
            methods=methods_of(binding),
            access=function_access(member_of(binding.properties, "authLevel"), function.name),
            handler=endpoint.handle,
            public=True,
        )
        with context.routes.serving(route):
            methods = "all" if route.methods is None else ",".join(route.methods)
            _startup.info("Mapped function route '%s' [%s] to '%s'", route.template.text, methods, route.name)
            hiding = context.routes.shadowing(route)
            if hiding is not None:
                _startup.warning(
                    "Function '%s' will never be called: function '%s' takes all requests to its route '%s'. Routes "
                    "are tried in the order of the function names.",
                    route.name,
                    hiding.name,
                    route.template.text,
                )
            yield

    def validate(function: Function, others: Sequence[Function]) -> None:
        check_properties(function.trigger)
        check_route(function, others, prefix)
        route = route_text(function, function.trigger, prefix)
        for name in _SETTING_IN_ROUTE.findall(route):
            _startup.warning(
                "The route '%s' of function '%s' contains %%%s%%. Settings are not replaced in routes, neither here "
                "nor on Azure, so no request will match it. Write the value of the setting '%s'%s into the route.",
                route,
                function.name,
                name,
                name,
                "" if context.settings.get(name) else " (which is not set)",
            )

    async def refuse_manual_invocation(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
        # The first sentence is the Functions host's, which cannot turn a text into a request either.
        route = f"{context.origin()}/{route_text(function, binding, prefix)}"
        raise NoHttpRequest(f"An HttpRequest is required. Call {route} instead.")

    trigger = Trigger(
        listen=listen,
        validate=validate,
        manual_event=refuse_manual_invocation,
        log_category="Host.Triggers.Http",
        # No `binding_names`: besides the route's parameters, expressions may use all names in the query string and in
        # a JSON body, which are known only when the request arrives.
    )
    # The output is written by the endpoint, which has the connection to the client.
    return Extension(name="http", triggers={HTTP_TRIGGER: trigger}, outputs={HTTP_OUTPUT: Output(write=None)})


class NoHttpRequest(EmulatorError):
    """A manual invocation of an HTTP function, which the admin API cannot send a request."""


def route_text(function: Function, binding: Binding, prefix: str) -> str:
    """Return the route's template as the user wrote it, with the prefix: `api/items/{id}`."""
    own = str(member_of(binding.properties, "route") or function.name).strip("/")
    return f"{prefix.strip('/')}/{own}".strip("/")


def methods_of(binding: Binding) -> Sequence[str] | None:
    """Return the methods in upper case; None: all methods. A route with an empty list matches no request."""
    methods = member_of(binding.properties, "methods")
    return None if methods is None else [str(method).upper() for method in methods]


def check_properties(trigger: Binding) -> None:
    """Check what a function.json can have wrong, and a decorator cannot. Raises InvalidFunction."""
    level = member_of(trigger.properties, "authLevel")
    if level is not None and (not isinstance(level, str) or level.lower() not in _AUTH_LEVELS):
        raise InvalidFunction(f"'authLevel' is {json.dumps(level)}; allowed: anonymous, function, admin.")
    methods = member_of(trigger.properties, "methods")
    if methods is not None and not (isinstance(methods, list) and all(isinstance(name, str) for name in methods)):
        raise InvalidFunction(f"'methods' is {json.dumps(methods)}; allowed: an array of texts, such as [\"get\"].")


def check_route(function: Function, others: Sequence[Function], prefix: str) -> None:
    """Check a function's route beside those of the functions accepted before it. Raises InvalidFunction."""
    own = _comparable_route(function)
    # The prefix does not matter to the host: a route `admin/x` is refused, although it would be at /api/admin/x.
    if own.startswith(("admin", "runtime")):
        raise InvalidFunction("The specified route conflicts with one or more built in routes.")
    own_methods = set(member_of(function.trigger.properties, "methods") or ())
    for other in others:
        if other.trigger.type.lower() != HTTP_TRIGGER or _comparable_route(other) != own:
            continue
        # The host compares the lists as they are written: letter case counts, and both no list and an empty one mean
        # all methods here, although a route with an empty list never matches.
        other_methods = set(member_of(other.trigger.properties, "methods") or ())
        if not own_methods or not other_methods or own_methods & other_methods:
            raise InvalidFunction(
                f"The route specified conflicts with the route defined by function '{other.name}'. Both have the route "
                f"'{own}': '{function.name}' at {function.metadata.source}, '{other.name}' at {other.metadata.source}."
            )
    route = route_text(function, function.trigger, prefix)
    try:
        parse_template(route)
    except TemplateError as error:
        raise InvalidFunction(f"The route '{route}' is invalid: {error}") from error


def _comparable_route(function: Function) -> str:
    return route_text(function, function.trigger, "").lower()


class _Endpoint:
    """Handles the requests of one function. `max_body_bytes`: of a body that is read before the function is called."""

    def __init__(self, function: Function, invoke: Invoke, clock: Clock, max_body_bytes: int) -> None:
        self._function = function
        self._invoke = invoke
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        bindings = function.metadata.bindings
        self._output = next((binding.name for binding in bindings if binding.type.lower() == HTTP_OUTPUT), None)
        # asyncio keeps only weak references to tasks, so a streaming function that nothing else refers to could be
        # collected while it runs.
        self._streaming: set[asyncio.Task[None]] = set()

    async def handle(self, call: HttpCall) -> web.StreamResponse:
        # A streaming function reads the body itself, so there is no limit for it and no buffer.
        if self._function.metadata.streams_http:
            return await self._stream(call)
        body = await read_body(call.request, self._clock, limit=self._max_body_bytes)
        data = request_data(call, body)
        try:
            returned = await self._invoke(_event(Datum("http", data), data))
            rendered = render(returned, self._output)
            check_length(rendered, data.method)
        except ResponseRefused as error:
            function_category(self._function.name).error("%s", error)
            return web.Response(status=500)
        except EmulatorError:
            # The invoker has logged the error. The client gets no details, as from the Functions host.
            return web.Response(status=500)
        response = web.Response(status=rendered.status, body=rendered.body or None)
        for name, value in rendered.headers:
            response.headers.add(name, value)
        # The Functions host streams every body without an explicit Content-Length, and Kestrel then sends it in chunks.
        # HTTP/1.0 has no chunks.
        is_chunked = rendered.body and "Content-Length" not in response.headers and call.request.version >= (1, 1)
        if is_chunked and not (CHUNKS_WITHOUT_BODY and is_bodyless(data.method, rendered.status)):
            response.enable_chunked_encoding()
        return response

    async def _stream(self, call: HttpCall) -> web.StreamResponse:
        exchange = Exchange(call, self._clock)

        async def run() -> None:
            try:
                await self._invoke(_event(Datum("http_stream", exchange.stream), request_data(call, b"")))
            except EmulatorError:
                # The invoker has logged the error. A web framework has responded for its function already; if it never
                # got that far, there will be no response, and the client gets a 500.
                exchange.abandon()
            except BaseException:
                exchange.abandon()
                raise

        # The function may run longer than this request: it can do work after its response has ended.
        running = asyncio.create_task(run())
        self._streaming.add(running)
        running.add_done_callback(self._streaming.discard)
        response = await exchange.response()
        if exchange.refusal is not None:
            function_category(self._function.name).error("%s", exchange.refusal)
        # Not `or`: a response of aiohttp 3.8 is a mapping, and false if it is empty.
        return web.Response(status=500) if response is None else response


def _event(value: Datum, data: HttpRequestData) -> TriggerEvent:
    return TriggerEvent(
        value=value,
        binding_data=RequestBindingData(data),
        trace_parent=data.headers.get("traceparent", ""),
        trace_state=data.headers.get("tracestate", ""),
    )
