"""The durable extension: orchestration, activity and entity triggers, the client binding, the management API.

The listeners of the triggers only register their functions. The engine calls them, from the moment when all listeners
have started until the host begins to stop. Clients need no engine: management requests work as long as the host serves
HTTP. Source: durable-extension, DurableTaskExtension.cs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Final

from aiohttp import web

from emulator.background import background
from emulator.config.connections import BuiltinConnection, resolve_connection
from emulator.durable.core.identity import FunctionKind
from emulator.durable.engine.worker import engine
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.extensions.durable.binding import ClientBinding, ExtensionNotRunning
from emulator.extensions.durable.executor import FunctionsExecutor
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.http_activity import http_activity
from emulator.extensions.durable.hub_users import hub_user
from emulator.extensions.durable.hubs import HubDirectory, OpenedHub
from emulator.extensions.durable.management.http_api import HttpApi
from emulator.extensions.durable.management.profiles import PROFILE_SETTING, profile_named
from emulator.extensions.durable.management.rpc import RpcListener
from emulator.extensions.durable.manual_start import manual_event
from emulator.host.context import ExtensionContext
from emulator.host.port import Extension, Input, Trigger, Webhook
from emulator.logs import get_logger
from emulator.polling.crash_recovery.host_identity import no_identity, open_host_identities
from emulator.storage.accounts import connection_key

SYSTEM_KEY: Final = "durabletask_extension"
"""The system key that opens the webhook."""

STRICT_PURGE_SETTING: Final = "AZEMU_STRICT_PURGE"
"""App setting: refuse a purge whose statuses would make it delete all instances (docs/protocol/durable-client-http.md
2.8)."""

_TRIGGERS: Final[Mapping[str, FunctionKind]] = {
    "orchestrationtrigger": FunctionKind.ORCHESTRATOR,
    "activitytrigger": FunctionKind.ACTIVITY,
    "entitytrigger": FunctionKind.ENTITY,
}
_CLIENTS: Final = frozenset(("durableclient", "orchestrationclient"))
"""Types of the client binding. The second one is the name of version 1 of the extension, which still works on Azure."""
_LOG_CATEGORY: Final = "Host.Triggers.DurableTask"

_log = get_logger(__name__)


def durable_extension(context: ExtensionContext) -> Extension:
    """Create the extension. Raises ConfigurationError for wrong options in host.json or an unknown profile."""
    options = resolve_options(context.section(DurableTaskOptions), context.settings)
    provider = options.storage_provider
    _warn_about_options(options, first_start=context.first_start)
    claim_identity = no_identity
    # A host that takes over the name of a killed one owns its leases. With storage in Azure, a host with that name may
    # run on another machine, whose file locks cannot be seen here. So identities are claimed only for emulators.
    if context.hosts_folder is not None and context.accounts.is_emulated(provider.connection_name):
        claim_identity = context.resources.enter_context(open_host_identities(context.hosts_folder, context.new_id))
    functions = DurableFunctions()
    hubs = HubDirectory(
        options,
        context.accounts,
        clock=context.clock,
        new_id=context.new_id,
        app_name=context.settings.get("WEBSITE_SITE_NAME") or "",
        slot_name=context.settings.get("WEBSITE_SLOT_NAME") or "",
        claim_identity=claim_identity,
    )

    # The key may be replaced through the admin API while the host runs, so it is looked up at every use.
    async def system_key() -> str:
        return await context.system_key(SYSTEM_KEY)

    api = HttpApi(
        options,
        hubs,
        functions,
        clock=context.clock,
        profile=profile_named(context.settings.get(PROFILE_SETTING)),
        system_key=system_key,
        strict_purge=context.settings.flag(STRICT_PURGE_SETTING),
    )
    rpc = RpcListener(api.handle, context.clock, any_port=context.any_port)
    serves_rpc = options.local_rpc_endpoint_enabled is not False

    # A client without this URL would send its requests to the public webhook, which may ask for a key.
    def rpc_base_url() -> str | None:
        if rpc.base_url is None and serves_rpc:
            raise ExtensionNotRunning
        return rpc.base_url

    binding = ClientBinding(hubs, origin=context.origin, system_key=system_key, rpc_base_url=rpc_base_url)

    def has_durable_functions() -> bool:
        bindings = (binding for function in context.functions() for binding in function.metadata.bindings)
        return any(binding.type.lower() in _TRIGGERS or binding.type.lower() in _CLIENTS for binding in bindings)

    async def handle_webhook(request: web.Request) -> web.StreamResponse:
        # On Azure the extension is loaded only for apps whose functions use it. One that cannot be loaded has none.
        return await api.handle_webhook(request) if has_durable_functions() else web.Response(status=404)

    @asynccontextmanager
    async def run() -> AsyncIterator[None]:
        """Serve RPC, own partitions of the hub and run the engine. Raises ConnectionNotConfigured, NoFreePort."""
        # The engine is left first, so that it can still write its checkpoints while the hub owns its partitions.
        async with AsyncExitStack() as stack:
            # An app without durable functions must run without storage, and must not create a task hub in it.
            if has_durable_functions():
                if serves_rpc:
                    await stack.enter_async_context(rpc.serve())
                own_hub = hubs.own()
                if context.hosts_folder is not None:
                    stack.enter_context(_recorded_use(context, options))
                await stack.enter_async_context(own_hub.hub.working())
                work = _run_engine(context, options, functions, own_hub)
                await stack.enter_async_context(background(work, name="durable engine"))
            yield

    return Extension(
        name=DurableTaskOptions.section_name,
        triggers={
            trigger: Trigger(
                listen=functions.listen_for(kind),
                log_category=_LOG_CATEGORY,
                manual_event=manual_event(kind, context.origin),
            )
            for trigger, kind in _TRIGGERS.items()
        },
        inputs={client: Input(read=binding.read) for client in _CLIENTS},
        webhooks=[Webhook("durabletask", handle_webhook)],
        run=run,
    )


def _warn_about_options(options: DurableTaskOptions, *, first_start: bool) -> None:
    """Warn about options that contradict each other, and, at the first start, about another storage provider."""
    provider = options.storage_provider
    if provider.control_queue_batch_size > provider.control_queue_buffer_threshold:
        _log.warning(
            "controlQueueBatchSize (%d) is larger than controlQueueBufferThreshold (%d) in host.json.",
            provider.control_queue_batch_size,
            provider.control_queue_buffer_threshold,
        )
    if provider.other is not None and first_start:
        stored = "" if options.stored_hub_name == options.hub_name else f' (stored as "{options.stored_hub_name}")'
        _log.warning(
            'extensions.durableTask.storageProvider.type in host.json is "%s". Instead of %s, azemu uses its own '
            'engine and the storage of AzureWebJobsStorage. Task hub: "%s"%s.',
            provider.type,
            provider.other,
            options.hub_name,
            stored,
        )


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
    context: ExtensionContext, options: DurableTaskOptions, functions: DurableFunctions, own_hub: OpenedHub
) -> None:
    # Work items that need a function which is not registered yet would fail, so the engine waits for all listeners.
    await context.wait_until_running()
    async with (
        http_activity(dict(context.settings.items()), context.clock) as http,
        engine(
            own_hub.hub,
            FunctionsExecutor(functions, http, options, clock=context.clock),
            options,
            clock=context.clock,
            new_id=context.new_id,
            lifecycle=own_hub.lifecycle,
            # The engine must have abandoned its work items, and released its leases, before the host abandons the
            # functions that still run.
            drain_seconds=context.drain_seconds * 0.8,
        ),
    ):
        # The engine drains while the listeners stop, so that both share the host's drain time.
        await context.wait_until_stopping()
