"""Hosts of timer functions that do what a recording has done, in virtual time, and what they change and receive.

A recording's times are seconds; a replay runs at the same dates, so that schedules meet the same calendar.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from emulator.app import open_app
from emulator.clock import Clock
from emulator.config.start import StartOptions
from emulator.storage.builtin import open_builtin
from emulator.storage.port import BlobContainer
from emulator.virtual_time import VirtualClock
from emulator.worker.port import FunctionFailed, FunctionMetadata, Invocation, Returned, Worker
from tests.running_apps import HTTP_APP, write_app
from tests.storage_calls import StorageCalls

HOST_ID = "golden-1"
CONTAINER = "azure-webjobs-hosts"

# The functions of the recorded app. What they do is decided by the test.
FUNCTIONS = """
@app.timer_trigger(arg_name="timer", schedule="%cron%")
def TCron(timer: func.TimerRequest): ...

@app.timer_trigger(arg_name="timer", schedule="%span%")
def TSpan(timer: func.TimerRequest): ...

@app.timer_trigger(arg_name="timer", schedule="%cron%", use_monitor=False)
def TNoMonitor(timer: func.TimerRequest): ...

@app.timer_trigger(arg_name="timer", schedule="%cron%", run_on_startup=True)
def TStartup(timer: func.TimerRequest): ...

@app.timer_trigger(arg_name="timer", schedule="%cron%")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:02")
def TRetryFixed(timer: func.TimerRequest): ...

@app.timer_trigger(arg_name="timer", schedule="%cron%")
@app.retry(
    strategy="exponential_backoff", max_retry_count="4", minimum_interval="00:00:01", maximum_interval="00:00:05"
)
def TRetryExponential(timer: func.TimerRequest): ...
"""


@dataclass
class RunningHost:
    """A host. `calls`: its changes of storage. `received`: its invocations, each with the time at which it began."""

    number: int
    clock: VirtualClock
    tells: Mapping[str, str]
    calls: StorageCalls = field(default_factory=StorageCalls)
    received: list[tuple[datetime, Invocation]] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def kill(self) -> None:
        """Let nothing of this host reach storage any more. What it does then is as good as not done."""
        self.calls.cut_off = True

    @asynccontextmanager
    async def directing(self, worker: AbstractAsyncContextManager[Worker]) -> AsyncIterator[Worker]:
        """Wrap the worker, so that functions take virtual time and fail as the test tells them."""
        async with worker as real:
            yield _Directed(self, real)


class _Directed:
    def __init__(self, host: RunningHost, worker: Worker) -> None:
        self._host = host
        self._worker = worker

    async def load(self) -> Any:
        functions: list[FunctionMetadata] = list(await self._worker.load())
        return functions

    async def invoke(self, invocation: Invocation) -> Returned:
        host = self._host
        if not host.calls.cut_off:
            host.received.append((host.clock.now(), invocation))
        verb, _, seconds = host.tells.get(invocation.function, "succeed").partition(":")
        failed = FunctionFailed(type_name="ValueError", text="told to fail", stack="")
        match verb:
            case "fail":
                raise failed
            case "sleep":
                await host.clock.sleep(float(seconds))
            case "csleep":
                # It gives up when it is cancelled.
                await host.stop.wait()
                raise failed
        return await self._worker.invoke(invocation)


class Stage:
    """A storage and the hosts that use it. `tells`: what each function shall do, as in the recordings.

    `host_clock`: the clock of the hosts; None: `clock`.
    """

    def __init__(self, folder: Path, clock: VirtualClock, *, host_clock: Clock | None = None) -> None:
        self.clock = clock
        self._host_clock = host_clock or clock
        self.tells: dict[str, str] = {}
        self.hosts: list[RunningHost] = []
        self._store = folder / "storage.db"
        self._app = write_app(folder / "app", HTTP_APP, FUNCTIONS)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *error: object) -> None:
        # Stopping needs time: hosts wait for functions that still run.
        with self.clock.running(upkeep=True):
            for host in self.hosts:
                host.kill()
                host.stop.set()
                assert host.task is not None
                await host.task

    @asynccontextmanager
    async def container(self) -> AsyncIterator[BlobContainer]:
        """Open the container of locks and statuses, for the test itself."""
        async with open_builtin(self._store, self.clock) as account:
            yield account.container(CONTAINER)

    async def start(
        self, number: int, functions: str, settings: Mapping[str, str], *, reaches_storage: bool = True
    ) -> RunningHost:
        """Start a host with one function and wait until it is ready."""
        host = RunningHost(number, self.clock, self.tells)
        host.calls.cut_off = not reaches_storage
        options = StartOptions(
            app=self._app,
            port=0,
            functions=[functions],
            storage=f"builtin:{self._store}",
            settings={
                "cron": "0 0 3 * * *",
                "span": "5",
                "TZ": "UTC",
                "AzureFunctionsWebHost__hostid": HOST_ID,
                **settings,
            },
            create_host_json=False,
        )

        async def run() -> None:
            async with open_app(
                options,
                clock=self._host_clock,
                # The recorded hosts wait for functions as long as they run.
                drain_seconds=120,
                around_worker=host.directing,
                around_account=host.calls.around,
            ):
                host.ready.set()
                await host.stop.wait()

        host.task = asyncio.create_task(run(), name=f"host {number}")
        self.hosts.append(host)
        await host.ready.wait()
        return host
