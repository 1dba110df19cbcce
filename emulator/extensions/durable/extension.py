"""The durable extension: orchestration, activity and entity triggers, the client binding, the management API, the hub.

The triggers only make their functions known. The engine calls them, from the moment when all listeners listen until
the host has drained. Clients need no engine: management requests work as long as the host serves HTTP.
Source: durable-extension, DurableTaskExtension.cs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from emulator.background import background
from emulator.clock import Clock
from emulator.config.durable import DurableTaskOptions
from emulator.config.settings import Settings
from emulator.durable.azurestorage.crash_recovery.host_identity import ClaimIdentity, no_identity
from emulator.durable.core.identity import FunctionKind
from emulator.durable.engine.worker import DRAIN_SECONDS, engine
from emulator.extensions.durable.binding import ClientBinding, ExtensionNotRunning
from emulator.extensions.durable.executor import FunctionsExecutor
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.http_activity import http_activity
from emulator.extensions.durable.hubs import Accounts, HubDirectory, OpenedHub
from emulator.extensions.durable.management.http_api import HttpApi, SystemKey
from emulator.extensions.durable.management.profiles import PROFILE_SETTING, profile_named
from emulator.extensions.durable.management.rpc import RpcListener
from emulator.host.port import Extension, Function, Webhook
from emulator.ids import NewId

SECTION = "durableTask"
SYSTEM_KEY = "durabletask_extension"
"""The system key that opens the webhook."""

STRICT_PURGE_SETTING = "AZEMU_STRICT_PURGE"
"""App setting: refuse a purge whose statuses would make it delete everything (docs/protocol/durable-client-http.md
2.8)."""

_TRIGGERS = {
    "orchestrationtrigger": FunctionKind.ORCHESTRATOR,
    "activitytrigger": FunctionKind.ACTIVITY,
    "entitytrigger": FunctionKind.ENTITY,
}
_CLIENT = "durableclient"


@dataclass(frozen=True, slots=True, kw_only=True)
class DurableHost:
    """What the extension asks of the host that carries it.

    `origin`: where HTTP is served, e.g. "http://localhost:7071". `functions`: those of the catalog, once it is loaded.
    `wait_until_running`: returns when all listeners have begun. `drain_seconds`: what the end waits for work under way.
    `take_seat`: how this host goes on with what a killed one left (see seats.py). `any_port`: no port of its own choice
    may be in the way of another host.
    """

    options: DurableTaskOptions
    settings: Settings
    accounts: Accounts
    system_key: SystemKey
    origin: Callable[[], str]
    functions: Callable[[], Sequence[Function]]
    wait_until_running: Callable[[], Awaitable[None]]
    clock: Clock
    new_id: NewId
    drain_seconds: float = DRAIN_SECONDS
    take_seat: ClaimIdentity = no_identity
    any_port: bool = False


def durable_extension(host: DurableHost) -> Extension:
    """Raises ConfigurationError for a profile that does not exist."""
    functions = DurableFunctions()
    hubs = HubDirectory(
        host.options,
        host.accounts,
        clock=host.clock,
        new_id=host.new_id,
        app_name=host.settings.get("WEBSITE_SITE_NAME") or "",
        slot_name=host.settings.get("WEBSITE_SLOT_NAME") or "",
        take_seat=host.take_seat,
    )
    api = HttpApi(
        host.options,
        hubs,
        functions,
        clock=host.clock,
        profile=profile_named(host.settings.get(PROFILE_SETTING)),
        system_key=host.system_key,
        strict_purge=host.settings.flag(STRICT_PURGE_SETTING),
    )
    listener = RpcListener(api.handle, host.clock, any_port=host.any_port)

    def rpc_base_url() -> str | None:
        if listener.base_url is None and _has_listener(host):
            raise ExtensionNotRunning
        return listener.base_url

    binding = ClientBinding(hubs, origin=host.origin, system_key=host.system_key, rpc_base_url=rpc_base_url)
    worker = _Worker(host, hubs, functions, listener)
    return Extension(
        name=SECTION,
        triggers={trigger: functions.listen_for(kind) for trigger, kind in _TRIGGERS.items()},
        inputs={_CLIENT: binding.read},
        webhooks=[Webhook("durabletask", api.handle_webhook)],
        run=worker.run,
    )


class _Worker:
    """The part that lives: the RPC listener, the hub's partitions and the engine. Nothing in an app without durable."""

    def __init__(
        self, host: DurableHost, hubs: HubDirectory, functions: DurableFunctions, listener: RpcListener
    ) -> None:
        self._host = host
        self._hubs = hubs
        self._functions = functions
        self._listener = listener

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Raises ConnectionNotConfigured, NoFreePort."""
        async with AsyncExitStack() as stack:
            if any(_is_durable(function) for function in self._host.functions()):
                if _has_listener(self._host):
                    await stack.enter_async_context(self._listener.serve())
                own = self._hubs.own()
                await stack.enter_async_context(own.hub.working())
                await stack.enter_async_context(background(self._work(own), name="durable engine"))
            yield

    async def _work(self, own: OpenedHub) -> None:
        """Run the engine until cancelled; it begins when the last function is known."""
        host = self._host
        await host.wait_until_running()
        async with (
            http_activity(dict(host.settings.items()), host.clock) as http,
            engine(
                own.hub,
                FunctionsExecutor(self._functions, http, host.options, clock=host.clock),
                host.options,
                clock=host.clock,
                new_id=host.new_id,
                lifecycle=own.lifecycle,
                drain_seconds=host.drain_seconds,
            ),
        ):
            await asyncio.get_running_loop().create_future()


def _has_listener(host: DurableHost) -> bool:
    return host.options.local_rpc_endpoint_enabled is not False


def _is_durable(function: Function) -> bool:
    return any(
        binding.type.lower() in _TRIGGERS or binding.type.lower() == _CLIENT for binding in function.metadata.bindings
    )
