"""Start and stop of one host: storage accounts, worker, extensions, functions host and web server of an app.

    async with open_app(StartOptions(app=Path("."))) as app:
        print(app.url)                          # running
                                                # stopped: requests finished, work drained, leases released

Only this module decides which class implements which port.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from emulator.accounts import open_accounts
from emulator.clock import Clock, SystemClock
from emulator.config.connections import DEFAULT_CONNECTION, ConnectionNotConfigured
from emulator.config.start import Configuration, StartOptions, configure
from emulator.dashboard.mount import mounted_routes
from emulator.environment import PROCESS
from emulator.extensions.registry import fallback, open_extensions
from emulator.forking import hidden_from_forks
from emulator.host.admin.api import HostCommands
from emulator.host.captured_outputs import CapturedOutputs
from emulator.host.console.invocationlog import log_outside_invocations
from emulator.host.context import ExtensionContext
from emulator.host.drain import DRAIN_SECONDS, Drain
from emulator.host.host import Host, HostParts
from emulator.host.host_id import host_id
from emulator.host.http.callers import CallerRules
from emulator.host.http.keys.key_store import SecretsRepository
from emulator.host.http.routing.routes import FunctionRoutes
from emulator.host.lease_journal import open_lease_journal
from emulator.host.local_locks import LocalHostLocks
from emulator.host.locks import CONTAINER as LOCK_CONTAINER
from emulator.host.locks import BlobHostLocks
from emulator.host.port import HostLocks
from emulator.host.recording import Recording
from emulator.host.site import SiteParts, open_keys, open_site
from emulator.host.status import HostStatus
from emulator.host.supplied_inputs import SuppliedInputs
from emulator.ids import NewId, new_id
from emulator.insights.options import Insights, is_on, read_insights
from emulator.listening import listening_sockets
from emulator.logs import get_logger
from emulator.storage.accounts import StorageAccounts
from emulator.storage.counting import RequestCounts, counted
from emulator.storage.port import StorageAccount
from emulator.telemetry.spans import Span, Tracer
from emulator.worker.app_loop import AppLoop
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Worker

if TYPE_CHECKING:
    from emulator.dashboard.parts import DashboardParts, TimeControl

_log = get_logger(__name__)

AroundWorker = Callable[[AbstractAsyncContextManager[Worker]], AbstractAsyncContextManager[Worker]]
AroundAccount = Callable[[StorageAccount], StorageAccount]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A running host with its storage accounts. `port`: the port of the web server.

    `captured_outputs`, `supplied_inputs`: values of bindings whose service azemu does not call. `recording`: its last
    log lines and invocations. `worker`: runs the app's functions, without what `around_worker` puts around it.
    `insights_note`: what becomes of the settings of Application Insights, for users.
    """

    configuration: Configuration
    port: int
    clock: Clock
    accounts: StorageAccounts
    host: Host
    captured_outputs: CapturedOutputs
    supplied_inputs: SuppliedInputs
    recording: Recording
    worker: InProcessWorker
    insights_note: str | None = None

    @property
    def url(self) -> str:
        """The URL of the web server, without a slash at the end."""
        return f"http://localhost:{self.port}"

    @property
    def dashboard_url(self) -> str | None:
        """The URL of the dashboard; None if there is none."""
        path = self.configuration.dashboard_path
        return None if path is None else f"{self.url}/{path}/"

    @property
    def storage(self) -> str | None:
        """A description of AzureWebJobsStorage for users; None if the app has no storage."""
        try:
            return self.accounts(DEFAULT_CONNECTION).description
        except ConnectionNotConfigured:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessResources:
    """What a process of `azemu start` offers to its host. A host in a test has none of it.

    `app_loop`: the loop for user code, which the main thread runs; None: one on a thread of its own. `restart`: called
    for /admin/host/restart, should leave and enter `open_app` again; without it there is no such endpoint.
    `hosts_folder`: a folder in which a host keeps what the next one needs to take over its work if it is killed; None:
    the next one waits until the locks of the killed host expire. `storage_restarted`: the storage emulator was killed
    and started again since the last host, and may have lost its last writes. `telemetry`: honour the settings of
    Application Insights. A host in a test sends nothing there.
    """

    app_loop: AppLoop | None = None
    restart: Callable[[], None] | None = None
    hosts_folder: Path | None = None
    storage_restarted: bool = False
    telemetry: bool = False


@dataclass(frozen=True, slots=True)
class LastingParts:
    """What outlives a host in a test, in which the next host may use it after a crash.

    `secrets`: the store of the app's keys; None: the one that its settings name. `time`: virtual time, for the
    dashboard; None: real time.
    """

    accounts: StorageAccounts
    secrets: SecretsRepository | None = None
    captured_outputs: CapturedOutputs = field(default_factory=CapturedOutputs)
    supplied_inputs: SuppliedInputs = field(default_factory=SuppliedInputs)
    time: TimeControl | None = None


