"""Endpoint of `azemu report`: storage requests and executions of this run, and their estimated price on Azure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from aiohttp import web

from emulator.dashboard.durable.task_hub import DashboardHub
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import endpoint, number_of, utc_text
from emulator.durable.core.identity import is_entity
from emulator.durable.hub import InstanceQuery
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.instant import Instant
from emulator.report.idle import idle_requests
from emulator.report.prices import prices
from emulator.report.usage import DEFAULT_MEMORY, Usage, report_members

_MAX_MEMORY: Final = 16384
_PAGE: Final = 1000


def report_routes(parts: DashboardParts, hub: DashboardHub) -> list[Route]:
    """Return the endpoint `report`, with the parameter `memory`: MB of an execution."""

    async def report(call: HttpCall) -> web.Response:
        memory = number_of(call, "memory", DEFAULT_MEMORY, highest=_MAX_MEMORY)
        now, functions, is_durable = parts.clock.now(), parts.host.catalog.functions, parts.is_durable
        usage = Usage(
            requests=parts.requests.numbers,
            names=parts.hub_names if is_durable else None,
            recording=parts.recording,
            functions=functions,
            orchestrations=await _started_orchestrations(hub, parts.started_at) if is_durable else 0,
        )
        idle = idle_requests(functions, parts.configuration.host, parts.durable_options if is_durable else None)
        return json_response(
            {
                "app": parts.configuration.root.name,
                "startedAt": utc_text(parts.started_at),
                "now": utc_text(now),
                "seconds": round((now - parts.started_at).total_seconds(), 3),
                **report_members(usage, idle, prices(), memory=memory),
            }
        )

    return [endpoint("GET", "report", report)]


async def _started_orchestrations(hub: DashboardHub, since: datetime) -> int:
    # From the task hub: the recording has runs, and an orchestrator runs once for each episode.
    query = InstanceQuery(created_from=Instant.of(since), with_input=False, with_output=False, limit=_PAGE)
    number = 0
    async for page in hub.reader.tables.pages(query):
        # Entities have rows in the same table.
        number += sum(not is_entity(status.instance_id) for status in page.instances)
    return number
