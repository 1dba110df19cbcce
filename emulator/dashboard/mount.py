"""Routes at which the web server serves the dashboard, whose other modules are loaded at the first request.

routes = mounted_routes("azemu", lambda: DashboardParts(…))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from emulator.host.http.keys.authorization import AdminApi, Anonymous
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.routing.templates import parse_template

if TYPE_CHECKING:
    from emulator.dashboard.parts import DashboardParts
    from emulator.dashboard.site import Dashboard


def mounted_routes(path: str, parts: Callable[[], DashboardParts]) -> list[Route]:
    """Return the routes below `/path`. `path`: one segment. `parts`: called at the first request."""

    # Once: the dashboard keeps an index of the instances.
    @cache
    def dashboard() -> Dashboard:
        # Few runs of a host need it, and `azemu start` should not wait for its modules.
        from emulator.dashboard.site import Dashboard

        return Dashboard(parts())

    async def call_api(call: HttpCall) -> web.StreamResponse:
        return await dashboard().call_api(call)

    async def serve_file(call: HttpCall) -> web.StreamResponse:
        return dashboard().serve_file(call)

    # The pages contain nothing of the app, and ask for the key themselves. The API needs the master key.
    return [
        Route(
            name=f"/{path}/api",
            template=parse_template(f"{path}/api/{{*endpoint}}"),
            methods=None,
            access=AdminApi(),
            handler=call_api,
        ),
        *(
            Route(
                name=f"GET /{template}",
                template=parse_template(template),
                methods=("GET", "HEAD"),
                access=Anonymous(),
                handler=serve_file,
            )
            for template in (path, f"{path}/{{*file}}")
        ),
    ]
