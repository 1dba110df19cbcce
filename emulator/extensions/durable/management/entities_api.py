"""Entity endpoints of the durable HTTP API: read, list, signal, clean up.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.14 to 2.16.
"""

from __future__ import annotations

from aiohttp import web

from emulator.dotnet.json_reader import JsonReaderError, lenient_value, read_first
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.dotnet.query_values import parse_bool, parse_datetime
from emulator.durable.client import DurableClient, EntityQuery
from emulator.durable.core.identity import EntityId, FunctionKind
from emulator.durable.tracing.hub_log import entity_label
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.hubs import SelectedHub
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    empty_response,
    json_response,
    message_response,
)
from emulator.extensions.durable.management.list_query import checked_pages, page_headers, read_paging
from emulator.extensions.durable.management.plain_input import operation_input_problem
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.extensions.durable.management.routing import CleanEntities, Entities
from emulator.extensions.durable.management.starts_api import check_storable, has_forbidden_characters
from emulator.logs import get_logger

# A path cannot have an empty segment, so the empty entity key has this placeholder.
_EMPTY_KEY = "$"
_log = get_logger(__name__)


class EntitiesApi:
    """Handlers of the entity endpoints."""

    def __init__(self, profile: HttpProfile, functions: DurableFunctions) -> None:
        self._profile = profile
        self._functions = functions

    async def handle(self, request: ApiRequest, hub: SelectedHub, target: Entities | CleanEntities) -> web.Response:
        """Respond to a request for entities; 404 for other methods than those of the endpoint."""
        match request.method, target:
            case "GET", Entities(str(name), str(key)):
                return await self.get(hub.client, name, key)
            case "GET", Entities(name, _):
                with checked_pages(self._profile):
                    return await self.query(request, hub.client, name)
            case "POST", Entities(name, key):
                return await self.signal(request, hub, name, key, request.query.get("op") or "")
            case "DELETE", Entities(name, key):
                # Deleting an entity is an operation that the entity processes, like any other.
                return await self.signal(request, hub, name, key, "delete")
            case "POST", CleanEntities() if self._profile.cleans_entities:
                return await self.clean(request, hub.client)
        return empty_response(404)

    async def get(self, client: DurableClient, name: str, key: str) -> web.Response:
        """Return the state of an entity."""
        entity = EntityId(name.lower(), "" if key == _EMPTY_KEY else key)
        check_storable(entity.instance_id)
        state = await client.entity_state(entity)
        return empty_response(404) if state is None else json_response(200, lenient_value(state))

    async def query(self, request: ApiRequest, client: DurableClient, name: str | None) -> web.Response:
        """Return a page of entities. `name`: only entities of this name; None: all."""
        query, paging = request.query, read_paging(request)
        # Storage accepts no page without rows.
        if paging.limit == 0:
            return json_response(200, [], page_headers(paging.same_page))
        page = await client.query_entities(
            EntityQuery(
                # Entity names are stored in lower case; entity keys keep their case.
                name=name.lower() if name is not None else None,
                last_operation_from=parse_datetime(query.get("lastOperationTimeFrom")),
                last_operation_to=parse_datetime(query.get("lastOperationTimeTo")),
                with_state=parse_bool(query.get("fetchState")) is True,
                limit=paging.limit,
                continuation=paging.continuation,
            )
        )
        items = [
            {
                "entityId": {"name": status.entity.name, "key": status.entity.key},
                "lastOperationTime": status.last_operation_at.text,
                "state": lenient_value(status.state),
            }
            for status in page.entities
        ]
        return json_response(200, items, page_headers(page.continuation))

    async def signal(
        self, request: ApiRequest, hub: SelectedHub, name: str | None, key: str | None, operation: str
    ) -> web.Response:
        """Send an operation to an entity."""
        operation_input: str | None = None
        value: object = None
        try:
            entity = self._entity_id(hub, name, key)
            if request.text:
                is_json = request.media_type == "application/json"
                value = read_first(request.text) if is_json else request.text
                # The value is stored as Newtonsoft.Json writes it, not as the text of the request.
                operation_input = newtonsoft_text(value)
        except InvalidArgument as error:
            # The durable SDK tells its caller only the status.
            _log.warning(
                'The operation "%s" of the entity %s with the key %s is refused: %s', operation, name, key, error
            )
            # Unlike all other endpoints this one responds with the message only.
            return message_response(400, str(error))
        except JsonReaderError as error:
            return message_response(400, f"Could not parse JSON content: {error}")
        if problem := operation_input_problem(value):
            _log.warning('The operation "%s" of %s was sent with a %s', operation, entity.instance_id, problem)
        # The entity need not exist: its first operation creates it.
        await hub.client.signal_entity(entity, operation, operation_input)
        hub.lifecycle.scheduled(entity_label(entity), f"EntitySignal:{operation}")
        return empty_response(202)

    async def clean(self, request: ApiRequest, client: DurableClient) -> web.Response:
        """Remove empty entities and release orphaned locks, as CleanEntityStorageAsync of the .NET client does."""
        cleaned = await client.clean_entities(
            remove_empty=parse_bool(request.query.get("removeEmptyEntities")) is not False,
            release_locks=parse_bool(request.query.get("releaseOrphanedLocks")) is not False,
        )
        counts = {
            "numberOfEmptyEntitiesRemoved": cleaned.empty_removed,
            "numberOfOrphanedLocksRemoved": cleaned.locks_released,
        }
        return json_response(200, counts)

    def _entity_id(self, hub: SelectedHub, name: str | None, key: str | None) -> EntityId:
        """Return a valid id of an existing entity function. Raises InvalidArgument with a message of the extension."""
        if not name:
            raise InvalidArgument(
                "Invalid entity id: entity name must not be a null or empty string. (Parameter 'entityName')"
            )
        # The extension swaps message and parameter name of this exception; clients may compare the text.
        if has_forbidden_characters(key or ""):
            raise InvalidArgument(
                "entityKey (Parameter 'Entity keys must not contain /, \\, #, ?, or control characters.')"
            )
        # The functions of another app's task hub are unknown here.
        if hub.is_own and (problem := self._functions.missing(FunctionKind.ENTITY, name.lower())):
            raise InvalidArgument(problem)
        entity = EntityId(name.lower(), key or "")
        check_storable(entity.instance_id)
        return entity
