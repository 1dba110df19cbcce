"""The HTTP server of the host: routing, keys, and the stages around them.

    async with serve(site, clock, sock=socket) as listener:
        ...                                   # requests wait until site.status says that functions can be invoked
        await listener.drain(seconds=10)

Built-in routes come first, then those of the functions, then the start page; anything else is an empty 404.
Source: host, WebJobsApplicationBuilderExtension.cs; docs/protocol/functions-host.md 4.
"""

from __future__ import annotations

import logging
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
from emulator.host.http import pipeline
from emulator.host.http.auth import Authorizer
from emulator.host.http.connections import Listener, listen
from emulator.host.http.homepage import homepage
from emulator.host.http.paths import has_dot_segments, normalized_path, split_path
from emulator.host.http.pipeline import Incoming, Stage
from emulator.host.http.requests import BodyBroken, BodyTooLarge
from emulator.host.http.routes import FunctionRoutes, HttpCall, Route, first_match
from emulator.host.http_options import HttpOptions
from emulator.host.status import HostStatus
from emulator.ids import NewId, new_id

logger = logging.getLogger(__name__)

_PATH_CHARACTERS = "/:@!$&'()*+,;=-._~%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """All that the server serves. `builtin`: admin API and webhooks; `principal`: headers of a signed-in user."""

    root: Path
    status: HostStatus
    builtin: Sequence[Route]
    functions: FunctionRoutes
    authorizer: Authorizer
    options: HttpOptions = field(default_factory=HttpOptions)
    cors: Cors | None = None
    homepage: bool = True
    principal: Mapping[str, str] | None = None


@asynccontextmanager
async def serve(
    site: Site, clock: Clock, *, sock: socket.socket, new_request_id: NewId = new_id
) -> AsyncIterator[Listener]:
    """Serve the site on the listening socket `sock` while entered; the socket stays the caller's to close."""
    async with listen(_Server(_stages(site, clock, new_request_id)).handle, clock, sock=sock) as listener:
        yield listener


def _stages(site: Site, clock: Clock, new_request_id: NewId) -> Stage:
    """The order of the Functions host, from the router outwards."""
    stage: Stage = _Router(site).handle
    stage = pipeline.signed_in(stage, site.principal)
    stage = pipeline.with_headers(stage, site.options)
    stage = pipeline.limited(stage, site.options)
    stage = pipeline.available(stage, site.status, clock, site.root)
    stage = pipeline.traced(stage, clock, new_request_id)
    return pipeline.cross_origin(stage, site.cors)


class _Server:
    """Where a request enters: from here on its path is the normalised one, and every failure is answered."""

    def __init__(self, first: Stage) -> None:
        self._first = first

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = request.rel_url.raw_path
        path = normalized_path(raw)
        if path is None:
            return web.Response(status=400)
        if has_dot_segments(raw):
            # Nobody behind may see, and resolve in his own way, what has been resolved here.
            clean = URL.build(
                path=quote(path, safe=_PATH_CHARACTERS), query_string=request.rel_url.raw_query_string, encoded=True
            )
            request = request.clone(rel_url=clean)
        try:
            return await self._first(Incoming(request, path))
        except web.HTTPException:
            raise
        except (BodyTooLarge, BodyBroken) as error:
            response = web.Response(status=413 if isinstance(error, BodyTooLarge) else 400)
            response.force_close()
            return response
        except Exception:
            logger.exception("Answering %s %s failed.", request.method, path)
            return web.Response(status=500)


class _Router:
    """The innermost stage: finds the route, asks for the key, lets the route answer."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def handle(self, incoming: Incoming) -> web.StreamResponse:
        request, path = incoming.request, incoming.path
        found = self._route(request.method.upper(), path)
        if found is None:
            return self._fallback(request, path)
        route, values = found
        refusal = await self._site.authorizer.refusal(route.access, request.headers, request.query)
        if refusal is not None:
            return web.Response(status=refusal)
        return await route.answer(HttpCall(request=request, path=path, values=values))

    def _route(self, method: str, path: str) -> tuple[Route, Mapping[str, str]] | None:
        segments = split_path(path)
        if segments is None:
            return None
        return first_match(self._site.builtin, method, segments) or first_match(
            self._site.functions.all, method, segments
        )

    def _fallback(self, request: web.Request, path: str) -> web.Response:
        if path != "/" or request.method not in ("GET", "HEAD"):
            return web.Response(status=404)
        return homepage() if self._site.homepage else web.Response(status=204)
