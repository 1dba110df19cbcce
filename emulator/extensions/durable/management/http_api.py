"""Durable HTTP API: the request handler of the webhook `durabletask` and of the RPC listener.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md chapter 2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never
from urllib.parse import urlsplit

from aiohttp import web

from emulator.clock import Clock
from emulator.config import host_names
from emulator.durable.options import DurableTaskOptions
from emulator.errors import EmulatorError
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.hubs import HubDirectory, SelectedHub, UnknownConnection
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    argument_error_response,
    empty_response,
    message_response,
    read_request,
    server_error_response,
)
from emulator.extensions.durable.management.client_log import log_operation, operation_of
from emulator.extensions.durable.management.entities_api import EntitiesApi
from emulator.extensions.durable.management.instances_api import InstancesApi
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
from emulator.extensions.durable.management.starts_api import StartsApi, check_storable
from emulator.host.http.callers import CallerRules
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge
from emulator.logs import get_logger
from emulator.storage.port import StorageError, StorageUnreachable

SystemKey = Callable[[], Awaitable[str]]
"""Return the system key `durabletask_extension`; empty if authorization is off."""

MAX_WEBHOOK_BODY_BYTES = 100 * 1024 * 1024
"""The default limit of the Functions host for request bodies."""

_log = get_logger(__name__)


class InvalidOrigin(EmulatorError):
    """The headers X-Forwarded-Host and X-Forwarded-Proto do not make a URL."""


class HttpApi:
    """Request handler of the durable HTTP API. `strict_purge`: see `InstancesApi`."""

    def __init__(
        self,
        options: DurableTaskOptions,
        hubs: HubDirectory,
        functions: DurableFunctions,
        *,
        clock: Clock,
        profile: HttpProfile,
        system_key: SystemKey,
        callers: CallerRules,
        strict_purge: bool = False,
    ) -> None:
        self._options = options
        self._hubs = hubs
        self._clock = clock
        self._system_key = system_key
        self._callers = callers
        self._warned_about_forwarded_host = False
        takes_traces = options.tracing.distributed_tracing_enabled or hubs.records_spans
        self._starts = StartsApi(profile, functions, self._urls_for, takes_traces=takes_traces)
        self._instances = InstancesApi(profile, strict_purge=strict_purge)
        self._entities = EntitiesApi(profile, functions)

    async def handle_webhook(self, request: web.Request) -> web.Response:
        """Respond to a request below /runtime/webhooks/durabletask."""
        return await self.handle(request, base_length=len(WEBHOOK_PATH), body_limit=MAX_WEBHOOK_BODY_BYTES)

    async def handle(self, request: web.Request, *, base_length: int, body_limit: int) -> web.Response:
        """Respond to a request. `base_length`: length of the base path. `body_limit`: in bytes."""
        try:
            api_request = await read_request(request, self._clock, base_length=base_length, body_limit=body_limit)
        except BodyTooLarge:
            return empty_response(413)
        except BodyBroken:
            return empty_response(400)
        return await self.respond(api_request)

    async def respond(self, request: ApiRequest) -> web.Response:
        """Respond to a request that has been read."""
        try:
            return await self._dispatch(request)
        except InvalidArgument as error:
            return argument_error_response(error)
        # The subclasses of EmulatorError come first; all others are unexpected here.
        except InvalidOrigin as error:
            return message_response(400, str(error))
        except UnknownConnection as error:
            return server_error_response(error)
        except (StorageError, StorageUnreachable) as error:
            # The client gets no detail of the storage, as in the extension; the console shows it.
            # Without the base path, in which the RPC listener has its token.
            _log.error("%s /%s: %s", request.method, request.path.lstrip("/"), error)
            return server_error_response(
                "An error occurred while communicating with Azure Storage",
                "DurableTask.AzureStorage.Storage.DurableTaskStorageException",
            )
        except EmulatorError as error:
            return server_error_response(error)

    async def _dispatch(self, request: ApiRequest) -> web.Response:
        target = find_target(request.path)
        if target is None:
            return empty_response(404)
        # After the target: an unknown path is 404 even if the connection in its query does not exist.
        hub = self._hubs.select(request.query.first_filled("taskHub"), request.query.first_filled("connection"))
        if (operation := operation_of(request.method, target)) is not None:
            log_operation(request, hub, *operation)
        match target:
            case Orchestrators(function, instance_id):
                # As for all endpoints, another method is 404 and not 405.
                if request.method != "POST":
                    return empty_response(404)
                return await self._starts.start(request, hub, function, instance_id)
            case Operation(instance_id, "restart") if request.method == "POST":
                check_storable(instance_id)
                return await self._starts.restart(request, hub, instance_id)
            case Entities() | CleanEntities():
                return await self._entities.handle(request, hub, target)
            case Instances() | Instance() | Operation() | Event():
                return await self._instances.handle(request, hub, target)
            case MakePrimary():
                # A local app has no second slot, so with the app lease it is the primary app already.
                if self._options.use_app_lease:
                    return empty_response(200)
                problem = "Cannot make current app primary. This app is not using the AppLease feature."
                return message_response(400, problem)
            case _:
                assert_never(target)

    async def _urls_for(self, request: ApiRequest, hub: SelectedHub) -> ManagementUrls:
        """Return the management URLs for the caller of a request. Raises InvalidOrigin."""
        origin = request.origin
        host, scheme = request.headers.get("X-Forwarded-Host"), request.headers.get("X-Forwarded-Proto")
        if self._options.http_settings.use_forwarded_host and host and scheme:
            # Several proxies append their values. Which of them the caller can reach is unknown.
            if "," in host or "," in scheme:
                raise InvalidOrigin(
                    f'X-Forwarded-Host "{host}" and X-Forwarded-Proto "{scheme}" must contain one value, not a list.'
                )
            if self._callers.accepts_forwarded_host(host):
                # The extension replaces scheme and host of the request URL and leaves its port.
                port = urlsplit(request.origin).port
                origin = f"{scheme}://{host}" + (f":{port}" if port is not None else "")
            elif not self._warned_about_forwarded_host:
                self._warned_about_forwarded_host = True
                _log.warning(
                    "The header X-Forwarded-Host with the name %r is ignored. If a proxy of yours sends it, start "
                    "azemu with --host-names %s, or add the name to the setting %s.",
                    host,
                    host,
                    host_names.SETTING,
                )
        return ManagementUrls(
            # Also for the RPC listener, whose own URL only the SDK in this process can reach.
            base=origin + WEBHOOK_PATH,
            hub=hub.hub,
            connection=hub.connection,
            code=await self._system_key(),
        )
