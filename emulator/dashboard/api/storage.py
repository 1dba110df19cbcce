"""Endpoints of the page Storage: connections, and queues, tables and containers of their accounts.

All have the parameter `connection`, the name of a connection setting; default: that of AzureWebJobsStorage.
"""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web

from emulator.dashboard.api.storage_accounts import connection_names
from emulator.dashboard.api.storage_blobs import Blobs
from emulator.dashboard.api.storage_queues import Queues
from emulator.dashboard.api.storage_tables import Tables
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import endpoint
from emulator.errors import ConfigurationError
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route


def storage_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints below `storage`."""
    queues, tables, blobs = Queues(parts), Tables(parts), Blobs(parts)

    async def connections(call: HttpCall) -> web.Response:
        found = []
        for name in connection_names(parts):
            with suppress(ConfigurationError):
                found.append(
                    {
                        "name": name,
                        "description": parts.accounts(name).description,
                        "isLocal": parts.accounts.is_emulated(name),
                        "mayWrite": parts.may_write(name),
                    }
                )
        return json_response({"connections": found})

    return [
        endpoint("GET", "storage/connections", connections),
        endpoint("GET", "storage/queues", queues.list),
        endpoint("GET", "storage/queues/{name}/messages", queues.messages),
        endpoint("POST", "storage/queues/{name}/messages", queues.put),
        endpoint("DELETE", "storage/queues/{name}/messages/{id}", queues.delete),
        endpoint("POST", "storage/queues/{name}/requeue", queues.requeue),
        endpoint("GET", "storage/tables", tables.list),
        endpoint("GET", "storage/tables/{name}/rows", tables.rows),
        endpoint("GET", "storage/containers", blobs.containers),
        endpoint("GET", "storage/containers/{name}/blobs", blobs.list),
        endpoint("GET", "storage/containers/{name}/blob", blobs.preview),
        endpoint("GET", "storage/containers/{name}/download", blobs.download),
    ]
