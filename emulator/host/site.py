"""The web server of a host, composed of the admin API, webhooks of extensions and the routes of functions.

async with open_site(configuration, parts, sockets=sockets, clock=clock) as site:
    async with host.running():
        ...
        await site.listener.drain(seconds)      # before the host stops: requests still need its functions
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.clock import Clock
from emulator.config.start import Configuration
from emulator.host.admin.api import HostApi, HostCommands, HostFacts, RunningHost
from emulator.host.admin.functions import FunctionsApi, Spawn
from emulator.host.admin.keys import KeysApi
from emulator.host.admin.manual import ManualApi
from emulator.host.admin.storage import StorageApi
from emulator.host.captured_outputs import CapturedOutputs
from emulator.host.host_id import host_id
from emulator.host.http.callers import CallerRules
from emulator.host.http.keys import easyauth
from emulator.host.http.keys.authorization import Authorizer
from emulator.host.http.keys.key_store import FileSecrets, KeyStore, SecretsRepository
from emulator.host.http.routing.routes import FunctionRoutes, Route, system_key_name, webhook_routes
from emulator.host.http.server.connections import Listener
from emulator.host.http.server.request_handling import Site, serve
from emulator.host.http_options import HttpOptions
from emulator.host.port import Extension, Webhook
from emulator.host.supplied_inputs import SuppliedInputs
from emulator.ids import NewId, hyphenated, new_id
from emulator.storage.accounts import StorageAccounts
from emulator.telemetry.spans import Tracer

# In the app's folder, beside the other files of azemu, so that each app has keys of its own.
SECRETS_FOLDER = Path(".azemu") / "secrets"


def open_keys(
    configuration: Configuration, clock: Clock, *, new_id: NewId = new_id, secrets: SecretsRepository | None = None
) -> KeyStore:
    """Return the app's keys. They are stored in `secrets`; None: in the folder of FUNCTIONS_SECRETS_PATH, or else in
    `.azemu/secrets` of the app folder.
    """
    origin = {"hostName": f"localhost:{configuration.port}", "instanceId": new_id()}
    return KeyStore(secrets or FileSecrets(secrets_folder(configuration)), clock, origin)


def secrets_folder(configuration: Configuration) -> Path:
    """Return the folder of the app's keys."""
    return configuration.root / (configuration.settings.get("FUNCTIONS_SECRETS_PATH") or SECRETS_FOLDER)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteParts:
    """The parts of the web server. `routes`: the route table that the http extension fills.

    `accounts` None: the admin API does not send to the app's storage. `dashboard`: the routes of the dashboard.
    `tracer`: records spans of requests.
    """

    host: RunningHost
    extensions: Sequence[Extension]
    routes: FunctionRoutes
    keys: KeyStore
    callers: CallerRules
    captured_outputs: CapturedOutputs = field(default_factory=CapturedOutputs)
    supplied_inputs: SuppliedInputs = field(default_factory=SuppliedInputs)
    commands: HostCommands = field(default_factory=HostCommands)
    accounts: StorageAccounts | None = None
    dashboard: Sequence[Route] = ()
    tracer: Tracer | None = None


@dataclass(frozen=True, slots=True)
class OpenSite:
    """A running web server. `routes`: those that exist without the user's functions."""

    listener: Listener
    routes: Sequence[Route]


@asynccontextmanager
async def open_site(
    configuration: Configuration,
    parts: SiteParts,
    *,
    sockets: Sequence[socket.socket],
    clock: Clock,
    new_id: NewId = new_id,
) -> AsyncIterator[OpenSite]:
    """Serve HTTP on the listening sockets, all of one port, while entered.

    Raises ConfigurationError for a client principal that cannot be read.
    """
    settings = configuration.settings
    principal = settings.get(easyauth.SETTING)
    # What the admin API shows about this process; created once, because the instance id must not change.
    facts = HostFacts(
        root=configuration.root,
        host_id=host_id(configuration.root, settings),
        instance_id=hyphenated(new_id()),
        started_at=clock.now(),
        options=configuration.host,
    )
    if configuration.enable_auth:
        # A webhook can be called only with its system key. The keys are created here, because a user cannot know which
        # names they must have.
        for webhook in _webhooks(parts):
            await parts.keys.system_key(system_key_name(webhook.name))
    # The server is closed first, so that no request can start background work after this point has cancelled it.
    async with _background_tasks() as spawn:
        site = Site(
            root=configuration.root,
            status=parts.host.status,
            builtin=builtin_routes(parts, facts, clock, spawn, new_id),
            functions=parts.routes,
            callers=parts.callers,
            authorizer=Authorizer(parts.keys if configuration.enable_auth else None),
            options=configuration.host.section(HttpOptions),
            cors=configuration.cors,
            homepage=not settings.flag("AzureWebJobsDisableHomepage"),
            principal=easyauth.principal_headers(principal, configuration.root) if principal else None,
            dashboard_path=configuration.dashboard_path,
            tracer=parts.tracer,
        )
        async with serve(site, clock, sockets=sockets, new_request_id=new_id) as listener:
            yield OpenSite(listener, site.builtin)


def builtin_routes(parts: SiteParts, facts: HostFacts, clock: Clock, spawn: Spawn, new_id: NewId) -> list[Route]:
    """Return the routes that exist without the user's functions, in the order of matching."""
    host = parts.host
    # Before the routes of functions, which may not begin with `admin`, `runtime` or the path of the dashboard.
    return [
        *HostApi(host, facts, parts.commands, clock).routes(),
        *FunctionsApi(host, facts, clock, spawn=spawn).routes(),
        *ManualApi(host, parts.captured_outputs, parts.supplied_inputs, clock, new_id).routes(),
        *(StorageApi(parts.accounts, facts.options, clock).routes() if parts.accounts is not None else ()),
        *KeysApi(host, parts.keys, clock).routes(),
        *parts.dashboard,
        *webhook_routes(_webhooks(parts)),
    ]


def _webhooks(parts: SiteParts) -> list[Webhook]:
    return [webhook for extension in parts.extensions for webhook in extension.webhooks]


@asynccontextmanager
async def _background_tasks() -> AsyncIterator[Spawn]:
    """Run coroutines that outlive the request that started them. Those that still run at the end are cancelled."""
    running: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> None:
        # asyncio keeps only weak references to tasks, so one that nothing refers to could be collected while it runs.
        task = asyncio.create_task(work)
        running.add(task)
        task.add_done_callback(running.discard)

    try:
        yield spawn
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
