"""What happens to a request before and after its route: each stage wraps the next, from the inside out.

    handle = router.handle
    handle = limited(handle, options, clock)
    handle = available(handle, status, clock, root)
    handle = cross_origin(handle, cors)

A stage may answer by itself or change the answer of the next one, which has not been sent yet.
Source: host, WebJobsApplicationBuilderExtension.cs and Middleware/*; docs/protocol/functions-host.md 4.2, 4.7, 5.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict

from emulator.clock import Clock, within
from emulator.config.start import Cors
from emulator.host.console.categories import category
from emulator.host.http_options import HstsOptions, HttpOptions
from emulator.host.status import HostState, HostStatus
from emulator.ids import NewId, hyphenated

_trace = category("Microsoft.Azure.WebJobs.Script.WebHost.Middleware.SystemTraceMiddleware")

APP_OFFLINE = "app_offline.htm"
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request with its normalised path (see `paths.normalized_path`)."""

    request: web.Request
    path: str

    @property
    def is_admin(self) -> bool:
        first, _, _ = self.path[1:].partition("/")
        return first.lower() == "admin"


Stage = Callable[[Incoming], Awaitable[web.StreamResponse]]


def cross_origin(then: Stage, cors: Cors | None) -> Stage:
    """CORS as `func start --cors` does it: before everything else, preflights included."""
    if cors is None:
        return then

    async def stage(incoming: Incoming) -> web.StreamResponse:
        headers = incoming.request.headers
        origin = headers.get("Origin")
        if origin is None:
            return await then(incoming)
        allowed = _allowed_origin(cors, origin)
        if incoming.request.method == "OPTIONS" and "Access-Control-Request-Method" in headers:
            return _preflight(headers, allowed)
        response = await then(incoming)
        response.headers.update(allowed)
        return response

    return stage


def _allowed_origin(cors: Cors, origin: str) -> dict[str, str]:
    if "*" in cors.origins:
        return {"Access-Control-Allow-Origin": "*"}
    if origin.lower().rstrip("/") not in (one.lower() for one in cors.origins):
        return {}
    credentials = {"Access-Control-Allow-Credentials": "true"} if cors.credentials else {}
    return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **credentials}


def _preflight(headers: Mapping[str, str], allowed: Mapping[str, str]) -> web.Response:
    response = web.Response(status=204)
    if allowed:
        response.headers.update(allowed)
        response.headers["Access-Control-Allow-Methods"] = headers["Access-Control-Request-Method"]
        wanted = headers.get("Access-Control-Request-Headers")
        if wanted is not None:
            response.headers["Access-Control-Allow-Headers"] = wanted
    return response


def traced(then: Stage, clock: Clock, new_id: NewId) -> Stage:
    """The two log lines around every request, which `--verbose` shows."""

    async def stage(incoming: Incoming) -> web.StreamResponse:
        request = incoming.request
        if not _trace.isEnabledFor(logging.INFO):
            return await then(incoming)
        request_id = request.headers.get("X-ARR-LOG-ID") or hyphenated(new_id())
        began = clock.now()
        facts = {"method": request.method, "userAgent": request.headers.get("User-Agent", ""), "uri": incoming.path}
        _trace.info("Executing HTTP request: %s", json.dumps({"requestId": request_id, **facts}, indent=2))
        response = await then(incoming)
        milliseconds = (clock.now() - began) // timedelta(milliseconds=1)
        outcome = {"status": str(response.status), "duration": str(milliseconds)}
        _trace.info("Executed HTTP request: %s", json.dumps({"requestId": request_id, **outcome}, indent=2))
        return response

    return stage


def available(then: Stage, status: HostStatus, clock: Clock, root: Path) -> Stage:
    """Nothing but the admin API is served before the host is ready: requests wait for it, up to 30 seconds."""
    offline = root / APP_OFFLINE

    async def stage(incoming: Incoming) -> web.StreamResponse:
        if incoming.is_admin:
            return await then(incoming)
        if status.state is HostState.OFFLINE:
            try:
                return web.Response(status=503, body=offline.read_bytes(), content_type="text/html")
            except OSError:
                # Taking the file away brings the host back, as on Azure.
                status.change(HostState.RUNNING)
        if not status.can_invoke:
            with suppress(TimeoutError):
                await within(clock, _START_SECONDS, status.wait_until_ready(), upkeep=True)
        if not status.can_invoke:
            return web.Response(status=503, text="Function host is not running.")
        return await then(incoming)

    return stage


def limited(then: Stage, options: HttpOptions) -> Stage:
    """maxConcurrentRequests lets requests wait, maxOutstandingRequests refuses what would make too many.

    dynamicThrottlesEnabled compares counters of the Azure sandbox with their limits; nowhere else does it do anything.
    """
    outstanding = 0
    slots = asyncio.Semaphore(options.max_concurrent_requests) if options.max_concurrent_requests > 0 else None

    async def stage(incoming: Incoming) -> web.StreamResponse:
        nonlocal outstanding
        if incoming.is_admin:
            return await then(incoming)
        if 0 < options.max_outstanding_requests <= outstanding:
            return web.Response(status=429, headers={"X-FUNCTION-SCALEOUT": "1"})
        outstanding += 1
        try:
            if slots is None:
                return await then(incoming)
            async with slots:
                return await then(incoming)
        finally:
            outstanding -= 1

    return stage


def with_headers(then: Stage, options: HttpOptions) -> Stage:
    """customHeaders of host.json on every answer, and HSTS on those over HTTPS."""
    strict = _strict_transport(options.hsts)

    async def stage(incoming: Incoming) -> web.StreamResponse:
        response = await then(incoming)
        for name, value in options.custom_headers.items():
            response.headers[name] = value
        if strict and incoming.request.secure and incoming.request.url.host not in options.hsts.excluded_hosts:
            response.headers["Strict-Transport-Security"] = strict
        return response

    return stage


def _strict_transport(hsts: HstsOptions) -> str | None:
    if not hsts.is_enabled:
        return None
    parts = [f"max-age={int(hsts.max_age.total_seconds())}"]
    if hsts.include_sub_domains:
        parts.append("includeSubDomains")
    if hsts.preload:
        parts.append("preload")
    return "; ".join(parts)


def signed_in(then: Stage, principal: Mapping[str, str] | None) -> Stage:
    """App Service authentication for development: its headers, on requests that do not bring their own."""
    if principal is None:
        return then

    async def stage(incoming: Incoming) -> web.StreamResponse:
        request = incoming.request
        if any(name in request.headers for name in principal):
            return await then(incoming)
        headers: CIMultiDict[str] = CIMultiDict(request.headers)
        headers.update(principal)
        return await then(Incoming(request.clone(headers=headers), incoming.path))

    return stage
