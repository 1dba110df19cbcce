"""The only composition root: settings → storage, clock, worker, extensions, host, HTTP.

    async with open_app(StartOptions(app=Path("."))) as app:
        print(app.url)                          # running
                                                # stopped: requests finished, work drained, leases released

Which class stands for which port is decided here and nowhere else.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from emulator.accounts import DEFAULT_CONNECTION, Accounts, open_accounts
from emulator.clock import Clock, SystemClock
from emulator.config.connections import ConnectionNotConfigured
from emulator.config.start import Configuration, StartOptions, configure
from emulator.durable.azurestorage.crash_recovery.host_identity import ClaimIdentity, no_identity, open_host_identities
from emulator.environment import PROCESS
from emulator.extensions.durable.extension import SYSTEM_KEY, DurableHost, durable_extension
from emulator.extensions.http.extension import route_check
from emulator.extensions.registry import builtin_extensions
from emulator.host.admin.api import HostCommands
from emulator.host.console.invocationlog import outside_of_invocations
from emulator.host.host import DRAIN_SECONDS, Host, HostParts
from emulator.host.http.connections import PortUnavailable
from emulator.host.http.keys import SecretsRepository
from emulator.host.http.routes import FunctionRoutes
from emulator.host.site import OpenSite, SiteParts, open_keys, open_site
from emulator.host.status import HostStatus
from emulator.ids import NewId, new_id
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Worker

AroundWorker = Callable[[AbstractAsyncContextManager[Worker]], AbstractAsyncContextManager[Worker]]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A running host with everything around it. `port`: the one that HTTP is served on."""

    configuration: Configuration
    port: int
    clock: Clock
    accounts: Accounts
    host: Host

    @property
    def url(self) -> str:
        """Where this host is reached, without a slash at the end."""
        return f"http://localhost:{self.port}"

    @property
    def storage(self) -> str | None:
        """Where AzureWebJobsStorage lives, for people; None when the app has none."""
        try:
            return self.accounts(DEFAULT_CONNECTION).description
        except ConnectionNotConfigured:
            return None


@asynccontextmanager
async def open_app(
    options: StartOptions | Configuration,
    *,
    clock: Clock | None = None,
    new_id: NewId = new_id,
    drain_seconds: float = DRAIN_SECONDS,
    around_worker: AroundWorker | None = None,
    restart: Callable[[], None] | None = None,
    secrets: SecretsRepository | None = None,
    seats: Path | None = None,
) -> AsyncIterator[App]:
    """Start a host; the body runs when it is running, or when the app turned out to be broken (`host.status`).

    `options`: the wishes, or what the caller has found out that they mean.
    `restart`: asks whoever opened the app to open it anew, for /admin/host/restart; without it there is no such thing.
    `around_worker`: gives another worker around the app's, which sees every invocation first (tests steer with it).
    `secrets`: where the app's keys are kept; None: where its settings say. `seats`: a folder in which a host finds what
    the one before it left when it was killed; None: such things are found when their locks end.
    Leaving stops it: requests and invocations that run may take `drain_seconds` each. While it is open, the app's
    settings are in os.environ. Raises ConfigurationError, PortUnavailable, StorageUnavailable.
    """
    clock = clock or SystemClock()
    configuration = options if isinstance(options, Configuration) else configure(options, os.environ)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_listening(configuration))
        port = listener.getsockname()[1]
        stack.enter_context(PROCESS.containing(configuration.environment(port)))
        accounts = await stack.enter_async_context(open_accounts(configuration.settings, clock))
        take_seat = stack.enter_context(open_host_identities(seats, new_id)) if seats else no_identity
        base = _Base(configuration, accounts, listener, clock, new_id, drain_seconds, restart, secrets, take_seat)
        host, site = _compose(base, around_worker or (lambda worker: worker))
        # The server is there first and last: it answers for a host that starts, and for one that failed to.
        server = await stack.enter_async_context(site)
        await stack.enter_async_context(host.running(drain_seconds=drain_seconds))
        stack.push_async_callback(server.listener.drain, drain_seconds)
        yield App(configuration=configuration, port=port, clock=clock, accounts=accounts, host=host)


@dataclass(frozen=True, slots=True)
class _Base:
    """What everything else stands on."""

    configuration: Configuration
    accounts: Accounts
    listener: socket.socket
    clock: Clock
    new_id: NewId
    drain_seconds: float
    restart: Callable[[], None] | None
    secrets: SecretsRepository | None
    take_seat: ClaimIdentity


def _compose(base: _Base, around_worker: AroundWorker) -> tuple[Host, AbstractAsyncContextManager[OpenSite]]:
    """The host and its web site, neither of them running."""
    configuration, clock, new_id = base.configuration, base.clock, base.new_id
    prefix = configuration.host.http.route_prefix
    status, routes = HostStatus(), FunctionRoutes()
    keys = open_keys(configuration, clock, new_id=new_id, secrets=base.secrets)
    options = configuration.host.durable_task
    emulated = base.accounts.is_emulated(options.storage_provider.connection_name)
    durable = durable_extension(
        DurableHost(
            options=options,
            settings=configuration.settings,
            accounts=base.accounts,
            system_key=lambda: keys.system_key(SYSTEM_KEY),
            origin=lambda: f"http://localhost:{base.listener.getsockname()[1]}",
            functions=lambda: host.catalog.functions,
            wait_until_running=status.wait_until_running,
            clock=clock,
            new_id=new_id,
            # It lets go before the host gives up what still runs.
            drain_seconds=base.drain_seconds * 0.8,
            # In Azure others may have the same name, so nobody may take over there before time.
            take_seat=base.take_seat if emulated else no_identity,
            any_port=configuration.port == 0,
        )
    )
    extensions = [*builtin_extensions(configuration, routes=routes, clock=clock), durable]
    worker = InProcessWorker(configuration.root, settings=dict(os.environ), clock=clock, on_log=outside_of_invocations)
    host = Host(
        HostParts(
            worker=around_worker(worker),
            extensions=extensions,
            options=configuration.host,
            settings=configuration.settings,
            status=status,
            checks=[route_check(prefix)],
        ),
        clock=clock,
        new_id=new_id,
    )
    commands = HostCommands(drain=host.drain, restart=base.restart)
    parts = SiteParts(host=host, extensions=extensions, routes=routes, keys=keys, commands=commands)
    return host, open_site(configuration, parts, sock=base.listener, clock=clock, new_id=new_id)


@contextmanager
def _listening(configuration: Configuration) -> Iterator[socket.socket]:
    """The socket is open before anything else: its port is in the app's environment. Raises PortUnavailable."""
    if configuration.listener is not None:
        yield configuration.listener
        return
    address, port = configuration.address, configuration.port
    try:
        listener = socket.create_server(
            (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=128
        )
    except OSError as error:
        raise PortUnavailable(address, port, error) from error
    with listener:
        yield listener
