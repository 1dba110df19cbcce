"""Instance endpoints of the durable HTTP API: status, list, purge, raise event, terminate, suspend, resume, rewind.

The order of checks is that of the extension, because it decides which error a request with two of them gets.
Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.6 to 2.11.
"""

from __future__ import annotations

from aiohttp import web

from emulator.dotnet.json_reader import JsonReaderError, read_first
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.dotnet.query_values import parse_bool, parse_datetime
from emulator.durable.client import CannotChangeState, DurableClient, InstanceFinished, NotPurgeable, NotRewindable
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.durable.hub import InstanceNotFound, InstanceQuery, PurgeFilter
from emulator.durable.tracing.hub_log import orchestrator_label
from emulator.extensions.durable.hubs import SelectedHub
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    empty_response,
    json_error_response,
    json_response,
    message_response,
    server_error_response,
)
from emulator.extensions.durable.management.list_query import checked_pages, page_headers, read_paging, read_statuses
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.extensions.durable.management.routing import Event, Instance, Instances, Operation
from emulator.extensions.durable.management.starts_api import check_storable
from emulator.extensions.durable.management.status_payload import full_status_payload, status_payload
from emulator.logs import get_logger

LIFECYCLE = ("terminate", "suspend", "resume")

_log = get_logger(__name__)


