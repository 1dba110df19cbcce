"""What runs and manages durable functions: task hubs, engine, management API, RPC listener, client binding.

The engine calls the functions from the moment when all listeners have started until the host begins to stop. Clients
need no engine: management requests work as long as the host serves HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Final

from aiohttp import web

from emulator.background import background
from emulator.config.connections import BuiltinConnection, resolve_connection
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.engine.work_log import WorkLog
from emulator.durable.engine.worker import engine
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.spans import DurableSpans
from emulator.extensions.durable.binding import ClientBinding, ExtensionNotRunning
from emulator.extensions.durable.executor import FunctionsExecutor
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.http_activity import http_activity
from emulator.extensions.durable.hub_users import hub_user
from emulator.extensions.durable.hubs import HubDirectory, OpenedHub
from emulator.extensions.durable.management.client_log import INVOCATION_HEADER
from emulator.extensions.durable.management.http_api import HttpApi
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.extensions.durable.management.rpc import ApiHandler, RpcListener
from emulator.host.context import ExtensionContext
from emulator.logs import get_logger
from emulator.polling.crash_recovery.host_identity import no_identity, open_host_identities
from emulator.storage.accounts import connection_key
from emulator.worker.sdk_patches.http_sessions import SENDER_HEADER

SYSTEM_KEY: Final = "durabletask_extension"
"""The system key that opens the webhook."""

STRICT_PURGE_SETTING: Final = "AZEMU_STRICT_PURGE"
"""App setting: refuse a purge whose statuses would make it delete all instances (docs/protocol/durable-client-http.md
2.8)."""

_log = get_logger(__name__)


class DurableServices:
    """The services of an app with durable functions. `functions`: filled by the listeners of their triggers.

    `handle_webhook`: responds to requests below /runtime/webhooks/durabletask. `read_client`: reads a client binding.
    `work_log`: what the engine runs.
    """

    def __init__(
        self,
        context: ExtensionContext,
        options: DurableTaskOptions,
        functions: DurableFunctions,
        profile: HttpProfile,
    ) -> None:
        self._context = context
        provider = options.storage_provider
        claim_identity = no_identity
        # A host that takes over the name of a killed one owns its leases. With storage in Azure, a host with that name
        # may run on another machine, whose file locks cannot be seen here. So only emulators have identities.
        if context.hosts_folder is not None and context.accounts.is_emulated(provider.connection_name):
            claim_identity = context.resources.enter_context(open_host_identities(context.hosts_folder, context.new_id))
        spans = DurableSpans(context.tracer) if context.tracer is not None else None
        self._hubs = HubDirectory(
            options,
            context.accounts,
            clock=context.clock,
            new_id=context.new_id,
            app_name=context.settings.get("WEBSITE_SITE_NAME") or "",
            slot_name=context.settings.get("WEBSITE_SLOT_NAME") or "",
            claim_identity=claim_identity,
            spans=spans,
        )
        api = HttpApi(
            options,
            self._hubs,
            functions,
            clock=context.clock,
            profile=profile,
            system_key=self._system_key,
            callers=context.callers,
            strict_purge=context.settings.flag(STRICT_PURGE_SETTING),
        )
        self.options = options
        self.functions = functions
        self.work_log = WorkLog(context.clock)
        self._rpc = RpcListener(_handler_of_rpc(api, spans), context.callers, context.clock, any_port=context.any_port)
        self._serves_rpc = options.local_rpc_endpoint_enabled is not False
        self.handle_webhook = api.handle_webhook
        self.read_client = ClientBinding(
            self._hubs, origin=context.origin, system_key=self._system_key, rpc_base_url=self._rpc_base_url
        ).read

    @property
    def own_hub(self) -> AzureStorageTaskHub:
        """The app's own task hub. Raises ConnectionNotConfigured."""
        return self._hubs.own().hub

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve RPC, own partitions of the hub and run the engine. Raises ConnectionNotConfigured, NoFreePort."""
        # The engine is left first, so that it can still write its checkpoints while the hub owns its partitions.
        async with AsyncExitStack() as stack:
            if self._serves_rpc:
                await stack.enter_async_context(self._rpc.serve())
            own_hub = self._hubs.own()
            if self._context.hosts_folder is not None:
                stack.enter_context(_recorded_use(self._context, self.options))
            connection = self.options.storage_provider.connection_name
            may_lose_writes = self._context.accounts.may_lose_writes(connection)
            await stack.enter_async_context(
                own_hub.hub.working(may_lose_writes=may_lose_writes, has_lost_writes=self._context.storage_restarted)
            )
            work = _run_engine(self._context, self.options, self.functions, own_hub, self.work_log)
            await stack.enter_async_context(background(work, name="durable engine"))
            yield

    # The key may be replaced through the admin API while the host runs, so it is looked up at every use.
    async def _system_key(self) -> str:
        return await self._context.system_key(SYSTEM_KEY)

    def _rpc_base_url(self) -> str | None:
        # A client without this URL would send its requests to the public webhook, which may ask for a key.
        if self._rpc.base_url is None and self._serves_rpc:
            raise ExtensionNotRunning
        return self._rpc.base_url


def _handler_of_rpc(api: HttpApi, spans: DurableSpans | None) -> ApiHandler:
    """Return the handler of the SDK's requests. They belong to the trace of the invocation that sends them."""
    if spans is None:
        return api.handle

    async def handle(request: web.Request, *, base_length: int, body_limit: int) -> web.Response:
        headers = request.headers
        invocation_id = headers.get(INVOCATION_HEADER) or headers.get(SENDER_HEADER)
        with spans.called_by(invocation_id, headers.get("traceparent"), headers.get("tracestate")):
            return await api.handle(request, base_length=base_length, body_limit=body_limit)

    return handle


