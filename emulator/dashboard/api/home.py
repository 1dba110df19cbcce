"""Endpoints of the page Home: the state of the host, its storage, its task hub and its queues."""

from __future__ import annotations

import platform

from aiohttp import web

from emulator import __version__
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import endpoint, utc_text
from emulator.errors import ConfigurationError
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route


def home_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints of the page Home."""

    async def state(call: HttpCall) -> web.Response:
        host, configuration = parts.host, parts.configuration
        try:
            storage = parts.accounts(DEFAULT_CONNECTION).description
        except ConfigurationError:
            storage = None
        return json_response(
            {
                "state": host.status.state.value,
                "errors": list(host.load_errors),
                "app": configuration.root.name,
                "folder": str(configuration.root),
                "version": __version__,
                "python": platform.python_version(),
                "port": parts.port,
                "startedAt": utc_text(parts.started_at),
                "now": utc_text(parts.clock.now()),
                "storage": storage,
                "storageIsLocal": parts.accounts.is_emulated(DEFAULT_CONNECTION),
                "mayWrite": parts.may_write(),
                "taskHub": parts.durable_options.hub_name,
                "functions": len(host.catalog.functions),
                "startedInvocations": host.started_invocations,
            }
        )

    return [endpoint("GET", "home", state)]
