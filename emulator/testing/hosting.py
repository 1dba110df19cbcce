"""A host on a thread and a loop of its own, opened and closed from another thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import aiohttp

from emulator.app import App, open_app
from emulator.app_storage import open_app_storage
from emulator.clock import Clock, SystemClock
from emulator.config.connections import DEFAULT_CONNECTION, BuiltinConnection, resolve_connection
from emulator.config.start import Configuration, StartOptions, configure
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.hub import TaskHub
from emulator.durable.options import DurableTaskOptions, resolve_options
from emulator.errors import ConfigurationError
from emulator.host.console.output import Console, LevelRules, console_logging
from emulator.host.status import HostState
from emulator.ids import new_id
from emulator.testing.errors import AppBroken, TookTooLong
from emulator.testing.http import Http
from emulator.testing.overrides import Steering, SteeringParts, steered
from emulator.testing.secrets import MemorySecrets
from emulator.testing.watching.appfiles import AppFiles
from emulator.testing.watching.awaited import Awaited
from emulator.testing.watching.determinism import Determinism, NotDeterministic, checked
from emulator.testing.watching.leftover_work import Stragglers
from emulator.testing.watching.records import Records
from emulator.testing.watching.slowness import Slowness
from emulator.virtual_time import VirtualClock
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Worker

T = TypeVar("T")

START_SECONDS = 60.0
_STOP_SECONDS = 60.0
# An invocation that still runs when the test is over is given up after this (real) time.
_DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Hosted:
    """What runs on the host's loop."""

    app: App
    hub: TaskHub
    http: Http


