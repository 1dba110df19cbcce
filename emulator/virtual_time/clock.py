"""Virtual clock: time does not advance while anything is working, and jumps to the next due wait when all is idle.

    clock = VirtualClock()
    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        runner.run(main(clock))

Time advances only inside `running()`, `advance()` and `run_until_idle()`, so a test decides when. Work that the loop
cannot see must be inside `busy()` (`emulator.clock` has the three rules for code under this clock). asyncio's own
timers (`loop.call_later`, a library's keep-alive) stay in real time: they neither advance virtual time nor hold it up.
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
from emulator.virtual_time.busy import BusyPeriods, OngoingWork
from emulator.virtual_time.loop import VirtualTimeLoop
from emulator.virtual_time.sleepers import Sleeper, SleeperEntry, Sleepers

_NEVER = datetime.max.replace(tzinfo=UTC)
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


class VirtualClock:
    """The clock of one `VirtualTimeLoop`. See `emulator.clock.Clock` for now, sleep and busy.

    `start`: the time at the beginning (aware); None: the real time now. `now` and `busy` may be called on any thread
    and `sleep` on any loop; everything else belongs to the loop's thread (elsewhere, use
    `asyncio.run_coroutine_threadsafe`).
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = (start or SystemClock().now()).astimezone(UTC)
        self._loop: VirtualTimeLoop | None = None
        # Two heaps, because time normally jumps only for the sleepers of the first.
        self._foreground = Sleepers()
        self._upkeep = Sleepers()
        # Orders sleepers and waiters with the same time by their arrival, so that a run is repeatable.
        self._numbers = itertools.count()
        self._busy = BusyPeriods(self._wake_loop)
        self._permits: list[_Permit] = []
        self._frozen = 0
        self._waits_for_work = True
        self._unreported_work: list[Callable[[], bool]] = []
        self._idle_waiters: list[_IdleWaiter] = []

    def new_loop(self) -> VirtualTimeLoop:
        """Return the loop that advances this clock: a loop factory for asyncio.Runner.

        Raises RuntimeError if the clock has a loop that is not closed.
        """
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("This VirtualClock already has a loop. Create one clock per loop.")
        self._loop = VirtualTimeLoop(self)
        return self._loop

    # The Clock protocol ------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """See Clock.now."""
        return self._now

    async def sleep(self, seconds: float, *, upkeep: bool = False, recurring: bool = False) -> None:
        """See Clock.sleep."""
        if seconds <= 0:
            await _yield_to_loop()
            return
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Another loop (the app's) cannot be woken by this clock directly. Sleep on the clock's own loop instead.
            sleep: Coroutine[Any, Any, None] = self.sleep(seconds, upkeep=upkeep, recurring=recurring)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sleep, self._own_loop()))
            return
        try:
            due = self._now + timedelta(seconds=seconds)
        except OverflowError:
            due = _NEVER
        sleepers = self._upkeep if upkeep else self._foreground
        sleeper = SleeperEntry(due, next(self._numbers), loop.create_future(), sys._getframe(1), recurring)
        sleepers.add(sleeper)
        try:
            await sleeper.future
        finally:
            if not sleeper.woken:
                sleepers.remove(sleeper)

    def busy(self) -> AbstractContextManager[None]:
        """See Clock.busy."""
        return self._busy.new(sys._getframe(1))

    # Letting time advance ----------------------------------------------------------------------------------------

    @contextmanager
    def running(self, until: datetime | None = None, *, upkeep: bool = False) -> Iterator[None]:
        """While entered, time jumps by itself whenever everything is idle, but not beyond `until`.

        `upkeep`: stop at upkeep sleepers too, as in real time, also within blocks that do not. Slow; for tests of
        leases and polling.
        """
        permit = _Permit(until or _NEVER, upkeep)
        self._permits.append(permit)
        try:
            yield
        finally:
            self._permits.remove(permit)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While entered, time does not advance: code that waits for no time still runs, everything else waits."""
        self.freeze()
        try:
            yield
        finally:
            self.unfreeze()

    def freeze(self) -> None:
        """Stop time until `unfreeze` has been called as often as `freeze`."""
        self._frozen += 1

    def unfreeze(self) -> None:
        """Undo one `freeze`. Raises RuntimeError if time is not frozen."""
        if not self._frozen:
            raise RuntimeError("Time is not frozen.")
        self._frozen -= 1

    @property
    def is_frozen(self) -> bool:
        """Whether time is frozen."""
        return self._frozen > 0

    def ignore_work(self) -> None:
        """Let time advance from now on even during work in progress; for a program that ends without waiting for it."""
        self._waits_for_work = False

    def wait_for_unreported_work(self, has_work: Callable[[], bool]) -> None:
        """Keep time from advancing while `has_work()` is true, for work that no busy period covers.

        It is called on the loop's thread, before time advances.
        """
        self._unreported_work.append(has_work)

    @contextmanager
    def busy_unless(self, waits: Callable[[], bool]) -> Iterator[None]:
        """Stand for work during which time must not advance, except while `waits()` is true: then it jumps by itself.

        For work that itself waits for time at some moments. `waits` is called on the loop's thread.
        """

        def works() -> bool:
            return not waits()

        self._unreported_work.append(works)
        try:
            with self.running():
                yield
        finally:
            self._unreported_work.remove(works)

    async def advance(self, span: timedelta, *, upkeep: bool = False) -> None:
        """Let `span` pass. Everything that becomes due in it runs, in order, until it is idle again.

        Work in progress is waited for first. `upkeep`: as for `running`. Raises ValueError for a negative span,
        RuntimeError if time is frozen.
        """
        if span < timedelta(0):
            raise ValueError(f"Time does not go back: advance by {span}.")
        target = self._now + span
        if self._frozen:
            raise RuntimeError("Time is frozen: unfreeze it before you advance it.")
        # A sleeper at the target, so that time arrives there even if nothing else is due then, and so that a jump for
        # another task's advance() does not go past it.
        mark = asyncio.create_task(self.sleep(span.total_seconds()), name=f"advance to {target:%Y-%m-%d %H:%M:%S}")
        try:
            while await self.step(target, upkeep=upkeep):
                pass
        finally:
            mark.cancel()

    async def run_until_idle(self, limit: timedelta | None = None) -> bool:
        """Let everything run that becomes due within `limit` from now (None: no limit), with as many jumps as needed.

        Return True if no task waits for time any more, except for the next time of a schedule; False if one waits
        beyond the limit or time is frozen. Time is then that of the last wake-up. A program that does something
        periodically in another way needs a limit.
        """
        end = self._now + limit if limit is not None else _NEVER
        while True:
            await self._wait_until_idle(end)
            if not self._has_work(end) or not self._jump(end, upkeep=False):
                return not self._has_work(_NEVER)

    async def idle(self, *, first: bool = False) -> None:
        """Wait until everything is idle. Time does not advance for this.

        `first`: before all other tasks that wait for that, so that they find everything idle only after this task has
        no more work.
        """
        await self._wait_until_idle(_BEFORE_ALL if first else self._now)

    async def step(self, limit: datetime | None = None, *, upkeep: bool = False) -> bool:
        """Wait until everything is idle, then jump once, to the next task that is due, but not beyond `limit`.

        Return False if no sleeper is due within the limit or time is frozen. The tasks that the jump wakes have not run
        yet when it returns.
        """
        await self._wait_until_idle(limit or _NEVER)
        return self._jump(limit or _NEVER, upkeep)

    # What does time wait for? ------------------------------------------------------------------------------------

    def sleepers(self) -> Sequence[Sleeper]:
        """Return all tasks that wait for time, the next one first."""
        entries = [(entry, False) for entry in self._foreground] + [(entry, True) for entry in self._upkeep]
        return [
            Sleeper(entry.due, upkeep, entry.where, entry.recurring)
            for entry, upkeep in sorted(entries, key=lambda pair: pair[0])
        ]

    def at_work(self) -> Sequence[OngoingWork]:
        """Return the busy periods that keep time from advancing at this moment, the oldest first."""
        return self._busy.ongoing()

    def explain(self) -> str:
        """Describe what time waits for, in lines of text."""
        lines = [f"Virtual time is {self._now.isoformat()}{' and frozen' if self._frozen else ''}."]
        lines += [f"  busy for {work.seconds:.1f} real seconds: {work.where}" for work in self.at_work()]
        lines += [f"  sleeps until {s.due.isoformat()}: {s.where}" for s in self.sleepers() if not s.upkeep]
        return "\n".join(lines)

    # Called by the loop: the LoopClock protocol ------------------------------------------------------------------

    def awaits_idle(self) -> bool:
        """See LoopClock.awaits_idle."""
        has_waiter = bool(self._idle_waiters or (self._permits and not self._frozen))
        return has_waiter and not (self._waits_for_work and self._busy)

    def has_unreported_work(self) -> bool:
        """See LoopClock.has_unreported_work."""
        return self._waits_for_work and any(has_work() for has_work in self._unreported_work)

    def on_idle(self) -> bool:
        """See LoopClock.on_idle."""
        if self._idle_waiters:
            # Wake only one waiter, the one with the nearest limit: what it does next may start new work, and then the
            # program is not idle for the others. A farther one first could also jump past the nearer one's limit.
            nearest = min(self._idle_waiters)
            self._idle_waiters.remove(nearest)
            nearest.future.set_result(None)
            return True
        # No task steps through time, so the `running()` blocks decide. If one of them stops at upkeep sleepers, all do:
        # another one would jump past these.
        upkeep = any(permit.upkeep for permit in self._permits)
        return any(self._jump(permit.until, upkeep) for permit in tuple(self._permits))

    # -------------------------------------------------------------------------------------------------------------

    async def _wait_until_idle(self, limit: datetime) -> None:
        waiter = _IdleWaiter(limit, next(self._numbers), self._own_loop().create_future())
        self._idle_waiters.append(waiter)
        try:
            await waiter.future
        finally:
            # Still in the list if this task was cancelled.
            if waiter in self._idle_waiters:
                self._idle_waiters.remove(waiter)

    def _has_work(self, limit: datetime) -> bool:
        """Whether a task waits for a time within the limit that does not belong to a schedule."""
        return any(entry.due <= limit and not entry.recurring for entry in self._foreground)

    def _jump(self, limit: datetime, upkeep: bool) -> bool:
        heaps = (self._foreground, self._upkeep) if upkeep else (self._foreground,)
        due = min((due for heap in heaps if (due := heap.next_due()) is not None), default=None)
        if self._frozen or due is None or due > limit:
            return False
        # A guard: time must never go back, whatever the heaps hold.
        self._now = max(self._now, due)
        # Upkeep sleepers are woken too when a jump has passed them: they find that they are late, like a process that
        # was suspended. Both heaps are merged, so that the order is the one in which real time would have woken them.
        for entry in sorted([*self._foreground.pop_due(self._now), *self._upkeep.pop_due(self._now)]):
            entry.wake()
        return True

    def _own_loop(self) -> VirtualTimeLoop:
        if self._loop is None or self._loop.is_closed():
            raise RuntimeError(
                "The time of a VirtualClock advances only on its own loop: asyncio.Runner(loop_factory=clock.new_loop)."
            )
        return self._loop

    def _wake_loop(self) -> None:
        loop = self._loop
        # The last busy period has ended, so the program may be idle now, but the loop may be waiting in its selector.
        # On the loop's own thread no wake-up is needed: the loop is running and asks its selector after this pass
        # anyway.
        if loop is not None and not loop.is_closed() and loop.thread_id != threading.get_ident():
            loop.call_soon_threadsafe(lambda: None)


@dataclass(slots=True, eq=False)
class _Permit:
    """A `running()` block. Compared by identity: two blocks may have the same limits."""

    until: datetime
    upkeep: bool


@dataclass(slots=True, order=True)
class _IdleWaiter:
    """A task that waits until everything is idle. `limit`: how far it may jump when it wakes."""

    limit: datetime
    number: int
    future: asyncio.Future[None] = field(compare=False)


@types.coroutine
def _yield_to_loop() -> Generator[None, None, None]:
    # One pass of the loop, which is what asyncio.sleep(0) does.
    yield
