"""Endpoints that explain why instances do not progress: one, or all that have not ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from aiohttp import web

from emulator.dashboard.event_stream import send_events
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, endpoint, number_of
from emulator.diagnosis.diagnosis import GROUP, Diagnosis
from emulator.diagnosis.opening import open_diagnosis, running_host
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route

_MOST_AT_ONCE = 1000


def why_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoints `why` and `why/{instanceId}`."""
    api = _Why(parts)
    return [endpoint("GET", "why", api.all), endpoint("GET", "why/{*instance}", api.one)]


class _Why:
    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts

    def _diagnosis(self) -> Diagnosis:
        parts = self._parts
        host = running_host(parts.host, parts.worker, parts.configuration.root)
        # Nothing can wait, and there may be no storage to look into.
        if host.services is None:
            raise ApiError(404, "The app has no durable functions.")
        return open_diagnosis(parts.durable_options, parts.accounts, parts.clock, host=host)

    async def all(self, call: HttpCall) -> web.StreamResponse:
        """Explain the orchestrations that have not ended, the most urgent first. `limit`: this many at most.

        `stream=true`: all of them, as events that are sent while others are still explained.
        """
        limit = number_of(call, "limit", GROUP, highest=_MOST_AT_ONCE)
        diagnosis = self._diagnosis()
        if call.request.query.get("stream", "").lower() == "true":
            return await send_events(call, self._parts, _members(diagnosis))
        return json_response((await diagnosis.why_all(max(limit, 1))).json())

    async def one(self, call: HttpCall) -> web.Response:
        """Explain one instance. One that does not exist is explained, too."""
        return json_response((await self._diagnosis().why(call.values["instance"])).json())


async def _members(diagnosis: Diagnosis) -> AsyncIterator[Iterable[Mapping[str, Any]]]:
    async for group in diagnosis.groups():
        yield [explanation.json() for explanation in group]