@contextmanager
def _recorded_use(context: ExtensionContext, options: DurableTaskOptions) -> Iterator[None]:
    """Record that this app uses its hub, and warn if another app uses it, too."""
    connection = resolve_connection(context.settings, options.storage_provider.connection_name)
    other = None
    with ExitStack() as stack:
        # No other process can use a store in memory. Without a record, only this warning is missing.
        if not (isinstance(connection, BuiltinConnection) and connection.path is None):
            with suppress(OSError):
                other = stack.enter_context(
                    hub_user(context.settings.root, connection_key(connection), options.stored_hub_name)
                )
        if other is not None and context.first_start:
            _log.warning(
                'The app in "%s" %s the task hub "%s" of the same storage. Apps with one task hub run each other\'s '
                "orchestrations, which fail where their functions are missing. Give each app a hub name of its own: "
                "extensions.durableTask.hubName in host.json.",
                other.root,
                "also runs on" if other.running else "has also used",
                options.hub_name,
            )
        yield


async def _run_engine(
    context: ExtensionContext,
    options: DurableTaskOptions,
    functions: DurableFunctions,
    own_hub: OpenedHub,
    work_log: WorkLog,
) -> None:
    # Work items that need a function which is not registered yet would fail, so the engine waits for all listeners.
    await context.wait_until_running()
    async with (
        http_activity(
            dict(context.settings.items()), context.clock, max_payload_bytes=options.max_payload_bytes
        ) as http,
        engine(
            own_hub.hub,
            FunctionsExecutor(functions, http, options, load_errors=context.load_errors),
            options,
            clock=context.clock,
            lifecycle=own_hub.lifecycle,
            work_log=work_log,
            spans=own_hub.spans,
            # The engine must have abandoned its work items, and released its leases, before the host abandons the
            # functions that still run.
            drain_seconds=lambda: context.stop_seconds() * 0.8,
        ),
    ):
        # The engine drains while the listeners stop, so that both share the host's drain time.
        await context.wait_until_stopping()
