"""Time that stands still while anything works and jumps to the next due sleeper when all is idle.

    clock = VirtualClock()
    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        runner.run(main(clock))

Time moves only for somebody who waits for it: inside `running()`, `advance()` or `run_until_idle()`. Everything the
loop cannot see happens inside `busy()` (see `emulator.clock` for the three rules). asyncio's own timers
(`loop.call_later`, a library's keep-alive) stay real: they neither move time nor hold it up.

How: an event loop asks its selector to wait when no callback is ready. At that moment, if no socket has anything to
say and nobody is busy, the program is idle, and the selector lets the clock jump instead of waiting.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, TypeVar

from emulator.clock import SystemClock

T = TypeVar("T")

_NEVER = datetime.max.replace(tzinfo=UTC)
# Work that takes longer than this in real time is worth pointing out: most likely user code sleeps.
SLOW_SECONDS = 0.5
_SLOW_WORK_KEPT = 100
_TIDY_ABOVE = 64


@dataclass(frozen=True, slots=True)
class Sleeper:
    """Somebody who waits for time. `where`: `file:line (task name)`."""

    due: datetime
    upkeep: bool
    where: str


@dataclass(frozen=True, slots=True)
class SlowWork:
    """Work during which time could not jump, for `seconds` of real time. `where`: who said `busy()`."""

    where: str
    seconds: float


class VirtualClock:
    """The clock of one `VirtualTimeLoop`. See `emulator.clock.Clock` for now, sleep and busy.

    `start`: the first moment (aware); None: the real time now. `now` and `busy` may be called on any thread, the rest
    belongs to the loop; another thread goes through `asyncio.run_coroutine_threadsafe`.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = (start or SystemClock().now()).astimezone(UTC)
        self._loop: VirtualTimeLoop | None = None
        self._foreground = _Sleepers()
        self._upkeep = _Sleepers()
        self._numbers = itertools.count()
        self._work = _Work(self._wake_loop)
        self._permits: list[_Permit] = []
        self._frozen = 0
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
        sleeper = _Entry(self._after(seconds), next(self._numbers), loop.create_future(), sys._getframe(1))
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

    async def advance(self, span: timedelta, *, upkeep: bool = False) -> None:
        """Let `span` pass: everything that falls due on the way runs, in order and to its end.

        Work that is going on is waited for first. `upkeep`: as for `running`.
        """
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

    def at_work(self) -> Sequence[SlowWork]:
        """What holds time up at this moment, the oldest first; seconds of real time so far."""
        return self._work.now()

    @property
    def slow_work(self) -> Sequence[SlowWork]:
        """Finished work that took longer than SLOW_SECONDS of real time, the last hundred."""
        return tuple(self._work.slow)

    def explain(self) -> str:
        """For people: what time is waiting for."""
        lines = [f"Virtual time is {self._now.isoformat()}{' and frozen' if self._frozen else ''}."]
        lines += [f"  busy for {work.seconds:.1f} real seconds: {work.where}" for work in self.at_work()]
        lines += [f"  sleeps until {s.due.isoformat()}: {s.where}" for s in self.sleepers() if not s.upkeep]
        return "\n".join(lines)

    # For the loop ------------------------------------------------------------------------------------------------

    def wants_idle(self) -> bool:
        """Would anything happen if the program were idle now?"""
        return bool(self._idle_waiters or (self._permits and not self._frozen)) and not self._work.going_on

    def found_idle(self) -> bool:
        """No callback is ready and no socket speaks. True if that set something going."""
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
        self._settled = False
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


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop of a VirtualClock. Work in its executor (`to_thread`, name resolution) counts as busy."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.thread_id: int | None = None
        super().__init__(_IdleSelector(clock))

    def run_forever(self) -> None:
        self.thread_id = threading.get_ident()
        super().run_forever()

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        token = self.clock.busy()
        token.__enter__()
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: token.__exit__(None, None, None))
        return future


