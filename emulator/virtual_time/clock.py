"""Time that stands still while anything works and jumps to the next due sleeper when all is idle.

    clock = VirtualClock()
    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        runner.run(main(clock))

Time moves only for somebody who waits for it: inside `running()`, `advance()` or `run_until_idle()`. Everything the
loop cannot see happens inside `busy()` (see `emulator.clock` for the three rules). asyncio's own timers
(`loop.call_later`, a library's keep-alive) stay real: they neither move time nor hold it up.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import types
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from emulator.clock import SystemClock
from emulator.virtual_time.loop import VirtualTimeLoop
from emulator.virtual_time.sleepers import Sleeper, SleeperEntry, Sleepers
from emulator.virtual_time.work import OngoingWork, Work

_NEVER = datetime.max.replace(tzinfo=UTC)


class VirtualClock:
    """The clock of one `VirtualTimeLoop`. See `emulator.clock.Clock` for now, sleep and busy.

    `start`: the first moment (aware); None: the real time now. `now` and `busy` may be called on any thread, the rest
    belongs to the loop; another thread goes through `asyncio.run_coroutine_threadsafe`.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = (start or SystemClock().now()).astimezone(UTC)
        self._loop: VirtualTimeLoop | None = None
        self._foreground = Sleepers()
        self._upkeep = Sleepers()
        self._numbers = itertools.count()
        self._work = Work(self._wake_loop)
        self._permits: list[_Permit] = []
        self._frozen = 0
        self._heeds_work = True
        self._unseen_work: Callable[[], bool] = lambda: False
        self._idle_waiters: list[_IdleWaiter] = []

    def new_loop(self) -> VirtualTimeLoop:
        """The loop that makes this clock go; a loop factory for asyncio.Runner. One open loop at a time."""
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("This VirtualClock already has a loop. Make one clock per loop.")
        self._loop = VirtualTimeLoop(self)
        return self._loop

    # The Clock protocol ------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float, *, upkeep: bool = False) -> None:
        if seconds <= 0:
            await _let_others_run()
            return
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            await self._sleep_elsewhere(seconds, upkeep)
            return
        sleepers = self._upkeep if upkeep else self._foreground
        sleeper = SleeperEntry(self._after(seconds), next(self._numbers), loop.create_future(), sys._getframe(1))
        sleepers.add(sleeper)
        try:
            await sleeper.future
        finally:
            if not sleeper.woken:
                sleepers.forget(sleeper)

    def busy(self) -> AbstractContextManager[None]:
        return self._work.token(sys._getframe(1))

    # Letting time run --------------------------------------------------------------------------------------------

    @contextmanager
    def running(self, until: datetime | None = None, *, upkeep: bool = False) -> Iterator[None]:
        """Inside, time jumps by itself whenever all is idle, but not beyond `until`.

        `upkeep`: stop at every upkeep sleeper, too, as real time would. Slow, for tests of leases and polling.
        """
        permit = _Permit(until or _NEVER, upkeep)
        self._permits.append(permit)
        try:
            yield
        finally:
            self._permits.remove(permit)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, time does not jump for anybody: what can happen without time happens, the rest waits."""
        self.freeze()
        try:
            yield
        finally:
            self.unfreeze()

    def freeze(self) -> None:
        self._frozen += 1

    def unfreeze(self) -> None:
        if not self._frozen:
            raise RuntimeError("Time is not frozen.")
        self._frozen -= 1

    @property
    def is_frozen(self) -> bool:
        return self._frozen > 0

    def give_up_on_work(self) -> None:
        """From now on time jumps under work that is still going on: for the end of a program that will not wait."""
        self._heeds_work = False

    def ask_before_jumping(self, at_work: Callable[[], bool]) -> None:
        """`at_work`: whether something works that does not say `busy()`. It is asked before every jump, on the loop."""
        self._unseen_work = at_work

    async def advance(self, span: timedelta, *, upkeep: bool = False) -> None:
        """Let `span` pass: everything that falls due on the way runs, in order and to its end.

        Work that is going on is waited for first. `upkeep`: as for `running`.
        """
        if span < timedelta(0):
            raise ValueError(f"Time does not go back: advance by {span}.")
        target = self._now + span
        if self._frozen:
            raise RuntimeError("Time is frozen: unfreeze it before you advance it.")
        # A sleeper of our own at the end, lest somebody else's jump goes past it.
        mark = asyncio.create_task(self.sleep(span.total_seconds()), name=f"advance to {target:%Y-%m-%d %H:%M:%S}")
        try:
            while await self.step(target, upkeep=upkeep):
                pass
        finally:
            mark.cancel()

    async def run_until_idle(self, limit: timedelta | None = None) -> bool:
        """Let everything run that is due within `limit` from now (None: ever), jumping as needed.

        True: nothing is left that waits for time. False: something waits beyond the limit, or time is frozen; time
        then stands at the last thing that happened. With something periodic in the program a limit is needed.
        """
        end = self._now + limit if limit is not None else _NEVER
        while await self.step(end):
            pass
        return not self._foreground

    async def idle(self) -> None:
        """Wait until nothing works any more. Time does not jump for this."""
        await self._idle(self._now)

    async def step(self, limit: datetime | None = None, *, upkeep: bool = False) -> bool:
        """Let what can work now work to its end; then one jump, to the next due sleeper, but not beyond `limit`.

        False: nothing is due within the limit, or time is frozen. What the jump woke has not run yet.
        """
        await self._idle(limit or _NEVER)
        return self._jump(limit or _NEVER, upkeep)

    # Why does it wait? -------------------------------------------------------------------------------------------

    def sleepers(self) -> Sequence[Sleeper]:
        """All who wait for time, the next first."""
        found = [(entry, upkeep) for upkeep, all in ((False, self._foreground), (True, self._upkeep)) for entry in all]
        return [Sleeper(entry.due, upkeep, entry.where) for entry, upkeep in sorted(found, key=lambda pair: pair[0])]

    def at_work(self) -> Sequence[OngoingWork]:
        """What holds time up at this moment, the oldest first; seconds of real time so far."""
        return self._work.now()

    def explain(self) -> str:
        """For people: what time is waiting for."""
        lines = [f"Virtual time is {self._now.isoformat()}{' and frozen' if self._frozen else ''}."]
        lines += [f"  busy for {work.seconds:.1f} real seconds: {work.where}" for work in self.at_work()]
        lines += [f"  sleeps until {s.due.isoformat()}: {s.where}" for s in self.sleepers() if not s.upkeep]
        return "\n".join(lines)

    # For the loop: its Idleness -------------------------------------------------------------------------------------

    def wants_idle(self) -> bool:
        wanted = bool(self._idle_waiters or (self._permits and not self._frozen))
        return wanted and not (self._heeds_work and self._work.going_on)

    def something_works_unseen(self) -> bool:
        return self._heeds_work and self._unseen_work()

    def found_idle(self) -> bool:
        if self._idle_waiters:
            # One at a time, the one who wants to go least far first: what it does next may change what is idle.
            nearest = min(self._idle_waiters)
            self._idle_waiters.remove(nearest)
            nearest.future.set_result(None)
            return True
        return any(self._jump(permit.until, permit.upkeep) for permit in tuple(self._permits))

    # -------------------------------------------------------------------------------------------------------------

    async def _idle(self, limit: datetime) -> None:
        waiter = _IdleWaiter(limit, next(self._numbers), self._own_loop().create_future())
        self._idle_waiters.append(waiter)
        try:
            await waiter.future
        finally:
            if waiter in self._idle_waiters:
                self._idle_waiters.remove(waiter)

    def _jump(self, limit: datetime, upkeep: bool) -> bool:
        due = self._next_due(upkeep)
        if self._frozen or due is None or due > limit:
            return False
        self._move(due)
        return True

    async def _sleep_elsewhere(self, seconds: float, upkeep: bool) -> None:
        loop = self._own_loop()
        coroutine: Coroutine[Any, Any, None] = self.sleep(seconds, upkeep=upkeep)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    def _next_due(self, upkeep: bool) -> datetime | None:
        heaps = (self._foreground, self._upkeep) if upkeep else (self._foreground,)
        return min((due for heap in heaps if (due := heap.next_due()) is not None), default=None)

    def _move(self, moment: datetime) -> None:
        self._now = max(self._now, moment)
        for entry in sorted([*self._foreground.due(self._now), *self._upkeep.due(self._now)]):
            entry.wake()

    def _after(self, seconds: float) -> datetime:
        try:
            return self._now + timedelta(seconds=seconds)
        except OverflowError:
            return _NEVER

    def _own_loop(self) -> VirtualTimeLoop:
        if self._loop is None or self._loop.is_closed():
            raise RuntimeError("A VirtualClock goes only on its own loop: asyncio.Runner(loop_factory=clock.new_loop).")
        return self._loop

    def _wake_loop(self) -> None:
        loop = self._loop
        # On its own thread the loop is awake and looks for idleness after this turn anyhow.
        if loop is not None and not loop.is_closed() and loop.thread_id != threading.get_ident():
            loop.call_soon_threadsafe(lambda: None)


@dataclass(slots=True, eq=False)
class _Permit:
    until: datetime
    upkeep: bool


@dataclass(slots=True, order=True)
class _IdleWaiter:
    """`limit`: how far it may want to jump when it wakes."""

    limit: datetime
    number: int
    future: asyncio.Future[None] = field(compare=False)


@types.coroutine
def _let_others_run() -> Generator[None, None, None]:
    """What asyncio.sleep(0) does: one turn of the loop."""
    yield
