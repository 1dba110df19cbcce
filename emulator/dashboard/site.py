"""The dashboard of one host: its static files, and its API below `/azemu/api/`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import web

from emulator.dashboard.api.changes import changes_routes
from emulator.dashboard.api.entities import entities_routes
from emulator.dashboard.api.functions import functions_routes
from emulator.dashboard.api.home import home_routes
from emulator.dashboard.api.instance import instance_routes
from emulator.dashboard.api.instances import instances_routes
from emulator.dashboard.api.logs import logs_routes
from emulator.dashboard.api.report import report_routes
from emulator.dashboard.api.settings import settings_routes
from emulator.dashboard.api.storage import storage_routes
from emulator.dashboard.api.transfer import transfer_routes
from emulator.dashboard.api.virtual_time import time_routes
from emulator.dashboard.api.why import why_routes
from emulator.dashboard.durable.task_hub import DashboardHub
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import error_members, error_response
from emulator.host.http.callers import CallerRules
from emulator.host.http.routing.paths import split_path
from emulator.host.http.routing.routes import HttpCall, Route, first_match
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge

_FILES: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}
_HEADERS: Final = {
    # Everything comes from this host, and no text of the app can become script or style.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A host of another version may be behind the same URL tomorrow.
    "Cache-Control": "no-cache",
}


def api_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints of the API, in the order of matching. Their templates begin behind `/azemu/api/`."""
    hub = DashboardHub(parts)
    return [
        *changes_routes(parts),
        *home_routes(parts),
        *functions_routes(parts),
        *storage_routes(parts),
        *settings_routes(parts),
        *logs_routes(parts),
        *time_routes(parts),
        *instances_routes(parts, hub),
        *instance_routes(parts, hub),
        *entities_routes(parts, hub),
        *transfer_routes(parts),
        *why_routes(parts),
        *report_routes(parts, hub),
    ]


class Dashboard:
    """Handler of the requests that `mount.mounted_routes` passes on."""

    def __init__(self, parts: DashboardParts) -> None:
        # Origins that the app's CORS rules allow may call its functions, but change nothing here.
        self._callers = CallerRules.of(replace(parts.configuration, cors=None))
        self._routes = api_routes(parts)

    def serve_file(self, call: HttpCall) -> web.Response:
        """Return a file of the pages; 404 if there is none."""
        name = call.values.get("file")
        if name is None:
            # The URLs in index.html are relative, so that the pages work below any path.
            if not call.path.endswith("/"):
                last = call.path.rpartition("/")[2]
                return web.Response(status=307, headers={"Location": f"{last}/", **_HEADERS})
            name = "index.html"
        file = (_FILES / name.removeprefix("static/")).resolve()
        content_type = _TYPES.get(file.suffix)
        if content_type is None or not file.is_relative_to(_FILES.resolve()) or not file.is_file():
            return web.Response(status=404, headers=_HEADERS)
        content = file.read_bytes()
        tag = hashlib.sha256(content).hexdigest()[:32]
        headers = {**_HEADERS, "ETag": f'"{tag}"'}
        if any(known.value == tag for known in call.request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=headers)

    async def call_api(self, call: HttpCall) -> web.StreamResponse:
        """Answer a request of the API; errors are JSON objects with `error`."""
        if (refusal := self._callers.refusal(call.request, also_reads=True)) is not None:
            return refusal
        path = split_path("/" + call.values.get("endpoint", ""))
        # Browsers resolve the segments . and .., however they are encoded, so an instance id like that is a parameter.
        if path is not None and (dots := call.request.query.get("dots")) in (".", ".."):
            path = [dots if segment == "-" else segment for segment in path]
        matched = first_match(self._routes, call.request.method.upper(), path) if path is not None else None
        if matched is None:
            return self._answered(error_response(404, f"The dashboard has no {call.request.method} {call.path}."))
        route, values = matched
        try:
            response = await route.handler(HttpCall(request=call.request, path=call.path, values=values))
        except (BodyTooLarge, BodyBroken):
            raise
        except Exception as error:
            response = error_response(*error_members(error, call.path))
        return self._answered(response)

    def _answered(self, response: web.StreamResponse) -> web.StreamResponse:
        # A stream has been sent with its own headers already.
        if not response.prepared:
            response.headers.setdefault("Cache-Control", "no-store")
            response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response
