"""Hosts of a simulation: engines on one hub that crash, restart, stop, and freeze."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from emulator.chaos.plan import CRASHES, FaultPlan, Injected, Intensities
from emulator.chaos.storage import Crash, around_account
from emulator.clock import Clock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.engine.worker import engine
from emulator.durable.executor import Executor
from emulator.durable.options import AzureStorageProvider, DurableTaskOptions
from emulator.errors import EmulatorError
from emulator.storage.port import StorageAccount
from tests.simulation.choices import Choices

OPTIONS = DurableTaskOptions(
    hub_name="TestHub",
    max_concurrent_activity_functions=4,
    max_concurrent_orchestrator_functions=3,
    max_concurrent_entity_functions=3,
    use_app_lease=False,
    storage_provider=AzureStorageProvider(
        partition_count=2,
        max_queue_polling_interval=timedelta(seconds=5),
        # Short, so that the messages of a crashed host come back soon.
        control_queue_visibility_timeout=timedelta(seconds=40),
        work_item_queue_visibility_timeout=timedelta(seconds=40),
    ),
)


class Trace:
    """What happened in a simulation: a digest of it, and the lines if they are wanted."""

    def __init__(self, clock: Clock, *, keep: bool = False) -> None:
        self._clock = clock
        self._digest = hashlib.blake2b(digest_size=16)
        self._keep = keep
        self.lines: list[str] = []
        self.calls = 0

    def add(self, who: str, text: str) -> None:
        line = f"{self._clock.now():%H:%M:%S.%f} {who} {text}"
        self._digest.update(line.encode())
        if self._keep:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


class HostClock:
    """The clock of one host, which stands still while the host is frozen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._frozen_until: datetime | None = None

    def freeze(self, span: timedelta) -> None:
        """Let nothing of the host go on for `span`, as if its process was stopped."""
        self._frozen_until = self._clock.now() + span

    async def thawed(self) -> None:
        """Wait until the host is not frozen."""
        while self._frozen_until is not None and self._clock.now() < self._frozen_until:
            await self._clock.sleep((self._frozen_until - self._clock.now()).total_seconds())

    def now(self) -> datetime:
        return self._clock.now()

    async def sleep(self, seconds: float, *, upkeep: bool = False, recurring: bool = False) -> None:
        await self._clock.sleep(seconds, upkeep=upkeep, recurring=recurring)
        await self.thawed()

    def busy(self) -> AbstractContextManager[None]:
        return self._clock.busy()


def traced(account: StorageAccount, who: str, trace: Trace) -> StorageAccount:
    """Return an account whose calls are in the trace when they have been done."""

    def done(name: str, target: str, arguments: tuple[Any, ...], named: dict[str, Any], result: object) -> None:
        trace.calls += 1
        trace.add(who, f"{name} {target} {arguments}{named} -> {result}")

    async def at_once() -> None:
        pass

    return cast(StorageAccount, _Around(account, at_once, done))


def freezing(account: StorageAccount, clock: HostClock) -> StorageAccount:
    """Return an account whose calls neither begin nor end while the host is frozen."""
    return cast(StorageAccount, _Around(account, clock.thawed, None))


_Done = Callable[[str, str, tuple[Any, ...], dict[str, Any], object], None]


class _Around:
    def __init__(self, real: Any, gate: Callable[[], Any], done: _Done | None) -> None:
        self._real, self._gate, self._done = real, gate, done

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._real, name)
        if name in ("queue", "table", "container", "lease"):
            return lambda *arguments, **named: _Around(member(*arguments, **named), self._gate, self._done)
        if inspect.isasyncgenfunction(member):
            return self._listing(name, member)
        if inspect.iscoroutinefunction(member):
            return self._calling(name, member)
        return member

    def _calling(self, name: str, method: Any) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            await self._gate()
            try:
                result = await method(*arguments, **named)
            except EmulatorError as error:
                self._note(name, arguments, named, error)
                await self._gate()
                raise
            self._note(name, arguments, named, result)
            await self._gate()
            return result

        return call

    def _listing(self, name: str, method: Any) -> Any:
        async def items(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            await self._gate()
            async for item in method(*arguments, **named):
                yield item
            self._note(name, arguments, named, None)

        return items

    def _note(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any], result: object) -> None:
        if self._done is not None and name != "wait":
            self._done(name, getattr(self._real, "name", ""), arguments, named, result)


@dataclass
class SimulatedHost:
    """A host process that is started again whenever it has ended."""

    name: str
    seed: int
    account: StorageAccount
    clock: Clock
    app: Callable[[Clock], Executor]
    trace: Trace
    intensities: Intensities
    stop_at: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.host_clock = HostClock(self.clock)
        self._choices = Choices(self.seed, self.name)
        self._new_id = Choices(self.seed, f"ids of {self.name}").new_id()
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self.happened: list[Injected] = []
        self.plan = FaultPlan(seed=self.seed, intensities=self.intensities, budget=40, crashes=4)

    def restart(self) -> None:
        """Stop the process in order; it is started again."""
        self._stop.set()

    def end(self) -> None:
        """Stop the process in order and for ever."""
        self._ended.set()
        self._stop.set()

    async def run(self) -> None:
        """Run until `end`."""
        while not self._ended.is_set():
            self._stop.clear()
            crash = Crash()
            process = asyncio.create_task(self._process(crash), name=f"{self.name} run {self.plan.run}")
            waits = [asyncio.create_task(event.wait()) for event in (crash.happened, self._stop)]
            await asyncio.wait([process, *waits], return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            what = "crashed" if crash.happened.is_set() else "stops"
            self.trace.add(self.name, f"{what} {crash.fault or ''}")
            process.cancel()
            [outcome] = await asyncio.gather(process, return_exceptions=True)
            if isinstance(outcome, Exception) and not isinstance(outcome, EmulatorError | ExceptionGroup):
                raise outcome
            if self._ended.is_set():
                return
            # A later process has other faults at the same calls, and no more than what is left of them.
            self.happened += self.plan.happened
            self.plan = replace(
                self.plan,
                budget=self.plan.budget - len(self.plan.happened),
                crashes=self.plan.crashes - sum(fault.fault in CRASHES for fault in self.plan.happened),
                run=self.plan.run + 1,
                happened=[],
                _calls=Counter(),
            )
            await self.clock.sleep(self._choices.seconds("pause", 60))

    async def _process(self, crash: Crash) -> None:
        storage = traced(self.account, self.name, self.trace)
        storage = around_account(storage, self.plan, clock=self.clock, crash=crash, host=self.name)
        storage = freezing(storage, self.host_clock)
        # The name stays: it is that of a machine.
        hub = AzureStorageTaskHub(
            OPTIONS, storage, clock=self.host_clock, new_id=self._new_id, worker_id=f"{self.name}-{self.plan.run}"
        )
        async with (
            hub.working(),
            engine(hub, self.app(self.host_clock), OPTIONS, clock=self.host_clock),
        ):
            await asyncio.Event().wait()
