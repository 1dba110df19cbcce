"""The endpoints under entities/: read, list, signal.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.14 to 2.16.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from emulator.dotnet.json_reader import JsonReaderError, lenient_value, read_first
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.dotnet.query_values import parse_bool, parse_datetime
from emulator.durable.client import DurableClient, EntityQuery, EntityStatus
from emulator.durable.core.identity import EntityId, FunctionKind
from emulator.durable.tracing.writing import entity as entity_line
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.hubs import SelectedHub
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    empty,
    json_answer,
    message_answer,
)
from emulator.extensions.durable.management.paging import page_headers, read_paging
from emulator.extensions.durable.management.starts_api import has_forbidden_characters

_EMPTY_KEY = "$"
_log = logging.getLogger(__name__)


class EntitiesApi:
    def __init__(self, functions: DurableFunctions) -> None:
        self._functions = functions

    async def get(self, request: ApiRequest, client: DurableClient, name: str, key: str) -> web.Response:
        state = await client.entity_state(EntityId(name.lower(), "" if key == _EMPTY_KEY else key))
        return empty(404) if state is None else json_answer(200, lenient_value(state))

    async def query(self, request: ApiRequest, client: DurableClient, name: str | None) -> web.Response:
        query, paging = request.query, read_paging(request)
        if paging.limit == 0:
            return json_answer(200, [], page_headers(paging.unmoved))
        page = await client.query_entities(
            EntityQuery(
                name=name.lower() if name is not None else None,
                last_operation_from=parse_datetime(query.get("lastOperationTimeFrom")),
                last_operation_to=parse_datetime(query.get("lastOperationTimeTo")),
                with_state=parse_bool(query.get("fetchState")) is True,
                limit=paging.limit,
                continuation=paging.continuation,
            )
        )
        return json_answer(200, [_listed(entity) for entity in page.entities], page_headers(page.continuation))

    async def signal(
        self, request: ApiRequest, hub: SelectedHub, name: str | None, key: str | None, operation: str
    ) -> web.Response:
        try:
            entity = self._addressed(hub, name, key)
        except InvalidArgument as error:
            # Unlike all other endpoints, this one shows nothing but the message.
            return message_answer(400, str(error))
        try:
            operation_input = _operation_input(request)
        except JsonReaderError as error:
            return message_answer(400, f"Could not parse JSON content: {error}")
        _warn_of_plain_input(entity, operation, operation_input)
        await hub.client.signal_entity(entity, operation, operation_input)
        hub.lifecycle.scheduled(entity_line(entity), f"EntitySignal:{operation}")
        return empty(202)

    async def clean(self, request: ApiRequest, client: DurableClient) -> web.Response:
        cleaned = await client.clean_entities(
            remove_empty=parse_bool(request.query.get("removeEmptyEntities")) is not False,
            release_locks=parse_bool(request.query.get("releaseOrphanedLocks")) is not False,
        )
        answer = {
            "numberOfEmptyEntitiesRemoved": cleaned.empty_removed,
            "numberOfOrphanedLocksRemoved": cleaned.locks_released,
        }
        return json_answer(200, answer)

    def _addressed(self, hub: SelectedHub, name: str | None, key: str | None) -> EntityId:
        """Raises InvalidArgument."""
        entity = _entity(name, key)
        if hub.is_own and (why := self._functions.missing(FunctionKind.ENTITY, entity.name)):
            raise InvalidArgument(why)
        return entity


def _entity(name: str | None, key: str | None) -> EntityId:
    """Raises InvalidArgument in the extension's words (whose arguments are swapped)."""
    if not name:
        raise InvalidArgument(
            "Invalid entity id: entity name must not be a null or empty string. (Parameter 'entityName')"
        )
    if has_forbidden_characters(key or ""):
        raise InvalidArgument(
            "entityKey (Parameter 'Entity keys must not contain /, \\, #, ?, or control characters.')"
        )
    return EntityId(name.lower(), key or "")


def _operation_input(request: ApiRequest) -> str | None:
    """The operation's input as JSON text: a JSON body's value, or any other body as a string."""
    if not request.body:
        return None
    if request.media_type == "application/json":
        return newtonsoft_text(read_first(request.text))
    return newtonsoft_text(request.text)


def _warn_of_plain_input(entity: EntityId, operation: str, operation_input: str | None) -> None:
    """What azure-functions-durable 1.7.0 cannot read: `get_input` of an entity loads JSON twice."""
    if operation_input is None or operation_input == "null" or operation_input.startswith('"'):
        return
    _log.warning(
        'The operation "%s" of %s was sent plain JSON. get_input() of azure-functions-durable raises TypeError for it; '
        "send a JSON string that holds the JSON text.",
        operation,
        entity.instance_id,
    )


def _listed(entity: EntityStatus) -> dict[str, Any]:
    return {
        "entityId": {"name": entity.entity.name, "key": entity.entity.key},
        "lastOperationTime": entity.last_operation_at.text,
        "state": lenient_value(entity.state),
    }
