"""Middleware of the HTTP server: CORS, trace lines, availability, throttling, response headers and EasyAuth.

    handle = router.handle
    handle = throttling(handle, options)
    handle = availability(handle, status, clock, root)
    handle = cors(handle, settings)

Each function wraps the next stage. A stage may respond itself or change the response of the next one, which has not
been sent yet. Source: host, WebJobsApplicationBuilderExtension.cs and Middleware/*;
docs/protocol/functions-host.md 4.2, 4.7 and 5.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict

from emulator import bound_json as json
from emulator.clock import Clock, within
from emulator.config.start import Cors
from emulator.host.console.categories import HTTP_TRACE, category
from emulator.host.http_options import HttpOptions
from emulator.host.status import HostState, HostStatus
from emulator.ids import NewId, hyphenated
from emulator.telemetry.span_context import SpanContext, working_in
from emulator.telemetry.spans import Span, SpanKind, Tracer

_trace = category(HTTP_TRACE)

APP_OFFLINE = "app_offline.htm"
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request with its normalised path (see `routing.paths`). `for_dashboard`: it is for the dashboard or its API.

    `span`: of the request, if it is traced.
    """

    request: web.Request
    path: str
    for_dashboard: bool = False
    span: Span | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the host answers in every state and under any load: below /admin, and to the dashboard."""
        first, _, _ = self.path[1:].partition("/")
        return self.for_dashboard or first.lower() == "admin"


Stage = Callable[[Incoming], Awaitable[web.StreamResponse]]


def cors(then: Stage, settings: Cors | None) -> Stage:
    """Return a stage that responds to preflight requests and adds CORS headers, as `func start --cors` does it."""
    if settings is None:
        return then

    def allowed_origin(origin: str) -> dict[str, str]:
        if "*" in settings.origins:
            return {"Access-Control-Allow-Origin": "*"}
        if not settings.allows(origin):
            return {}
        credentials = {"Access-Control-Allow-Credentials": "true"} if settings.credentials else {}
        # The response depends on the Origin header, so a cache must not give it to another origin.
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **credentials}

    async def stage(incoming: Incoming) -> web.StreamResponse:
        headers = incoming.request.headers
        origin = headers.get("Origin")
        # The rules are those of the app, for its functions. No page of another origin may read the dashboard.
        if origin is None or incoming.for_dashboard:
            return await then(incoming)
        allowed = allowed_origin(origin)
        if incoming.request.method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            # A preflight request carries no key and no function has a route for it, so this stage responds. An origin
            # that is not allowed gets the same 204 without the headers, on which the browser gives up.
            response = web.Response(status=204, headers=allowed)
            if allowed:
                response.headers["Access-Control-Allow-Methods"] = headers["Access-Control-Request-Method"]
                if "Access-Control-Request-Headers" in headers:
                    response.headers["Access-Control-Allow-Headers"] = headers["Access-Control-Request-Headers"]
            return response
        final = await then(incoming)
        final.headers.update(allowed)
        return final

    return stage


def tracing(then: Stage, clock: Clock, new_id: NewId) -> Stage:
    """Return a stage that logs the lines Executing and Executed around each request, which `--verbose` shows."""

    async def stage(incoming: Incoming) -> web.StreamResponse:
        request = incoming.request
        # Most hosts run without --verbose; they save ids and JSON texts for every request. An open dashboard would fill
        # the log that it shows with its own requests.
        if incoming.for_dashboard or not _trace.isEnabledFor(logging.INFO):
            return await then(incoming)
        # The front end of App Service numbers requests with this header.
        request_id = request.headers.get("X-ARR-LOG-ID") or hyphenated(new_id())
        started_at = clock.now()
        details = {"method": request.method, "userAgent": request.headers.get("User-Agent", ""), "uri": incoming.path}
        _trace.info("Executing HTTP request: %s", json.dumps({"requestId": request_id, **details}, indent=2))
        response = await then(incoming)
        milliseconds = (clock.now() - started_at) // timedelta(milliseconds=1)
        outcome = {"status": str(response.status), "duration": str(milliseconds)}
        _trace.info("Executed HTTP request: %s", json.dumps({"requestId": request_id, **outcome}, indent=2))
        return response

    return stage


def spans(then: Stage, tracer: Tracer | None) -> Stage:
    """Return a stage that records a span for each request, except those to the admin API and the dashboard.

    Names and attributes are those of ASP.NET Core's instrumentation. Source: host,
    Diagnostics/OpenTelemetry/OpenTelemetryConfigurationExtensions.cs.
    """
    if tracer is None:
        return then

    async def stage(incoming: Incoming) -> web.StreamResponse:
        if incoming.is_admin:
            return await then(incoming)
        request = incoming.request
        span = tracer.begin(
            request.method,
            SpanKind.SERVER,
            scope="Microsoft.AspNetCore",
            parent=SpanContext.parse(request.headers.get("traceparent"), request.headers.get("tracestate")),
            attributes={
                "http.request.method": request.method,
                "url.scheme": request.scheme,
                "url.path": incoming.path,
                "server.address": request.url.host,
                "server.port": request.url.port,
                "network.protocol.version": f"{request.version.major}.{request.version.minor}",
                "user_agent.original": request.headers.get("User-Agent"),
            },
        )
        error: str | None = ""
        try:
            with working_in(span.context):
                response = await then(replace(incoming, span=span))
            span.attributes["http.response.status_code"] = response.status
            # As the semantic conventions say: 4xx is an error of the client and not of this span.
            error = "" if response.status >= 500 else None
            return response
        finally:
            tracer.end(span, error)

    return stage


def availability(then: Stage, status: HostStatus, clock: Clock, root: Path) -> Stage:
    """Return a stage that lets requests wait up to 30 seconds until the host is ready; then they get a 503.

    Requests to the admin API pass: they are the way to ask a host that does not start for the reason.
    """
    offline = root / APP_OFFLINE

    async def stage(incoming: Incoming) -> web.StreamResponse:
        if incoming.is_admin:
            return await then(incoming)
        if status.state is HostState.OFFLINE:
            try:
                return web.Response(status=503, body=offline.read_bytes(), content_type="text/html")
            except OSError:
                # Deleting app_offline.htm brings the host back online, as in Azure.
                status.change(HostState.RUNNING)
        if not status.can_invoke:
            with suppress(TimeoutError):
                await within(clock, _START_SECONDS, status.wait_until_ready(), upkeep=True)
        if not status.can_invoke:
            return web.Response(status=503, text="Function host is not running.")
        return await then(incoming)

    return stage


def throttling(then: Stage, options: HttpOptions) -> Stage:
    """Return a stage that applies maxConcurrentRequests (requests wait) and maxOutstandingRequests (they get a 429).

    dynamicThrottlesEnabled has no effect: it reads performance counters of the Azure sandbox.
    """
    outstanding = 0
    slots = asyncio.Semaphore(options.max_concurrent_requests) if options.max_concurrent_requests > 0 else None

    async def stage(incoming: Incoming) -> web.StreamResponse:
        nonlocal outstanding
        # The admin API responds even if the host is throttled.
        if incoming.is_admin:
            return await then(incoming)
        if 0 < options.max_outstanding_requests <= outstanding:
            return web.Response(status=429, headers={"X-FUNCTION-SCALEOUT": "1"})
        # Waiting requests count as outstanding, as in HttpThrottleMiddleware.
        outstanding += 1
        try:
            if slots is None:
                return await then(incoming)
            async with slots:
                return await then(incoming)
        finally:
            outstanding -= 1

    return stage


def response_headers(then: Stage, options: HttpOptions) -> Stage:
    """Return a stage that adds `customHeaders` of host.json to all responses, and HSTS to those over HTTPS."""
    hsts = options.hsts
    directives = [f"max-age={int(hsts.max_age.total_seconds())}"]
    if hsts.include_sub_domains:
        directives.append("includeSubDomains")
    if hsts.preload:
        directives.append("preload")

    async def stage(incoming: Incoming) -> web.StreamResponse:
        response = await then(incoming)
        # They replace headers of the same name that the function has set.
        for name, value in options.custom_headers.items():
            response.headers[name] = value
        # RFC 6797 7.2 forbids the header over plain HTTP. By default localhost is excluded, as in ASP.NET Core.
        if hsts.is_enabled and incoming.request.secure and incoming.request.url.host not in hsts.excluded_hosts:
            response.headers["Strict-Transport-Security"] = "; ".join(directives)
        return response

    return stage


def easyauth_headers(then: Stage, principal: Mapping[str, str] | None) -> Stage:
    """Return a stage that adds the headers of App Service authentication. `principal`: see `keys.easyauth`."""
    if principal is None:
        return then

    async def stage(incoming: Incoming) -> web.StreamResponse:
        request = incoming.request
        # A test that sends a principal of its own means that one.
        if any(name in request.headers for name in principal):
            return await then(incoming)
        headers: CIMultiDict[str] = CIMultiDict(request.headers)
        headers.update(principal)
        return await then(replace(incoming, request=request.clone(headers=headers)))

    return stage