class InstancesApi:
    """Handlers of the instance endpoints.

    `strict_purge`: reject a purge whose filter by status would be ignored.
    """

    def __init__(self, profile: HttpProfile, *, strict_purge: bool) -> None:
        self._profile = profile
        self._strict_purge = strict_purge

    async def handle(
        self, request: ApiRequest, hub: SelectedHub, target: Instances | Instance | Operation | Event
    ) -> web.Response:
        """Respond to a request for instances; 404 for other methods than those of the endpoint."""
        if not isinstance(target, Instances):
            check_storable(target.instance_id)
        match request.method, target:
            case "GET", Instances():
                with checked_pages(self._profile):
                    return await self.query(request, hub.client)
            case "DELETE", Instances():
                return await self.purge_many(request, hub.client)
            case "GET", Instance(instance_id):
                return await self.get(request, hub.client, instance_id)
            case "DELETE", Instance(instance_id):
                return await self.purge(hub.client, instance_id)
            case "POST", Operation(instance_id, "rewind"):
                return await self.rewind(request, hub, instance_id)
            case "POST", Operation(instance_id, operation) if operation in LIFECYCLE:
                return await self.lifecycle(request, hub, instance_id, operation)
            case "POST", Event(instance_id, name):
                return await self.raise_event(request, hub, instance_id, name)
        return empty_response(404)

    async def get(self, request: ApiRequest, client: DurableClient, instance_id: str) -> web.Response:
        """Return the status of an instance."""
        show_input = parse_bool(request.query.get("showInput")) is not False
        status = await client.status(instance_id, with_input=show_input)
        if status is None:
            return empty_response(404)
        payload = await full_status_payload(client, status, request.query)
        match status.runtime_status:
            case None:
                # A status that this version does not know, written by a newer extension.
                _log.error("Unknown runtime state of instance %s.", instance_id)
                return json_response(500, payload)
            # A failed instance is a successful status query, unless the caller asks for an error.
            case RuntimeStatus.FAILED if parse_bool(request.query.get("returnInternalServerErrorOnFailure")):
                return json_response(500, payload)
            case ended if ended.is_terminal:
                return json_response(200, payload)
        # The same URL with its query, so that a client that follows Location keeps parameters such as showInput.
        return json_response(202, payload, {"Location": request.url, "Retry-After": "5"})

    async def query(self, request: ApiRequest, client: DurableClient) -> web.Response:
        """Return a page of instances."""
        query, paging = request.query, read_paging(request)
        status_filter = read_statuses(query.all("runtimeStatus"))
        if status_filter.has_unknown:
            # Unknown is a member of the extension's enum, but not of the one that it is converted to.
            raise InvalidArgument("Requested value 'Unknown' was not found.")
        # Nothing is read in these cases: storage accepts no page without rows, and no row has such a status.
        if paging.limit == 0:
            return json_response(200, [], page_headers(paging.same_page))
        if status_filter.matches_nothing:
            return json_response(200, [], page_headers(None))
        show_input = parse_bool(query.get("showInput")) is not False
        page = await client.query(
            InstanceQuery(
                prefix=query.get("instanceIdPrefix") or None,
                created_from=parse_datetime(query.get("createdTimeFrom")),
                created_to=parse_datetime(query.get("createdTimeTo")),
                statuses=status_filter.statuses,
                with_input=show_input,
                limit=paging.limit,
                continuation=paging.continuation,
            )
        )
        items = [status_payload(status, show_input=show_input) for status in page.instances]
        return json_response(200, items, page_headers(page.continuation))

    async def purge(self, client: DurableClient, instance_id: str) -> web.Response:
        """Delete a finished instance."""
        try:
            result = await client.purge(instance_id)
        except InstanceNotFound:
            return empty_response(404)
        # Body is a JSON string here and for rewind, not an object with Message.
        except NotPurgeable as error:
            return json_response(412, str(error))
        return json_response(200, {"instancesDeleted": result.instances})

    async def purge_many(self, request: ApiRequest, client: DurableClient) -> web.Response:
        """Delete instances by creation time and status."""
        query = request.query
        created_from = parse_datetime(query.get("createdTimeFrom"))
        # Required by the extension: a purge by status alone does not exist.
        if created_from is None:
            return json_response(400, "Please provide value for 'createdTimeFrom' parameter.")
        requested = query.all("runtimeStatus")
        statuses = read_statuses(requested).statuses
        # The storage provider drops statuses that are not terminal from the filter. If none is left it filters by time
        # only, and deletes running instances and entities too.
        if requested and not any(status.is_terminal for status in statuses):
            if self._strict_purge:
                raise InvalidArgument(
                    f"runtimeStatus={','.join(requested)} names no status of a finished instance, so the purge would "
                    "delete everything in the time window."
                )
            _log.warning(
                "The purge with runtimeStatus=%s names no status of a finished instance. As in Azure it deletes all "
                "instances and entities in the time window, running ones included.",
                ",".join(requested),
            )
        result = await client.purge_many(
            PurgeFilter(
                created_from=created_from,
                created_to=parse_datetime(query.get("createdTimeTo")),
                statuses=statuses,
            )
        )
        # Nothing to delete is 404, although the request is a filter and not an instance.
        return json_response(200, {"instancesDeleted": result.instances}) if result.instances else empty_response(404)

    async def raise_event(self, request: ApiRequest, hub: SelectedHub, instance_id: str, name: str) -> web.Response:
        """Send an external event to an instance."""
        try:
            status = await hub.client.active(instance_id)
        except InstanceNotFound:
            return empty_response(404)
        except InstanceFinished:
            return empty_response(410)
        # Checked after the instance: an event without content type for a finished instance is 410.
        if request.media_type != "application/json":
            return message_response(400, "Only application/json request content is supported")
        try:
            # The value is stored as Newtonsoft.Json writes it, not as the text of the request.
            event_input = newtonsoft_text(read_first(request.text))
        except JsonReaderError as error:
            return json_error_response(error)
        await hub.client.raise_event(instance_id, name, event_input)
        hub.lifecycle.scheduled(orchestrator_label(instance_id, status.name), f"RaiseEvent:{name}")
        return empty_response(202)

    async def lifecycle(self, request: ApiRequest, hub: SelectedHub, instance_id: str, operation: str) -> web.Response:
        """Terminate, suspend or resume an instance."""
        if self._profile.refuses_entity_lifecycle and is_entity(instance_id):
            raise InvalidArgument(f"{instance_id} is an entity. Only orchestrations support the operation {operation}.")
        client = hub.client
        # The message is only sent here. The instance changes its state when it processes it, hence 202.
        send = {"terminate": client.terminate, "suspend": client.suspend, "resume": client.resume}[operation]
        reason = request.query.get("reason")
        try:
            status = await send(instance_id, reason)
        except InstanceNotFound:
            return empty_response(404)
        except (InstanceFinished, CannotChangeState) as error:
            if error.status.runtime_status is not None:
                hub.lifecycle.control_rejected(operation, instance_id, error.status.name, error.status.runtime_status)
            # Suspending a suspended instance is an unhandled InvalidOperationException in the extension.
            return empty_response(410) if isinstance(error, InstanceFinished) else server_error_response(error)
        hub.lifecycle.control_requested(operation, instance_id, status.name, reason)
        return empty_response(202)

    async def rewind(self, request: ApiRequest, hub: SelectedHub, instance_id: str) -> web.Response:
        """Repeat the failed steps of a failed instance."""
        reason = request.query.get("reason")
        try:
            status = await hub.client.rewind(instance_id, reason)
        except InstanceNotFound:
            # The dollar sign is a mistake of the extension; clients may compare the text.
            text = f'No orchestration with instance ID "${instance_id}" found.'
            return json_response(404, text)
        except NotRewindable as error:
            return json_response(412, str(error))
        hub.lifecycle.rewound(instance_id, status.name, reason)
        return empty_response(202)
