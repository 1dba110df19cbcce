"""Endpoints of the page Entities: a list with state, lock and queue, and one entity."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from emulator.dashboard.durable.task_hub import DashboardHub
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, endpoint, number_of, utc_text
from emulator.durable.core.entities.scheduler import SchedulerState
from emulator.durable.core.identity import EntityId, FunctionKind
from emulator.durable.hub import InstanceQuery, InstanceStatus
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route

_PAGE: Final = 100
_LARGEST_PAGE: Final = 500
# Characters: the beginning of each state in the list, and what the page of one entity shows.
_STATE_LIMIT: Final = 300
_WHOLE_STATE_LIMIT: Final = 1_000_000
_QUEUE_LIMIT: Final = 100


def entities_routes(parts: DashboardParts, hub: DashboardHub) -> list[Route]:
    """Return the endpoints of the page Entities."""
    api = _Entities(parts, hub)
    return [endpoint("GET", "entities", api.page), endpoint("GET", "entity", api.entity)]


class _Entities:
    def __init__(self, parts: DashboardParts, hub: DashboardHub) -> None:
        self._parts = parts
        self._hub = hub

    async def page(self, call: HttpCall) -> web.Response:
        """Return a page of entities in the order of their ids.

        `name`: only entities of this name. `key`: part of the key. `continuation`: of the page before.
        """
        query = call.request.query
        limit = number_of(call, "limit", _PAGE, highest=_LARGEST_PAGE)
        # The ids of entities have the name in lower case.
        name, key = query.get("name", "").lower(), query.get("key", "")
        page = await self._hub.reader.tables.query(
            InstanceQuery(
                entities_only=True,
                entity_name=name or None,
                with_output=False,
                limit=max(limit, 1),
                continuation=query.get("continuation") or None,
            )
        )
        entities = [_members(status, _STATE_LIMIT) for status in page.instances]
        return json_response(
            {
                # Storage cannot search for a part of a key, so a page may have fewer entities than its limit.
                "entities": [entity for entity in entities if key in entity["key"]],
                "continuation": page.continuation,
                "names": self._hub.function_names(FunctionKind.ENTITY),
                "now": utc_text(self._parts.clock.now()),
            }
        )

    async def entity(self, call: HttpCall) -> web.Response:
        """Return one entity with its whole state and its queue. `id`: @name@key."""
        entity_id = EntityId.parse(call.request.query.get("id", ""))
        if entity_id is None:
            raise ApiError(400, "The parameter id must be the id of an entity, such as @counter@key.")
        status = await self._hub.reader.tables.status(entity_id.instance_id)
        if status is None:
            raise ApiError(404, f'There is no entity with the id "{entity_id.instance_id}" in this task hub.')
        return json_response({**_members(status, _WHOLE_STATE_LIMIT), "now": utc_text(self._parts.clock.now())})


def _members(status: InstanceStatus, state_limit: int) -> dict[str, Any]:
    entity = EntityId.parse(status.instance_id) or EntityId("", status.instance_id)
    try:
        scheduler = SchedulerState.parse(status.input)
    except ValueError:
        # A row of another program. The raw rows of its instance show what is stored.
        scheduler = SchedulerState()
    state = scheduler.state
    return {
        "instanceId": status.instance_id,
        "name": entity.name,
        "key": entity.key,
        "exists": scheduler.exists,
        "state": None if state is None else {"text": state[:state_limit], "length": len(state)},
        "lockedBy": scheduler.locked_by,
        "queue": [
            {
                "operation": request.operation or "lock",
                "isSignal": request.is_signal,
                "parent": request.parent,
                "input": None if request.input is None else request.input[:_STATE_LIMIT],
            }
            # A locked entity may have thousands of waiting operations.
            for request in scheduler.queue[:_QUEUE_LIMIT]
        ],
        "queueLength": len(scheduler.queue),
        "createdAt": status.created_at.text,
        "updatedAt": status.last_updated_at.text,
    }
