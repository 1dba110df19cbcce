"""Chaos in a test: faults by a seed, hosts that crash and start again, and a report at the end.

    with start_sync("path/to/app", chaos=Chaos(seed=17)) as app:
        …
        print(app.chaos_report())

The run is repeatable: the same seed gives the same faults at the same moments of virtual time, the same ids and the
same histories (see `emulator.testing.turns`).
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar
from uuid import UUID

from emulator.app import App
from emulator.background import background
from emulator.chaos.activity_runs import ActivityRuns, recording_activities
from emulator.chaos.app_check import check_app
from emulator.chaos.plan import FaultPlan, Intensities
from emulator.chaos.report import ChaosReport
from emulator.chaos.storage import Crash, around_account
from emulator.host.http.server.open_requests import is_answering
from emulator.ids import NewId
from emulator.logs import get_logger
from emulator.storage.accounts import StorageAccounts
from emulator.storage.port import StorageAccount
from emulator.testing.observers.activity_effects import ActivityEffects
from emulator.testing.observers.app_files import AppFiles
from emulator.testing.turns import Turns, taking_turns
from emulator.virtual_time import VirtualClock
from emulator.worker.port import Worker

T = TypeVar("T")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Chaos:
    """Faults of a test. `seed`: decides which; the same seed repeats the run.

    `intensities`: how often each kind of fault happens. `faults`: how many happen at most, `crashes`: how many of them
    are crashes of the host at most.
    """

    seed: int
    intensities: Intensities = field(default_factory=Intensities)
    faults: int = 60
    crashes: int = 3


OpenHost = Callable[[Callable[[StorageAccount], StorageAccount]], AbstractAsyncContextManager[App]]
"""Opens a host; the argument wraps its storage accounts."""


class ChaosRun:
    """The chaos of one app under test. To be used on the host's loop."""

    def __init__(self, chaos: Chaos, clock: VirtualClock, files: AppFiles) -> None:
        self.turns = Turns(clock)
        self.effects = ActivityEffects(files)
        self.new_id = _ids(chaos.seed)
        self._clock = clock
        self._plan = FaultPlan(
            seed=chaos.seed,
            intensities=chaos.intensities,
            budget=chaos.faults,
            crashes=chaos.crashes,
            # The start of a host that cannot reach its storage fails, in Azure too, and the platform repeats it.
            active=False,
        )
        self._runs = ActivityRuns()
        self._running = asyncio.Event()

    def around_worker(self, worker: AbstractAsyncContextManager[Worker]) -> AbstractAsyncContextManager[Worker]:
        """Return the worker, whose functions run one after the other and whose activities are counted."""
        return recording_activities(self._runs, taking_turns(self.turns, worker))

    async def call(self, work: Awaitable[T]) -> T:
        """Do what the test asks for when a host runs and has nothing left to do."""
        await self._running.wait()
        await self.turns.quiet()
        return await work

    @asynccontextmanager
    async def hosts(self, open_host: OpenHost) -> AsyncIterator[Callable[[], App]]:
        """Run one host after the other while entered. Yields a function that returns the one that runs.

        Raises what `open_app` raises, at the first start or later.
        """
        current: App | None = None

        async def run_host(crash: Crash) -> None:
            nonlocal current
            with ExitStack() as ending:
                async with open_host(partial(self._with_faults, crash)) as current:
                    self._plan.active = True
                    self._running.set()
                    try:
                        await crash.happened.wait()
                    finally:
                        self._plan.active = False
                        self._running.clear()
                    # What is left of the host may wait for a time, and no call of the test lets time advance now.
                    ending.enter_context(self._clock.running(upkeep=True))

        async def run_hosts() -> None:
            while True:
                crash = Crash()
                try:
                    await run_host(crash)
                except Exception:
                    # What a host that has crashed wants to finish fails, because it does not reach its storage.
                    if not crash.happened.is_set():
                        raise
                _log.warning("Chaos: %s. The host starts again.", crash.fault)

        def running() -> App:
            assert current is not None
            return current

        async with background(run_hosts(), name="hosts that crash"):
            await self._running.wait()
            yield running

    @property
    def is_between_hosts(self) -> bool:
        """Whether a host has crashed and the next one does not run yet. Requests wait in the listening socket then."""
        return not self._running.is_set()

    def number_of_faults(self) -> int:
        """Return how many faults have happened so far."""
        return len(self._plan.happened)

    async def report(self, app: App, accounts: StorageAccounts) -> ChaosReport:
        """Return what has happened so far. `accounts`: those of the app, without faults."""
        # While something waits for its time, a message that is missing may still come.
        settled = all(sleeper.upkeep or sleeper.recurring for sleeper in self._clock.sleepers())
        violations = await check_app(app.configuration, accounts, self._clock, settled=settled)
        effects = self.effects.of_functions()
        return ChaosReport(
            seed=self._plan.seed,
            faults=tuple(self._plan.happened),
            violations=violations,
            repeated=[replace(each, effects=effects.get(each.call.function, ())) for each in self._runs.repeated()],
        )

    def _with_faults(self, crash: Crash, account: StorageAccount) -> StorageAccount:
        async def may_crash() -> bool:
            await self.turns.own_work()
            # The function or the request would be cut off in the middle, which a thread cannot be.
            return self.turns.nothing_runs

        return around_account(
            account, self._plan, clock=self._clock, crash=crash, is_spared=is_answering, before_call=may_crash
        )


def _ids(seed: int) -> NewId:
    """Return a source of ids that gives the same ones for the same seed."""
    numbers = itertools.count()

    def new_id() -> str:
        digest = hashlib.blake2b(f"{seed} {next(numbers)}".encode(), digest_size=16).digest()
        return UUID(bytes=digest, version=4).hex

    return new_id
