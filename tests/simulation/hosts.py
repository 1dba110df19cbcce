"""Hosts of a simulation: engines on one hub that crash, restart, stop, and freeze."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

from emulator.chaos.plan import CRASHES, FaultPlan, Injected, Intensities
from emulator.chaos.storage import Crash, around_account
from emulator.clock import Clock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.engine.worker import engine
from emulator.durable.executor import Executor
from emulator.durable.options import AzureStorageProvider, DurableTaskOptions
from emulator.errors import EmulatorError
from emulator.storage.port import StorageAccount, StorageOutage
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

    def add(self, who: str, what: str, details: Callable[[], str] = str) -> None:
        """Note what happened. `details`: only for the lines, because the texts of arguments take much time."""
        line = f"{self._clock.now():%H:%M:%S.%f} {who} {what}"
        self._digest.update(line.encode())
        if self._keep:
            self.lines.append(f"{line} {details()}")

    def note_end(self, text: str) -> None:
        """Add what is stored in the end to the digest."""
        self._digest.update(text.encode())

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


class HostClock:
    """The clock of one host, which stands still while the host is frozen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._frozen_until: datetime | None = None

    def freeze(self, span: timedelta) -> None:
        """Let nothing of the host go on for `span`, as if its process was stopped. Nothing if it is frozen already."""
        if not self.is_frozen:
            self._frozen_until = self._clock.now() + span

    @property
    def is_frozen(self) -> bool:
        return self._frozen_until is not None and self._clock.now() < self._frozen_until

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


class Freezes:
    """Decides at which storage calls a host freezes, for how long, and that no call begins or ends meanwhile.

    A host that freezes between two calls of a checkpoint does the rest of it when another host has taken over its
    partition and its messages. `probability`: of a freeze before, and after, each call that changes something.
    `spared`: a table before whose writes it does not freeze.
    """

    def __init__(
        self, clock: HostClock, trace: Trace, host: str, choices: Choices, probability: float, *, spared: str
    ) -> None:
        self._clock, self._trace, self._host = clock, trace, host
        self._generator = choices.generator
        self._probability = probability
        self._spared = spared
        self._left = _FREEZES
        self.happened: list[str] = []

    def end(self) -> None:
        """Let the host not freeze again."""
        self._left = 0

    async def gate(self, operation: str, target: str, *, is_before: bool) -> None:
        """Freeze, or not, before or after a call; wait while the host is frozen."""
        # Another call may have frozen the host.
        await self._clock.thawed()
        if operation not in _CHANGES or not self._left or (is_before and target == self._spared):
            return
        if self._generator.random() < self._probability:
            self._left -= 1
            seconds = self._generator.uniform(*self._generator.choice(_FREEZE_SECONDS))
            self._clock.freeze(timedelta(seconds=seconds))
            where = f"{'before' if is_before else 'after'} {operation} {target}"
            self.happened.append(f"{self._host} froze for {seconds:.0f} s {where}")
            self._trace.add(self._host, f"freezes for {seconds:.0f} s {where}")
            await self._clock.thawed()


_FREEZES = 8
# Short; longer than a lease; longer than a lease and the lock of a message.
_FREEZE_SECONDS = ((1, 25), (31, 45), (75, 150))
_CHANGES = frozenset(("put", "hide", "delete", "submit", "write"))


def traced(account: StorageAccount, who: str, trace: Trace) -> StorageAccount:
    """Return an account whose calls are in the trace when they have been done."""

    def done(name: str, target: str, arguments: tuple[Any, ...], named: dict[str, Any], result: object) -> None:
        trace.calls += 1
        what = f"{name} {target} {type(result).__name__}"
        trace.add(who, what, lambda: f"{arguments}{named} -> {result}")

    return cast(StorageAccount, _Around(account, None, done))


class Gate(Protocol):
    """What calls pass before and after they are done."""

    async def gate(self, operation: str, target: str, *, is_before: bool) -> None:
        """Return when the call may go on."""


def freezing(account: StorageAccount, freezes: Gate) -> StorageAccount:
    """Return an account whose calls neither begin nor end while the host is frozen."""
    return cast(StorageAccount, _Around(account, freezes, None))


_Done = Callable[[str, str, tuple[Any, ...], dict[str, Any], object], None]


