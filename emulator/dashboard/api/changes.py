"""Endpoint `changes`: events that tell the pages when to load their data again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiohttp import web

from emulator.dashboard.event_stream import pause, send_events
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import endpoint
from emulator.host.http.routing.routes import HttpCall, Route


def changes_routes(parts: DashboardParts) -> list[Route]:
    """Return the endpoint. Its events are `{"version": N}`, one after each invocation or line of the log."""

    async def versions() -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        recording = parts.recording
        version = recording.version
        while True:
            await recording.wait_for_change(version)
            version = recording.version
            yield [{"version": version}]
            # A busy host changes its recording thousands of times in a second.
            await pause()

    async def changes(call: HttpCall) -> web.StreamResponse:
        return await send_events(call, parts, versions())

    return [endpoint("GET", "changes", changes)]
