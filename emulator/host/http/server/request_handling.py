"""HTTP server of the Functions host: request path, middleware pipeline, routing, authorization and start page.

    async with serve(site, clock, sock=socket) as listener:
        ...                                   # requests wait until site.status says that functions can be invoked
        await listener.drain(seconds=10)

Built-in routes take precedence over those of functions. What no route matches gets an empty 404.
Source: host, WebJobsApplicationBuilderExtension.cs, HomepageMiddleware.cs; docs/protocol/functions-host.md 4.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from aiohttp import web
from yarl import URL

from emulator.clock import Clock
from emulator.config.start import Cors
from emulator.host.http.callers import CallerRules
from emulator.host.http.keys.authorization import Authorizer
from emulator.host.http.routing.paths import has_dot_segments, normalized_path, split_path
from emulator.host.http.routing.routes import FunctionRoutes, HttpCall, Route, first_match
from emulator.host.http.server import pipeline
from emulator.host.http.server.connections import Listener, listen
from emulator.host.http.server.pipeline import Incoming, Stage
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge
from emulator.host.http_options import HttpOptions
from emulator.host.status import HostStatus
from emulator.ids import NewId, new_id
from emulator.logs import get_logger
from emulator.telemetry.spans import Tracer

logger = get_logger(__name__)

# Characters that need no percent escape in a path (RFC 3986 3.3), and % itself, which the normalised path may hold.
_PATH_CHARACTERS = "/:@!$&'()*+,;=-._~%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Configuration of the HTTP server.

    `root`: the app folder. `builtin`: routes of admin API and webhooks. `homepage`: whether GET / shows the start page.
    `principal`: request headers of App Service authentication; see `keys.easyauth`. `dashboard_path`: the first segment
    of the paths of the dashboard; None: there is no dashboard. `tracer`: records a span for each
    request.
    """

    root: Path
    status: HostStatus
    builtin: Sequence[Route]
    functions: FunctionRoutes
    authorizer: Authorizer
    callers: CallerRules
    options: HttpOptions = field(default_factory=HttpOptions)
    cors: Cors | None = None
    homepage: bool = True
    principal: Mapping[str, str] | None = None
    dashboard_path: str | None = None
    tracer: Tracer | None = None


@asynccontextmanager
async def serve(
    site: Site, clock: Clock, *, sockets: Sequence[socket.socket], new_request_id: NewId = new_id
) -> AsyncIterator[Listener]:
    """Serve the site on the listening sockets, all of one port, while entered; the caller closes them."""
    # From the innermost stage outwards, in the order of WebJobsApplicationBuilderExtension. CORS is outermost as in
    # core-tools: a preflight request must succeed even while the host starts.
    stage: Stage = _Router(site).handle
    stage = pipeline.easyauth_headers(stage, site.principal)
    stage = pipeline.response_headers(stage, site.options)
    stage = pipeline.throttling(stage, site.options)
    stage = pipeline.availability(stage, site.status, clock, site.root)
    stage = pipeline.spans(stage, site.tracer)
    stage = pipeline.tracing(stage, clock, new_request_id)
    stage = pipeline.cors(stage, site.cors)
    async with listen(_Server(stage, site.dashboard_path).handle, clock, sockets=sockets) as listener:
        yield listener


class _Server:
    """Entry point of requests: normalises the path, and responds to a defect of the host with 500."""

    def __init__(self, first: Stage, dashboard_path: str | None) -> None:
        self._first = first
        self._dashboard = dashboard_path.lower() if dashboard_path is not None else None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = request.rel_url.raw_path
        path = normalized_path(raw)
        if path is None:
            return web.Response(status=400)
        if has_dot_segments(raw):
            # Functions and frameworks would resolve the dot segments of the original URL on their own, perhaps to
            # another path than the one whose key was checked.
            clean = URL.build(
                path=quote(path, safe=_PATH_CHARACTERS), query_string=request.rel_url.raw_query_string, encoded=True
            )
            request = request.clone(rel_url=clean)
        try:
            for_dashboard = path[1:].partition("/")[0].lower() == self._dashboard
            return await self._first(Incoming(request, path, for_dashboard))
        except web.HTTPException:
            raise
        except Exception:
            # A defect of the host. aiohttp's own handling would show the client a text of aiohttp.
            logger.exception("The response to %s %s failed.", request.method, path)
            return web.Response(status=500)


class _Router:
    """Innermost stage: finds the route, checks the access key, calls the handler, refuses incomplete bodies."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def handle(self, incoming: Incoming) -> web.StreamResponse:
        request, path, site = incoming.request, incoming.path, self._site
        method, segments = request.method.upper(), split_path(path)
        if segments is None:
            return web.Response(status=404)
        matched = first_match(site.builtin, method, segments) or first_match(site.functions.all, method, segments)
        if matched is None:
            # Last, because a function may have the route "/".
            if path != "/" or request.method not in ("GET", "HEAD"):
                return web.Response(status=404)
            if not site.homepage:
                return web.Response(status=204)
            return web.Response(text=_HOMEPAGE, content_type="text/html", charset="utf-8")
        route, values = matched
        if incoming.span is not None and route.public:
            incoming.span.name = f"{method} {route.template.text}"
            incoming.span.attributes |= {"http.route": route.template.text, "faas.trigger": "http"}
        if not route.public and (refusal := site.callers.refusal(request)) is not None:
            return refusal
        # Routing comes before authorization: an unknown path is 404 with and without a key.
        rejection = await site.authorizer.rejection_status(route.access, request.headers, request.query)
        if rejection is not None:
            return web.Response(status=rejection)
        try:
            return await route.handler(HttpCall(request=request, path=path, values=values))
        except (BodyTooLarge, BodyBroken) as error:
            # Here, so that all stages see the response: CORS and custom headers, spans and the lines of --verbose.
            response = web.Response(status=413 if isinstance(error, BodyTooLarge) else 400)
            # The rest of the body would be read as the next request.
            response.force_close()
            return response


_HOMEPAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Your function app is up and running</title>
<style>
  :root { color-scheme: light dark; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.6 system-ui, sans-serif; }
  main { max-width: 40rem; padding: 2rem; }
  h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 1rem; }
  code { font: 0.95em ui-monospace, monospace; padding: 0.1em 0.35em; border-radius: 0.3em; background: #8882; }
  li { margin: 0.4rem 0; }
</style>
</head>
<body>
<main>
<h1>Your function app is up and running</h1>
<p>azemu serves it on this machine. The console in which it was started lists the functions and their URLs.</p>
<ul>
<li><a href="/admin/host/status"><code>/admin/host/status</code></a> shows the state of the host.</li>
<li><a href="/admin/functions"><code>/admin/functions</code></a> lists the functions with their bindings.</li>
<li>Set <code>AzureWebJobsDisableHomepage</code> to <code>true</code> to turn this page off.</li>
</ul>
</main>
</body>
</html>
"""