class _Around:
    """An object of the storage port whose calls pass a gate before and after they are done, and are noted then."""

    def __init__(self, real: Any, gate: Gate | None, done: _Done | None) -> None:
        self._real, self._gate, self._done = real, gate, done

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._real, name)
        if name in ("queue", "table", "container", "lease"):
            return lambda *arguments, **named: _Around(member(*arguments, **named), self._gate, self._done)
        match _kind(cast(Hashable, type(self._real)), name):
            case "listing":
                wrapped = self._listing(name, member)
            case "call":
                wrapped = self._calling(name, member)
            case _:
                return member
        # Found without this method the next time.
        self.__dict__[name] = wrapped
        return wrapped

    def _calling(self, name: str, method: Any) -> Any:
        target = getattr(self._real, "name", "")

        async def call(*arguments: Any, **named: Any) -> Any:
            if self._gate is not None:
                await self._gate.gate(name, target, is_before=True)
            result: object
            try:
                result = await method(*arguments, **named)
            except EmulatorError as error:
                result = error
            if self._done is not None and name != "wait":
                self._done(name, target, arguments, named, result)
            if self._gate is not None:
                await self._gate.gate(name, target, is_before=False)
            if isinstance(result, EmulatorError):
                raise result
            return result

        return call

    def _listing(self, name: str, method: Any) -> Any:
        target = getattr(self._real, "name", "")

        async def items(*arguments: Any, **named: Any) -> AsyncIterator[Any]:
            if self._gate is not None:
                await self._gate.gate(name, target, is_before=True)
            async for item in method(*arguments, **named):
                yield item
            if self._done is not None:
                self._done(name, target, arguments, named, None)

        return items


@functools.cache
def _kind(owner: Hashable, name: str) -> str:
    member = inspect.getattr_static(owner, name, None)
    if inspect.isasyncgenfunction(member):
        return "listing"
    return "call" if inspect.iscoroutinefunction(member) else ""


_is_client = ContextVar("is_client", default=False)


class HubOfAHost:
    """The hub of a client whose requests go to one of the hosts, so that it shares the host's memory.

    Its storage calls have no faults. A request to a host that crashes meanwhile is sent again, to no host.
    """

    def __init__(self, own: AzureStorageTaskHub, hosts: Callable[[], list[SimulatedHost]], choices: Choices) -> None:
        self._own, self._hosts, self._generator = own, hosts, choices.generator

    def __getattr__(self, name: str) -> Any:
        # An event that is sent again is another event, and `send` leaves nothing in the memory of a host.
        own = getattr(self._own, name)
        if name not in ("start", "status", "purge", "rewind"):
            return own

        async def call(*arguments: Any, **named: Any) -> Any:
            hubs = [host.hub for host in self._hosts() if host.hub is not None and not host.host_clock.is_frozen]
            if not hubs:
                return await own(*arguments, **named)
            token = _is_client.set(True)
            try:
                return await getattr(self._generator.choice(hubs), name)(*arguments, **named)
            except StorageOutage:
                return await own(*arguments, **named)
            finally:
                _is_client.reset(token)

        return call


@dataclass
class SimulatedHost:
    """A host process that is started again whenever it has ended. `hub`: that of the running process."""

    name: str
    seed: int
    account: StorageAccount
    clock: Clock
    app: Callable[[Clock], Executor]
    trace: Trace
    intensities: Intensities
    freeze_probability: float
    options: DurableTaskOptions

    def __post_init__(self) -> None:
        self.host_clock = HostClock(self.clock)
        freezes = Choices(self.seed, f"freezes of {self.name}")
        # By default .NET and azemu write a status row whatever it contains. A host that freezes in that moment, and
        # crashes before it has seen that others have continued, leaves an old row.
        is_guarded = self.options.storage_provider.use_instance_table_etag
        spared = "" if is_guarded else f"{self.options.hub_name}Instances"
        self.freezes = Freezes(self.host_clock, self.trace, self.name, freezes, self.freeze_probability, spared=spared)
        self._choices = Choices(self.seed, self.name)
        self._new_id = Choices(self.seed, f"ids of {self.name}").new_id()
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()
        self.happened: list[Injected] = []
        self.hub: AzureStorageTaskHub | None = None
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
            self.hub = None
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
        storage = around_account(
            storage, self.plan, clock=self.clock, crash=crash, host=self.name, is_spared=_is_client.get
        )
        storage = freezing(storage, self.freezes)
        # The name stays: it is that of a machine.
        hub = AzureStorageTaskHub(
            self.options, storage, clock=self.host_clock, new_id=self._new_id, worker_id=f"{self.name}-{self.plan.run}"
        )
        async with (
            hub.working(),
            engine(hub, self.app(self.host_clock), self.options, clock=self.host_clock),
        ):
            self.hub = hub
            await asyncio.Event().wait()
