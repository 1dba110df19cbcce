"""Test host: a functions host on a thread and an event loop of its own, opened and closed from another thread.

The test's own loop can therefore be any loop, or none, and a test that blocks does not block the host.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import aiohttp

from emulator.accounts import open_accounts
from emulator.app import App, AroundAccount, LastingParts, ProcessResources, open_app
from emulator.app_storage import open_app_storage
from emulator.bound_aiohttp import BoundSession
from emulator.clock import Clock, SystemClock, new_event_loop
from emulator.config.connections import DEFAULT_CONNECTION, BuiltinConnection, resolve_connection
from emulator.config.start import Configuration, StartOptions, configure
from emulator.diagnosis.explanation import Explanation
from emulator.diagnosis.opening import open_diagnosis, running_host
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.hub import TaskHub
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.errors import ConfigurationError
from emulator.host.console.output import Console, LevelRules, console_logging
from emulator.ids import new_id
from emulator.listening import listening_sockets
from emulator.storage.accounts import StorageAccounts
from emulator.testing.chaos import Chaos, ChaosRun
from emulator.testing.errors import AppBroken, FunctionsInError, TookTooLong
from emulator.testing.http import HttpClient
from emulator.testing.observers.app_files import AppFiles
from emulator.testing.observers.determinism import DeterminismCheck, NotDeterministic, with_determinism_check
from emulator.testing.observers.leftover_work import LeftoverWork
from emulator.testing.observers.log_capture import LogCapture
from emulator.testing.observers.real_waits import RealWaits
from emulator.testing.overrides import ActivityOverrides, Instrumentation, with_overrides
from emulator.testing.secrets import MemorySecrets
from emulator.virtual_time import VirtualClock
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Worker

T = TypeVar("T")

# Real seconds.
START_SECONDS = 60.0
_STOP_SECONDS = 60.0
# An invocation that still runs when the test is over is abandoned after this time.
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RunningApp:
    """The parts of a running app. They are used on the host's loop only.

    `current`: returns the running host, which is another one after a crash. `accounts`: the app's storage, without
    faults.
    """

    current: Callable[[], App]
    accounts: StorageAccounts
    hub: TaskHub
    http: HttpClient

    @property
    def app(self) -> App:
        """The running host."""
        return self.current()

    async def explain(self, instance_id: str) -> Explanation:
        """Explain why an instance does not progress."""
        app = self.app
        settings = app.configuration.settings
        options = resolve_options(app.configuration.host.section(DurableTaskOptions), settings)
        host = running_host(app.host, app.worker, app.configuration.root)
        return await open_diagnosis(options, self.accounts, app.clock, host=host).why(instance_id)


class HostThread:
    """A host on its own thread: `open` it, `run` coroutines on its loop from any other thread, `close` it."""

    def __init__(
        self, options: StartOptions, clock: Clock, *, check_determinism: bool, chaos: Chaos | None = None
    ) -> None:
        self.clock = clock
        self._options = options
        files = AppFiles(options.app)
        self._chaos = ChaosRun(chaos, clock, files) if chaos is not None and isinstance(clock, VirtualClock) else None
        self._determinism = DeterminismCheck(files) if check_determinism else None
        self.instrumentation = Instrumentation(
            overrides=ActivityOverrides(),
            logs=LogCapture(),
            real_waits=RealWaits(files),
            leftover_work=LeftoverWork(files),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._opened: Future[RunningApp] = Future()
        self._ended: Future[None] = Future()
        # A daemon: if the host cannot be stopped, the test run must still be able to end.
        self._thread = threading.Thread(target=self._run_host, name="azemu test host", daemon=True)

    def open(self) -> RunningApp:
        """Start the host; block until the app runs. Raises AppBroken, TookTooLong and what `open_app` raises."""
        self._thread.start()
        try:
            return self._opened.result(START_SECONDS)
        except TimeoutError:
            raise self._too_long("start the app", START_SECONDS) from None

    def warn_of_functions_in_error(self, running: RunningApp) -> None:
        """Issue FunctionsInError if the app would have no functions on Azure: its tests could pass all the same."""
        if errors := running.app.host.status.errors:
            warnings.warn(FunctionsInError("\n".join(errors)), stacklevel=2)

    def close(self) -> None:
        """Stop the host; block until everything has ended. Raises TookTooLong, and errors of the running host."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise self._too_long("stop the app", _STOP_SECONDS)
        self._ended.result(timeout=0)

    def check_determinism(self) -> None:
        """Raise NotDeterministic if an orchestrator of the app has made a mistake so far."""
        if self._determinism is not None and self._determinism.findings:
            raise NotDeterministic(self._determinism.findings)

    @property
    def chaos(self) -> ChaosRun:
        """The chaos of this app. Raises ConfigurationError if it runs without."""
        if self._chaos is None:
            raise ConfigurationError("The app runs without chaos, so there is no report. Start it with chaos=Chaos(…).")
        return self._chaos

    @property
    def has_chaos(self) -> bool:
        """Whether faults happen."""
        return self._chaos is not None

    def run(self, doing: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run a coroutine on the host's loop; block until it has ended.

        `doing` completes the sentence "Could not …". Raises TookTooLong after `seconds` of real time.
        """
        begun = self.clock.now()
        future = self._submit(work)
        try:
            return future.result(seconds)
        except TimeoutError:
            # A TimeoutError of the coroutine itself.
            if future.done():
                raise
            future.cancel()
            raise self._too_long(doing, seconds, begun) from None

    async def run_async(self, doing: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Do the same as `run` without blocking the caller's loop."""
        begun = self.clock.now()
        future = asyncio.wrap_future(self._submit(work))
        # Not emulator.clock.within: the limit is in real time, and the caller's loop may be any loop.
        done, _ = await asyncio.wait({future}, timeout=seconds)
        if not done:
            future.cancel()
            raise self._too_long(doing, seconds, begun)
        return future.result()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        loop = self._loop
        if loop is None or loop.is_closed():
            # Otherwise Python warns that the coroutine was never awaited.
            work.close()
            raise RuntimeError("The app has been stopped.")
        return asyncio.run_coroutine_threadsafe(work if self._chaos is None else self._chaos.call(work), loop)

    def _too_long(self, doing: str, seconds: float, begun: datetime | None = None) -> TookTooLong:
        explanation = self.clock.explain() if isinstance(self.clock, VirtualClock) else ""
        if begun is not None and (passed := self.clock.now() - begun) > timedelta(seconds=seconds):
            explanation += (
                f"\nMeanwhile virtual time advanced by {passed}. An orchestration that never ends (continue_as_new) "
                "needs a limit: wait(…, within=…) or advance(…). One that loops hundreds of times should continue as "
                "new: each episode replays the whole history, on Azure, too, and takes longer than the one before."
            )
        return TookTooLong(doing, seconds, explanation)

    # On the host's thread ----------------------------------------------------------------------------------------

    def _run_host(self) -> None:
        async def run_until_closed() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self.instrumentation.logs.register_host_thread()
            async with self._running_app() as running:
                self._opened.set_result(running)
                await self._stop.wait()

        # Virtual time needs the clock's own loop.
        factory = self.clock.new_loop if isinstance(self.clock, VirtualClock) else new_event_loop
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(run_until_closed())
        except BaseException as error:
            # BaseException too: the thread that opens or closes the host waits for one of these two futures.
            if self._opened.done():
                self._ended.set_exception(error)
            else:
                self._opened.set_exception(error)
                self._ended.set_result(None)
        else:
            self._ended.set_result(None)

    @asynccontextmanager
    async def _running_app(self) -> AsyncIterator[RunningApp]:
        # `ending` is left last: time must still advance while the resources on the other stack are closed.
        with ExitStack() as ending:
            async with AsyncExitStack() as stack:
                configuration = configure(self._options, os.environ)
                rules = LevelRules(configured=configuration.host.logging.log_level, verbose=self._options.verbose)
                console = Console(self.instrumentation.logs.console, clock=self.clock, rules=rules)
                console.addFilter(self.instrumentation.logs.filter)
                stack.enter_context(console_logging(console))
                configuration = await self._open_storage(configuration, console, stack)
                accounts = await stack.enter_async_context(
                    open_accounts(configuration.settings, self.clock, log_outages=True)
                )
                current = await stack.enter_async_context(
                    self._hosts(
                        configuration,
                        LastingParts(
                            accounts, MemorySecrets(), time=self.clock if isinstance(self.clock, VirtualClock) else None
                        ),
                    )
                )
                app = current()
                # `azemu start` keeps running and shows the error; a test must fail.
                if app.host.status.errors and not app.host.catalog.functions:
                    raise AppBroken("\n".join(app.host.status.errors))
                session = BoundSession(cookie_jar=aiohttp.DummyCookieJar())
                stack.push_async_callback(session.close)
                # A task hub client of its own, which shares only the storage with the app's engine: what a test reads
                # has been stored.
                options = resolve_options(
                    app.configuration.host.section(DurableTaskOptions), app.configuration.settings
                )
                tracking = options.storage_provider.tracking_store_connection_name
                hub = AzureStorageTaskHub(
                    options,
                    accounts(options.storage_provider.connection_name),
                    clock=self.clock,
                    new_id=new_id,
                    tracking=accounts(tracking) if tracking else None,
                )
                # Without a cookie jar: a test that wants cookies sends them itself.
                origin = f"http://127.0.0.1:{app.port}"
                during = nullcontext if self._chaos is None else self._chaos.turns.taken

                def waits_for_time() -> bool:
                    # A host that crashes may wait for a storage call that is delayed, and the next one starts after it.
                    is_between_hosts = self._chaos is not None and self._chaos.is_between_hosts
                    return is_between_hosts or current().host.only_waits_for_retries

                http = HttpClient(session, origin, self.clock, waits_for_time, during)
                try:
                    yield RunningApp(current, accounts, hub, http)
                finally:
                    if isinstance(self.clock, VirtualClock):
                        # Stopping may need time (the drain polls), and no test lets it advance any more. After the
                        # drain time has to advance even if user code never returns.
                        ending.enter_context(self.clock.running(upkeep=True))
                        asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self.clock.ignore_work)

    @asynccontextmanager
    async def _hosts(self, configuration: Configuration, lasting: LastingParts) -> AsyncIterator[Callable[[], App]]:
        """Run a host while entered; with chaos, one after the other. Yields a function that returns the running one."""
        chaos = self._chaos
        if chaos is None:
            async with open_app(
                configuration,
                clock=self.clock,
                drain_seconds=_DRAIN_SECONDS,
                around_worker=self._instrumented,
                lasting=lasting,
            ) as app:
                yield lambda: app
            return
        with TemporaryDirectory(prefix="azemu-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
            # All hosts have the same address, and a request that comes during a restart waits.
            listeners = [
                stack.enter_context(sock) for sock in listening_sockets(configuration.address, configuration.port)
            ]

            def open_host(around_account: AroundAccount) -> AbstractAsyncContextManager[App]:
                return open_app(
                    replace(configuration, listeners=listeners),
                    clock=self.clock,
                    new_id=chaos.new_id,
                    # A host that crashes finishes nothing.
                    drain_seconds=0,
                    around_worker=lambda worker: chaos.around_worker(self._instrumented(worker)),
                    around_account=around_account,
                    lasting=lasting,
                    # As a host of `azemu start` after a kill: it takes over the locks of the last one at once.
                    process=ProcessResources(hosts_folder=Path(folder)),
                )

            async with chaos.hosts(open_host) as current:
                yield current

    async def _open_storage(
        self, configuration: Configuration, console: Console, stack: AsyncExitStack
    ) -> Configuration:
        """Open the storage that the configuration asks for. Return the configuration with its connection settings."""
        if isinstance(self.clock, VirtualClock) and not isinstance(
            resolve_connection(configuration.settings, DEFAULT_CONNECTION), BuiltinConnection
        ):
            # A server hides messages and expires leases by its own time, so time in the test would not match.
            raise ConfigurationError(
                'clock="virtual" needs the built-in storage, because a storage server runs in real time. Use '
                'storage="memory" or a file, or clock="real".'
            )
        opening = open_app_storage(configuration, clock=SystemClock(), print_line=console.print)
        storage = await stack.enter_async_context(opening)
        if not storage.settings:
            return configuration
        settings = {**self._options.settings, **storage.settings}
        return configure(replace(self._options, settings=settings), os.environ)

    def _instrumented(self, worker: AbstractAsyncContextManager[Worker]) -> AbstractAsyncContextManager[Worker]:
        if isinstance(worker, InProcessWorker) and isinstance(self.clock, VirtualClock):
            leftover_work = self.instrumentation.leftover_work
            leftover_work.app_loop = worker.app_loop
            self.clock.wait_for_unreported_work(leftover_work.exists)
        if isinstance(worker, InProcessWorker) and self._chaos is not None:
            worker.wrap_functions(self._chaos.effects.observed)
        # The check is inside: it runs orchestrators twice, and the other observers must see one invocation.
        if self._determinism is not None:
            worker = with_determinism_check(worker, self._determinism)
        return with_overrides(worker, self.instrumentation, self.clock)