class _IdleSelector(selectors.DefaultSelector):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        nothing_ready = timeout is None or timeout > 0
        if nothing_ready and self._clock.wants_idle():
            events = super().select(0)
            if events or self._clock.found_idle():
                return events
        return super().select(timeout)


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


class _Entry:
    """A sleeper in a heap: by due time, first come first woken."""

    __slots__ = ("_code", "_line", "due", "future", "number", "woken")

    def __init__(self, due: datetime, number: int, future: asyncio.Future[None], frame: types.FrameType) -> None:
        self.due = due
        self.number = number
        self.future = future
        self.woken = False
        # The code and line, not the frame: a frame would keep the sleeper's variables alive.
        self._code, self._line = frame.f_code, frame.f_lineno

    def __lt__(self, other: _Entry) -> bool:
        return (self.due, self.number) < (other.due, other.number)

    def wake(self) -> None:
        self.woken = True
        if not self.future.done():
            self.future.set_result(None)

    @property
    def where(self) -> str:
        return _place(self._code, self._line)


class _Sleepers:
    """A heap that forgets: cancelled entries stay until they surface or are the majority."""

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._gone = 0

    def __bool__(self) -> bool:
        return len(self._heap) > self._gone

    def __iter__(self) -> Iterator[_Entry]:
        return (entry for entry in self._heap if not entry.future.done())

    def add(self, entry: _Entry) -> None:
        heapq.heappush(self._heap, entry)

    def forget(self, entry: _Entry) -> None:
        entry.future.cancel()
        self._gone += 1
        if self._gone > _TIDY_ABOVE and self._gone * 2 > len(self._heap):
            self._heap = list(self)
            heapq.heapify(self._heap)
            self._gone = 0

    def next_due(self) -> datetime | None:
        while self._heap and self._heap[0].future.done():
            heapq.heappop(self._heap)
            self._gone = max(self._gone - 1, 0)
        return self._heap[0].due if self._heap else None

    def due(self, moment: datetime) -> Iterator[_Entry]:
        while (due := self.next_due()) is not None and due <= moment:
            yield heapq.heappop(self._heap)


@dataclass(slots=True, eq=False)
class _Token:
    """One `with busy()`."""

    work: _Work
    code: types.CodeType
    line: int
    since: float = field(default_factory=monotonic)

    def __enter__(self) -> None:
        self.work.begin(self)

    def __exit__(self, *_: object) -> None:
        self.work.end(self)


class _Work:
    """What holds time up. Tokens come and go on any thread."""

    def __init__(self, done: Callable[[], None]) -> None:
        self._done = done
        self._lock = threading.Lock()
        self._tokens: dict[_Token, int] = {}
        self.slow: deque[SlowWork] = deque(maxlen=_SLOW_WORK_KEPT)

    def token(self, frame: types.FrameType) -> AbstractContextManager[None]:
        return _Token(self, frame.f_code, frame.f_lineno)

    @property
    def going_on(self) -> bool:
        return bool(self._tokens)

    def begin(self, token: _Token) -> None:
        token.since = monotonic()
        with self._lock:
            self._tokens[token] = threading.get_ident()

    def end(self, token: _Token) -> None:
        with self._lock:
            del self._tokens[token]
            last = not self._tokens
        seconds = monotonic() - token.since
        if seconds > SLOW_SECONDS:
            self.slow.append(SlowWork(_place(token.code, token.line), seconds))
        if last:
            self._done()

    def now(self) -> Sequence[SlowWork]:
        with self._lock:
            tokens = list(self._tokens)
        return [SlowWork(_place(token.code, token.line), monotonic() - token.since) for token in tokens]


def _place(code: types.CodeType, line: int) -> str:
    return f"{code.co_filename}:{line} ({code.co_qualname})"


@types.coroutine
def _let_others_run() -> Generator[None, None, None]:
    """What asyncio.sleep(0) does: one turn of the loop."""
    yield
