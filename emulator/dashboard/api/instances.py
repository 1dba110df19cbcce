"""Endpoints of the page Instances: a list that is filtered, sorted and live, and the search in payloads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from emulator.dashboard.durable.instance_index import SORT_KEYS, Entry, InstanceIndex, Selection
from emulator.dashboard.durable.payload_search import search_payloads
from emulator.dashboard.durable.task_hub import DashboardHub
from emulator.dashboard.event_stream import send_events
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, endpoint, number_of, utc_text
from emulator.durable.core.identity import FunctionKind, RuntimeStatus
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.instant import Instant

# A request answers with what has been read of the table after this time.
_READING_TIME: Final = timedelta(milliseconds=150)
# Seconds. Short, because lists are incomplete until the whole table has been read.
_PAUSE_WHILE_READING: Final = 0.05
_LARGEST_PAGE: Final = 500
_LAST_PAGE: Final = 1_000_000


def instances_routes(parts: DashboardParts, hub: DashboardHub) -> list[Route]:
    """Return the endpoints of the page Instances."""
    api = _Instances(parts, hub)
    return [
        endpoint("GET", "instances", api.page),
        endpoint("GET", "instances-changes", api.changes),
        endpoint("GET", "instances-search", api.search),
    ]


class _Instances:
    def __init__(self, parts: DashboardParts, hub: DashboardHub) -> None:
        self._parts = parts
        self._hub = hub

    async def page(self, call: HttpCall) -> web.Response:
        """Return a page of the selected instances, with counts by status and the names of all orchestrators."""
        query = call.request.query
        selection = read_selection(query)
        sort = query.get("sort", "updated")
        if sort not in SORT_KEYS:
            raise ApiError(400, f"The parameter sort must be one of {', '.join(SORT_KEYS)}, not '{sort[:50]}'.")
        limit = number_of(call, "limit", 50, highest=_LARGEST_PAGE)
        skip = number_of(call, "skip", 0, highest=_LAST_PAGE)
        index = self._hub.index
        # A deletion leaves no trace in the table, so the page asks for it after its own purges.
        if "reread" in query:
            index.read_again()
        await index.refresh(at_most=_READING_TIME)
        listing = index.page(selection, sort=sort, descending=query.get("order") != "asc", skip=skip, limit=limit)
        return json_response(
            {
                "instances": [entry_members(entry) for entry in listing.entries],
                "total": listing.total,
                "counts": listing.counts,
                "names": list(listing.names),
                "orchestrators": self._hub.function_names(FunctionKind.ORCHESTRATOR),
                "now": utc_text(self._parts.clock.now()),
                **_progress(index),
            }
        )

    async def changes(self, call: HttpCall) -> web.StreamResponse:
        """Send an event when the list has changed since the version of the parameter `version`."""
        known = number_of(call, "version", 0, highest=10**11)

        async def batches() -> AsyncIterator[list[Mapping[str, Any]]]:
            index = self._hub.index
            sent: Mapping[str, Any] = {"version": known}
            yield []
            while True:
                # Every viewer asks, but the index reads once for all of them.
                await index.refresh(at_most=_READING_TIME)
                if sent["version"] != index.version:
                    sent = _progress(index)
                    yield [sent]
                await self._hub.wait_for_next_look(None if index.is_complete else _PAUSE_WHILE_READING)

        return await send_events(call, self._parts, batches())

    async def search(self, call: HttpCall) -> web.StreamResponse:
        """Send the selected instances whose input, output or custom status contain the parameter `payload`."""
        text = call.request.query.get("payload", "")
        if not text:
            raise ApiError(400, "The parameter payload must have the text to search for.")
        selection = read_selection(call.request.query)

        async def batches() -> AsyncIterator[list[Mapping[str, Any]]]:
            yield []
            async for found in search_payloads(self._hub.reader.tables.instance_rows, text, selection):
                yield [
                    *({"match": entry_members(entry), "place": place} for entry, place in found.matches),
                    {"searched": found.searched, "ended": found.ended},
                ]

        return await send_events(call, self._parts, batches())


def entry_members(entry: Entry) -> dict[str, Any]:
    """Return the JSON object of an instance in a list."""
    return {
        "instanceId": entry.instance_id,
        "name": entry.name,
        "status": entry.status,
        "createdAt": entry.created_at.text,
        "updatedAt": entry.updated_at.text,
        "completedAt": None if entry.completed_at is None else entry.completed_at.text,
        "scheduledAt": None if entry.scheduled_at is None else entry.scheduled_at.text,
        "parent": entry.parent or None,
    }


def read_selection(query: Mapping[str, str]) -> Selection:
    """Read the filter of a list. `status` and `name` are lists with commas. Raises ApiError."""
    statuses = frozenset(filter(None, query.get("status", "").split(",")))
    for status in statuses:
        if RuntimeStatus.from_wire_name(status) is None:
            raise ApiError(400, f"'{status[:50]}' is not a status of an instance.")
    return Selection(
        statuses=statuses,
        names=frozenset(filter(None, query.get("name", "").split(","))),
        prefix=query.get("prefix", ""),
        text=query.get("text", ""),
        created_from=_time(query, "from"),
        created_to=_time(query, "to"),
        roots_only=query.get("roots") == "true",
    )


def _time(query: Mapping[str, str], name: str) -> Instant | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return Instant.parse(text)
    except ValueError:
        raise ApiError(400, f"The parameter {name} must be a time such as 2026-11-30T12:00:00Z.") from None


def _progress(index: InstanceIndex) -> dict[str, Any]:
    return {"version": index.version, "isComplete": index.is_complete, "read": len(index), "isCut": index.is_cut}
