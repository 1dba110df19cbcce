"""The management API: one handler for both doors, the webhook `durabletask` and the RPC listener.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md chapter 2.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import assert_never
from urllib.parse import urlsplit

from aiohttp import web

from emulator.clock import Clock
from emulator.durable.options import DurableTaskOptions
from emulator.errors import EmulatorError
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.hubs import HubDirectory, SelectedHub, UnknownConnection
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    argument_error,
    empty,
    message_answer,
    read_request,
    server_error,
)
from emulator.extensions.durable.management.entities_api import EntitiesApi
from emulator.extensions.durable.management.instances_api import LIFECYCLE, InstancesApi
from emulator.extensions.durable.management.management_urls import WEBHOOK_PATH, ManagementUrls
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.extensions.durable.management.routing import (
    CleanEntities,
    Entities,
    Event,
    Instance,
    Instances,
    MakePrimary,
    Operation,
    Orchestrators,
    find_target,
)
from emulator.extensions.durable.management.starts_api import StartsApi
from emulator.host.http.requests import BodyBroken, BodyTooLarge
from emulator.storage.port import StorageError, StorageUnreachable

SystemKey = Callable[[], Awaitable[str]]
"""The system key `durabletask_extension`, or the empty text when there is none."""

MAX_WEBHOOK_BODY_BYTES = 100 * 1024 * 1024
"""As for all requests to the Functions host."""

_log = logging.getLogger(__name__)


class InvalidOrigin(EmulatorError):
    """The forwarded headers make no URL."""


class HttpApi:
    def __init__(
        self,
        options: DurableTaskOptions,
        hubs: HubDirectory,
        functions: DurableFunctions,
        *,
        clock: Clock,
        profile: HttpProfile,
        system_key: SystemKey,
        strict_purge: bool = False,
    ) -> None:
        self._options = options
        self._hubs = hubs
        self._clock = clock
        self._profile = profile
        self._system_key = system_key
        takes_traces = options.tracing.distributed_tracing_enabled
        self._starts = StartsApi(profile, functions, self._urls_for, takes_traces=takes_traces)
        self._instances = InstancesApi(profile, strict_purge=strict_purge)
        self._entities = EntitiesApi(functions)

    async def handle_webhook(self, request: web.Request) -> web.Response:
        """Any request below /runtime/webhooks/durabletask."""
        return await self.handle(request, base_length=len(WEBHOOK_PATH), body_limit=MAX_WEBHOOK_BODY_BYTES)

    async def handle(self, request: web.Request, *, base_length: int, body_limit: int) -> web.Response:
        """`base_length`: how many characters of the path come before what the API looks at."""
        try:
            read = await read_request(request, self._clock, base_length=base_length, body_limit=body_limit)
        except BodyTooLarge:
            return empty(413)
        except BodyBroken:
            return empty(400)
        return await self._answer(read)

    async def _answer(self, request: ApiRequest) -> web.Response:
        """Never raises for what a request can be wrong about."""
        try:
            return await self._dispatch(request)
        except InvalidArgument as error:
            return argument_error(error)
        except InvalidOrigin as error:
            return message_answer(400, str(error))
        except UnknownConnection as error:
            return server_error(error)
        except (StorageError, StorageUnreachable) as error:
            _log.error("%s %s: %s", request.method, request.path, error)
            return server_error(
                "An error occurred while communicating with Azure Storage",
                "DurableTask.AzureStorage.Storage.DurableTaskStorageException",
            )
        except EmulatorError as error:
            return server_error(error)

    async def _dispatch(self, request: ApiRequest) -> web.Response:
        target = find_target(request.path, plus_is_blank=self._profile.plus_is_blank)
        if target is None:
            return empty(404)
        hub = self._hubs.select(request.query.first_filled("taskHub"), request.query.first_filled("connection"))
        match target:
            case Orchestrators(function, instance_id):
                return await self._orchestrators(request, hub, function, instance_id)
            case Entities(name, key):
                return await self._entity(request, hub, name, key)
            case Instances():
                return await self._all_instances(request, hub)
            case Instance(instance_id):
                return await self._instance(request, hub, instance_id)
            case Operation(instance_id, operation):
                return await self._operation(request, hub, instance_id, operation)
            case Event(instance_id, name):
                return await self._event(request, hub, instance_id, name)
            case MakePrimary():
                return self._make_primary()
            case CleanEntities():
                return await self._clean_entities(request, hub)
            case _:
                assert_never(target)

    # One method per kind of path; a verb that it does not have is not found.

    async def _orchestrators(
        self, request: ApiRequest, hub: SelectedHub, function: str, instance_id: str | None
    ) -> web.Response:
        if request.method != "POST":
            return empty(404)
        return await self._starts.start(request, hub, function, instance_id)

    async def _entity(self, request: ApiRequest, hub: SelectedHub, name: str | None, key: str | None) -> web.Response:
        match request.method:
            case "GET" if name is not None and key is not None:
                return await self._entities.get(request, hub.client, name, key)
            case "GET":
                return await self._entities.query(request, hub.client, name)
            case "POST":
                return await self._entities.signal(request, hub, name, key, request.query.get("op") or "")
            case "DELETE":
                return await self._entities.signal(request, hub, name, key, "delete")
        return empty(404)

    async def _all_instances(self, request: ApiRequest, hub: SelectedHub) -> web.Response:
        match request.method:
            case "GET":
                return await self._instances.query(request, hub.client)
            case "DELETE":
                return await self._instances.purge_many(request, hub.client)
        return empty(404)

    async def _instance(self, request: ApiRequest, hub: SelectedHub, instance_id: str) -> web.Response:
        match request.method:
            case "GET":
                return await self._instances.get(request, hub.client, instance_id)
            case "DELETE":
                return await self._instances.purge(request, hub.client, instance_id)
        return empty(404)

    async def _operation(self, request: ApiRequest, hub: SelectedHub, instance_id: str, operation: str) -> web.Response:
        if request.method != "POST":
            return empty(404)
        match operation:
            case "rewind":
                return await self._instances.rewind(request, hub, instance_id)
            case "restart":
                return await self._starts.restart(request, hub, instance_id)
            case _ if operation in LIFECYCLE:
                return await self._instances.lifecycle(request, hub, instance_id, operation)
        return empty(404)

    async def _event(self, request: ApiRequest, hub: SelectedHub, instance_id: str, name: str) -> web.Response:
        if request.method != "POST":
            return empty(404)
        return await self._instances.raise_event(request, hub, instance_id, name)

    async def _clean_entities(self, request: ApiRequest, hub: SelectedHub) -> web.Response:
        if request.method != "POST" or not self._profile.cleans_entities:
            return empty(404)
        return await self._entities.clean(request, hub.client)

    def _make_primary(self) -> web.Response:
        """There is one app only, so it is the primary one already."""
        if self._options.use_app_lease:
            return empty(200)
        refusal = "Cannot make current app primary. This app is not using the AppLease feature."
        return message_answer(400, refusal) if self._profile.conflicts else server_error(refusal)

    # URLs

    async def _urls_for(self, request: ApiRequest, hub: SelectedHub) -> ManagementUrls:
        """Raises InvalidOrigin."""
        return ManagementUrls(
            base=self._origin(request) + WEBHOOK_PATH,
            hub=hub.hub,
            connection=hub.connection,
            code=await self._system_key(),
        )

    def _origin(self, request: ApiRequest) -> str:
        """Where the caller finds this host: as it asked, or as its proxy says. Raises InvalidOrigin."""
        host, scheme = request.headers.get("X-Forwarded-Host"), request.headers.get("X-Forwarded-Proto")
        if not (self._options.http_settings.use_forwarded_host and host and scheme):
            return request.origin
        if "," in host or "," in scheme:
            raise InvalidOrigin(
                f'X-Forwarded-Host "{host}" and X-Forwarded-Proto "{scheme}" must hold one value each, not lists.'
            )
        port = urlsplit(request.origin).port
        return f"{scheme}://{host}" + (f":{port}" if port is not None else "")