@asynccontextmanager
async def open_app(
    options: StartOptions | Configuration,
    *,
    clock: Clock | None = None,
    new_id: NewId = new_id,
    drain_seconds: float = DRAIN_SECONDS,
    around_worker: AroundWorker | None = None,
    around_account: AroundAccount | None = None,
    lasting: LastingParts | None = None,
    process: ProcessResources = ProcessResources(),
) -> AsyncIterator[App]:
    """Run a host while entered. The body begins when it is running, or has failed to load the app (`host.status`).

    `options`: start options, or the configuration that was read for them.
    `around_worker`: wraps the app's worker, to see or replace invocations. `around_account`: wraps each storage
    account, to see its calls or let them fail. `lasting`: what outlives this host; None: only what the settings
    name. `process`: what the process offers beside.
    Leaving stops the host: running requests, then running invocations, may take `drain_seconds` in all. The app's
    settings are in os.environ while entered. Raises ConfigurationError, PortUnavailable, StorageUnavailable.
    """
    clock = clock or SystemClock()
    started_at = clock.now()
    configuration = options if isinstance(options, Configuration) else configure(options, os.environ)
    async with AsyncExitStack() as stack:
        listeners = stack.enter_context(_listening(configuration))
        port = listeners[0].getsockname()[1]
        stack.enter_context(hidden_from_forks(partial(_open_descriptors, asyncio.get_running_loop(), listeners)))
        recording = Recording(clock)
        stack.enter_context(recording.recording_lines())
        # User code reads its settings from the environment, also while its modules are imported.
        stack.enter_context(PROCESS.containing(configuration.environment(port)))
        if lasting is None:
            lasting = LastingParts(
                await stack.enter_async_context(open_accounts(configuration.settings, clock, log_outages=True))
            )
        accounts = lasting.accounts.around(around_account) if around_account else lasting.accounts
        insights = (
            read_insights(configuration.settings, configuration.host, service=configuration.root.name)
            if process.telemetry
            else Insights()
        )
        tracer = await _open_tracer(stack, configuration, insights, clock=clock, new_id=new_id)
        requests = RequestCounts()
        status, routes, drain = HostStatus(), FunctionRoutes(), Drain(clock, drain_seconds)
        captured_outputs, supplied_inputs = lasting.captured_outputs, lasting.supplied_inputs
        keys = open_keys(configuration, clock, new_id=new_id, secrets=lasting.secrets)
        callers = CallerRules.of(configuration)
        context = ExtensionContext(
            options=configuration.host,
            settings=configuration.settings,
            accounts=accounts.around(partial(counted, counts=requests)),
            clock=clock,
            new_id=new_id,
            host_id=host_id(configuration.root, configuration.settings),
            open_locks=lambda: _open_locks(context),
            stop_seconds=drain.stop_seconds,
            # Called only when the host runs, so the variable is bound by then.
            functions=lambda: host.catalog.functions,
            load_errors=lambda: host.load_errors,
            captured_outputs=captured_outputs,
            supplied_inputs=supplied_inputs,
            routes=routes,
            callers=callers,
            wait_until_running=status.wait_until_running,
            wait_until_stopping=status.wait_until_stopping,
            system_key=keys.system_key,
            origin=lambda: f"http://localhost:{port}",
            any_port=configuration.port == 0,
            hosts_folder=process.hosts_folder,
            storage_restarted=process.storage_restarted,
            first_start=configuration.first_start,
            tracer=tracer,
            # Entered after the accounts and before the host, so that extensions may use storage until the end.
            resources=stack.enter_context(ExitStack()),
        )
        extensions = open_extensions(context)
        worker = InProcessWorker(
            configuration.root,
            settings=dict(os.environ),
            clock=clock,
            on_log=log_outside_invocations,
            app_loop=process.app_loop,
            sends_telemetry=process.telemetry and is_on(configuration.settings),
        )
        parts = HostParts(
            worker=around_worker(worker) if around_worker else worker,
            extensions=extensions,
            options=configuration.host,
            settings=configuration.settings,
            status=status,
            fallback=fallback(context),
            captured_outputs=captured_outputs,
            recording=recording,
            tracer=tracer,
        )
        host = Host(parts, clock=clock, new_id=new_id)

        def dashboard_parts() -> DashboardParts:
            from emulator.dashboard.parts import DashboardParts  # Loaded when the dashboard is opened.

            return DashboardParts(
                configuration=configuration,
                port=port,
                host=host,
                accounts=accounts,
                clock=clock,
                new_id=new_id,
                started_at=started_at,
                recording=recording,
                requests=requests,
                captured_outputs=captured_outputs,
                supplied_inputs=supplied_inputs,
                worker=worker,
                wait_until_stopping=drain.wait_until_begun,
                time=lasting.time,
            )

        dashboard = configuration.dashboard_path
        commands = HostCommands(drain=host.drain, restart=process.restart)
        site = SiteParts(
            host=host,
            extensions=extensions,
            routes=routes,
            keys=keys,
            callers=callers,
            captured_outputs=captured_outputs,
            supplied_inputs=supplied_inputs,
            commands=commands,
            accounts=accounts,
            dashboard=() if dashboard is None else mounted_routes(dashboard, dashboard_parts),
            tracer=tracer,
        )
        # The web server is entered before the host and left after it: it also responds while the host starts, while it
        # stops and after it has failed to start.
        server = await stack.enter_async_context(
            open_site(configuration, site, sockets=listeners, clock=clock, new_id=new_id)
        )
        await stack.enter_async_context(host.running(drain))
        if dashboard is not None:
            _warn_of_hidden_routes(routes, dashboard)
        # Requests end before the host stops, because they still need its functions.
        stack.push_async_callback(server.listener.drain, drain_seconds)
        stack.callback(drain.begin)
        # A retry may be hours away, and requests and listeners wait for it.
        stack.callback(host.stop_retrying)
        yield App(
            configuration=configuration,
            port=port,
            clock=clock,
            accounts=accounts,
            host=host,
            captured_outputs=captured_outputs,
            supplied_inputs=supplied_inputs,
            recording=recording,
            worker=worker,
            insights_note=insights.note,
        )


