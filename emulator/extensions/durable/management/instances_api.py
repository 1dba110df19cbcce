"""The endpoints under instances/: look, list, purge, send events, terminate, suspend, resume, rewind.

Each takes a request and the hub it means, and gives the answer; the order of checks is the extension's.
Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.6 to 2.11.
"""

from __future__ import annotations

import logging

from aiohttp import web

from emulator.durable.client import CannotChangeState, DurableClient, InstanceFinished, NotPurgeable, NotRewindable
from emulator.durable.core.identity import RuntimeStatus, is_entity
from emulator.durable.hub import InstanceNotFound, InstanceQuery, InstanceStatus, PurgeFilter
from emulator.durable.tracing.writing import orchestrator
from emulator.extensions.durable.hubs import SelectedHub
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    empty,
    json_answer,
    json_error,
    message_answer,
    server_error,
)
from emulator.extensions.durable.management.dotnet import parse_bool, parse_datetime
from emulator.extensions.durable.management.paging import page_headers, read_paging
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.extensions.durable.management.status_filter import read_statuses
from emulator.extensions.durable.management.status_payload import full_status_payload, status_payload
from emulator.extensions.newtonsoft import JsonReaderError, read_first, write

LIFECYCLE = ("terminate", "suspend", "resume")

_log = logging.getLogger(__name__)


class InstancesApi:
    def __init__(self, profile: HttpProfile, *, strict_purge: bool) -> None:
        self._profile = profile
        self._strict_purge = strict_purge

    # Looking

    async def get(self, request: ApiRequest, client: DurableClient, instance_id: str) -> web.Response:
        status = await client.status(instance_id)
        if status is None:
            return empty(404)
        payload = await full_status_payload(client, status, request.query)
        match status.runtime_status:
            case None:
                _log.error("Unknown runtime state of instance %s.", instance_id)
                return json_answer(500, payload)
            case RuntimeStatus.FAILED if parse_bool(request.query.get("returnInternalServerErrorOnFailure")):
                return json_answer(500, payload)
            case ended if ended.is_terminal:
                return json_answer(200, payload)
        return json_answer(202, payload, {"Location": request.url, "Retry-After": "5"})

    async def query(self, request: ApiRequest, client: DurableClient) -> web.Response:
        query, paging = request.query, read_paging(request)
        wanted = read_statuses(query.all("runtimeStatus"))
        if wanted.has_unknown:
            raise InvalidArgument("Requested value 'Unknown' was not found.")
        if paging.limit == 0:
            return json_answer(200, [], page_headers(paging.unmoved))
        if wanted.matches_nothing:
            return json_answer(200, [], page_headers(None))
        show_input = parse_bool(query.get("showInput")) is not False
        page = await client.query(
            InstanceQuery(
                prefix=query.get("instanceIdPrefix") or None,
                created_from=parse_datetime(query.get("createdTimeFrom")),
                created_to=parse_datetime(query.get("createdTimeTo")),
                statuses=wanted.statuses,
                with_input=show_input,
                limit=paging.limit,
                continuation=paging.continuation,
            )
        )
        items = [status_payload(status, show_input=show_input) for status in page.instances]
        return json_answer(200, items, page_headers(page.continuation))

    # Purging

    async def purge(self, request: ApiRequest, client: DurableClient, instance_id: str) -> web.Response:
        try:
            result = await client.purge(instance_id)
        except InstanceNotFound:
            return empty(404)
        except NotPurgeable as refusal:
            return json_answer(412, str(refusal))
        return json_answer(200, {"instancesDeleted": result.instances})

    async def purge_many(self, request: ApiRequest, client: DurableClient) -> web.Response:
        query = request.query
        created_from = parse_datetime(query.get("createdTimeFrom"))
        if created_from is None:
            return json_answer(400, "Please provide value for 'createdTimeFrom' parameter.")
        statuses = read_statuses(query.all("runtimeStatus")).statuses
        self._check_purge(query.all("runtimeStatus"), statuses)
        result = await client.purge_many(
            PurgeFilter(
                created_from=created_from,
                created_to=parse_datetime(query.get("createdTimeTo")),
                statuses=statuses,
            )
        )
        return json_answer(200, {"instancesDeleted": result.instances}) if result.instances else empty(404)

    def _check_purge(self, asked_for: list[str], statuses: frozenset[RuntimeStatus]) -> None:
        """Say when a purge is about to delete more than its caller thinks."""
        if not asked_for or any(status.is_terminal for status in statuses):
            return
        if self._strict_purge:
            raise InvalidArgument(
                f"runtimeStatus={','.join(asked_for)} names no status of an ended instance, so the purge would delete "
                "everything in the time window."
            )
        _log.warning(
            "Purge with runtimeStatus=%s: no status of an ended instance is among them, so all instances and entities "
            "of the time window are deleted, running ones included, as Azure does it.",
            ",".join(asked_for),
        )

    # Sending

    async def raise_event(self, request: ApiRequest, hub: SelectedHub, instance_id: str, name: str) -> web.Response:
        try:
            status = await hub.client.active(instance_id)
        except InstanceNotFound:
            return empty(404)
        except InstanceFinished:
            return empty(410)
        if request.media_type != "application/json":
            return message_answer(400, "Only application/json request content is supported")
        try:
            # The value is stored as it would be written anew, not as it came.
            event_input = write(read_first(request.text))
        except JsonReaderError as error:
            return json_error(error)
        await hub.client.raise_event(instance_id, name, event_input)
        hub.lifecycle.scheduled(orchestrator(instance_id, status.name), f"RaiseEvent:{name}")
        return empty(202)

    async def lifecycle(self, request: ApiRequest, hub: SelectedHub, instance_id: str, operation: str) -> web.Response:
        """Terminate, suspend or resume."""
        if self._profile.refuses_entity_lifecycle and is_entity(instance_id):
            raise InvalidArgument(f"{instance_id} is an entity: only orchestrations can be told to {operation}.")
        client = hub.client
        steer = {"terminate": client.terminate, "suspend": client.suspend, "resume": client.resume}[operation]
        reason = request.query.get("reason")
        try:
            status = await steer(instance_id, reason)
        except InstanceNotFound:
            return empty(404)
        except InstanceFinished as refusal:
            _refused(hub, operation, refusal.status)
            return empty(410)
        except CannotChangeState as refusal:
            _refused(hub, operation, refusal.status)
            return server_error(refusal)
        hub.lifecycle.steered(operation, instance_id, status.name, reason)
        return empty(202)

    async def rewind(self, request: ApiRequest, hub: SelectedHub, instance_id: str) -> web.Response:
        reason = request.query.get("reason")
        try:
            status = await hub.client.rewind(instance_id, reason)
        except InstanceNotFound:
            # The dollar sign is a slip of the extension, and clients may compare the text.
            text = f'No orchestration with instance ID "${instance_id}" found.'
            return json_answer(404, text)
        except NotRewindable as refusal:
            return json_answer(412, str(refusal))
        hub.lifecycle.rewound(instance_id, status.name, reason)
        return empty(202)


def _refused(hub: SelectedHub, operation: str, status: InstanceStatus) -> None:
    if status.runtime_status is not None:
        hub.lifecycle.refused(operation, status.instance_id, status.name, status.runtime_status)