class HostThread:
    """`open` it, `run` coroutines on the host's loop from any other thread, `close` it."""

    def __init__(self, options: StartOptions, clock: Clock, *, check_determinism: bool) -> None:
        self._options = options
        files = AppFiles(options.app)
        self._determinism = Determinism(files) if check_determinism else None
        self.clock = clock
        self.records = Records()
        self.steering = Steering()
        self.slowness = Slowness(files)
        self.awaited = Awaited()
        self._stragglers = Stragglers(files)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: Future[Hosted] = Future()
        self._stop: asyncio.Event | None = None
        self._ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="azemu test host", daemon=True)

    @property
    def hosted(self) -> Hosted:
        return self._opened.result(timeout=0)

    def open(self) -> Hosted:
        """Blocks until the app runs. Raises AppBroken and what `open_app` raises."""
        self._thread.start()
        try:
            return self._opened.result(START_SECONDS)
        except TimeoutError:
            raise self._too_long("start the app", START_SECONDS) from None

    def close(self) -> None:
        """Blocks until everything has ended. Raises what went wrong in the host meanwhile."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        self._thread.join(_STOP_SECONDS)
        if self._thread.is_alive():
            raise self._too_long("stop the app", _STOP_SECONDS)
        self._ended.result(timeout=0)

    def check(self) -> None:
        """Raises NotDeterministic for what the app's orchestrators did so far."""
        if self._determinism is not None and self._determinism.findings:
            raise NotDeterministic(self._determinism.findings)

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start it on the host's loop. Cancelling the future cancels it."""
        loop = self._loop
        if loop is None or loop.is_closed():
            work.close()
            raise RuntimeError("The app has been stopped.")
        return asyncio.run_coroutine_threadsafe(work, loop)

    def run(self, doing: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Its result. `doing` completes "Could not …". Raises TookTooLong."""
        begun = self.clock.now()
        future = self.submit(work)
        try:
            return future.result(seconds)
        except TimeoutError:
            if future.done():
                raise
            future.cancel()
            raise self._too_long(doing, seconds, begun) from None

    async def run_async(self, doing: str, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """The same for a caller on another loop."""
        begun = self.clock.now()
        future = self.submit(work)
        waiting = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({waiting}, timeout=seconds)
        if not done:
            waiting.cancel()
            raise self._too_long(doing, seconds, begun)
        return waiting.result()

    def _too_long(self, doing: str, seconds: float, begun: datetime | None = None) -> TookTooLong:
        explanation = self.clock.explain() if isinstance(self.clock, VirtualClock) else ""
        if begun is not None and self.clock.now() - begun > timedelta(seconds=seconds):
            # It went on all the time, but to no end: an eternal orchestration, say.
            explanation += f"\nMeanwhile virtual time went on by {self.clock.now() - begun}."
        return TookTooLong(doing, seconds, explanation)

    # On the host's thread ----------------------------------------------------------------------------------------

    def _main(self) -> None:
        factory = self.clock.new_loop if isinstance(self.clock, VirtualClock) else None
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._serve())
        except BaseException as error:
            # Whoever opens it gets it; later on, whoever closes it.
            if self._opened.done():
                self._ended.set_exception(error)
            else:
                self._opened.set_exception(error)
                self._ended.set_result(None)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.records.on_this_thread()
        async with self._hosted() as hosted:
            self._opened.set_result(hosted)
            await self._stop.wait()

    @asynccontextmanager
    async def _hosted(self) -> AsyncIterator[Hosted]:
        with ExitStack() as ending:
            async with AsyncExitStack() as stack:
                configuration = configure(self._options, os.environ)
                console = self._console(configuration)
                stack.enter_context(console_logging(console))
                configuration = await self._with_storage(configuration, console, stack)
                app = await stack.enter_async_context(
                    open_app(
                        configuration,
                        clock=self.clock,
                        drain_seconds=_DRAIN_SECONDS,
                        around_worker=self._steered,
                        secrets=MemorySecrets(),
                    )
                )
                if app.host.status.state is HostState.ERROR:
                    raise AppBroken("\n".join(app.host.status.errors))
                session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
                try:
                    yield Hosted(app, _hub(app, self.clock), Http(session, f"http://127.0.0.1:{app.port}", self.clock))
                finally:
                    if isinstance(self.clock, VirtualClock):
                        # Ending may need time (a drain that polls): from here on it runs by itself, and soon also
                        # under user code that never returns.
                        ending.enter_context(self.clock.running(upkeep=True))
                        asyncio.get_running_loop().call_later(_DRAIN_SECONDS, self.clock.give_up_on_work)

    async def _with_storage(
        self, configuration: Configuration, console: Console, stack: AsyncExitStack
    ) -> Configuration:
        """With the storage that it asks for, which may have to be started."""
        if isinstance(self.clock, VirtualClock):
            _check_lives_by_a_clock(configuration)
        opening = open_app_storage(configuration, clock=SystemClock(), say=console.print)
        storage = await stack.enter_async_context(opening)
        if not storage.settings:
            return configuration
        settings = {**self._options.settings, **storage.settings}
        return configure(replace(self._options, settings=settings), os.environ)

    def _console(self, configuration: Configuration) -> Console:
        rules = LevelRules(configured=configuration.host.logging.log_level, verbose=self._options.verbose)
        console = Console(self.records.output, clock=self.clock, rules=rules)
        console.addFilter(self.records.filter)
        return console

    def _steered(self, worker: AbstractAsyncContextManager[Worker]) -> AbstractAsyncContextManager[Worker]:
        if isinstance(worker, InProcessWorker) and isinstance(self.clock, VirtualClock):
            self._stragglers.loop = worker.app_loop
            self.clock.ask_before_jumping(self._stragglers.at_work)
        if self._determinism is not None:
            worker = checked(worker, self._determinism)
        parts = SteeringParts(self.steering, self.records, self.slowness, self._stragglers, self.awaited, self.clock)
        return steered(worker, parts)


def _check_lives_by_a_clock(configuration: Configuration) -> None:
    """Messages of a server become visible by the server's time, whatever ours is. Raises ConfigurationError."""
    connection = resolve_connection(configuration.settings, DEFAULT_CONNECTION)
    if not isinstance(connection, BuiltinConnection):
        raise ConfigurationError(
            'clock="virtual" needs the built-in storage, which lives by that clock; the storage of this test is a '
            'server. Use storage="memory" or a file, or clock="real".'
        )


def _hub(app: App, clock: Clock) -> TaskHub:
    """The app's task hub, as a client that shares nothing with the engine but the storage."""
    options = resolve_options(app.configuration.host.section(DurableTaskOptions), app.configuration.settings)
    provider = options.storage_provider
    tracking = provider.tracking_store_connection_name
    return AzureStorageTaskHub(
        options,
        app.accounts(provider.connection_name),
        clock=clock,
        new_id=new_id,
        tracking=app.accounts(tracking) if tracking else None,
    )