async def _open_tracer(
    stack: AsyncExitStack, configuration: Configuration, insights: Insights, *, clock: Clock, new_id: NewId
) -> Tracer | None:
    """Open the exports of telemetry. Return the tracer that records for them; None: there is none."""
    record: list[Callable[[Span], None]] = []
    if configuration.otlp is not None:
        from emulator.telemetry.exporter import exporting  # Loaded only by hosts with traces.

        record.append(await stack.enter_async_context(exporting(configuration.otlp, clock)))
    export = None
    if insights.target is not None:
        from emulator.insights.exporting import exporting as exporting_insights

        export = await stack.enter_async_context(exporting_insights(insights.target, clock))
        record.append(export.record)
    if not record:
        return None

    def record_all(span: Span) -> None:
        for record_one in record:
            record_one(span)

    tracer = Tracer(clock, new_id, record[0] if len(record) == 1 else record_all)
    if export is not None:
        stack.enter_context(export.recording_lines(tracer))
    return tracer


def _warn_of_hidden_routes(routes: FunctionRoutes, dashboard: str) -> None:
    """Warn about functions that cannot be called, because the dashboard has their path."""
    for route in routes.all:
        first = route.template.segments[0].only if route.template.segments else None
        if isinstance(first, str) and first.lower() == dashboard.lower():
            _log.warning(
                "The function '%s' cannot be called: its route begins with /%s, the path of azemu's dashboard. Choose "
                "another path for the dashboard (azemu start --dashboard-path NAME).",
                route.name,
                dashboard,
            )


def _open_locks(context: ExtensionContext) -> HostLocks:
    try:
        account = context.accounts(DEFAULT_CONNECTION)
    except ConnectionNotConfigured:
        return LocalHostLocks()
    journal = None
    # In Azure, a host with this name and folder may run on another machine, whose file locks cannot be seen here.
    if context.hosts_folder is not None and context.accounts.is_emulated(DEFAULT_CONNECTION):
        journal = context.resources.enter_context(open_lease_journal(context.hosts_folder))
    return BlobHostLocks(
        account.container(LOCK_CONTAINER),
        context.host_id,
        clock=context.clock,
        new_id=context.new_id,
        listener_lease=context.options.singleton.listener_lock_period,
        singleton_lease=context.options.singleton.lock_period,
        journal=journal,
    )


@contextmanager
def _listening(configuration: Configuration) -> Iterator[Sequence[socket.socket]]:
    """Listen on the port of the web server. Raises PortUnavailable.

    The sockets are opened first, because its port becomes part of the app's environment (WEBSITE_HOSTNAME).
    """
    # The supervisor keeps the sockets open while the host restarts, so that requests wait instead of being refused.
    if configuration.listeners:
        yield configuration.listeners
        return
    with ExitStack() as stack:
        yield [stack.enter_context(sock) for sock in listening_sockets(configuration.address, configuration.port)]


def _open_descriptors(loop: asyncio.AbstractEventLoop, listeners: Sequence[socket.socket]) -> Iterator[int]:
    """Return the files of the host that a forked process must not have: above all its port and its connections."""
    yield from (listener.fileno() for listener in listeners)
    # All connections, pipes and sockets that the loop watches. The documented interface of asyncio does not list them;
    # a loop without this attribute (on Windows, which has no fork) leaves only the listening sockets.
    selector = getattr(loop, "_selector", None)
    watched = selector.get_map() if isinstance(selector, selectors.BaseSelector) else None
    yield from [key.fd for key in (watched or {}).values()]
