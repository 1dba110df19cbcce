"""Event loop of a virtual clock: an asyncio loop that lets the clock advance when the program is idle.

An event loop asks its selector to wait when it has no callback that is ready to run. If at that moment no socket has
data either, and no busy period is open, the program is idle: it can only continue when time advances. The selector of
this loop then calls the clock, which wakes a sleeper, instead of waiting in real time. Trio's autojump clock uses the
same moment.
"""

from __future__ import annotations

import asyncio
import itertools
import selectors
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from emulator.clock import real_seconds

if TYPE_CHECKING:
    # For the type of `loop.clock` only: at run time the clock imports the loop, not the other way round.
    from emulator.virtual_time.clock import VirtualClock

T = TypeVar("T")

# Real seconds between two looks at work that does not report its end. Short, because a test waits for it.
_POLL_SECONDS = 0.005


class LoopClock(Protocol):
    """The interface of the clock that the loop uses. All methods except `busy` are called on the loop's thread."""

    def busy(self) -> AbstractContextManager[None]:
        """See Clock.busy."""

    def awaits_idle(self) -> bool:
        """Return whether `on_idle` would do anything: time may advance, or a task waits for idleness."""

    def has_unreported_work(self) -> bool:
        """Return whether work is in progress that no busy period covers, for example a thread left by a function."""

    def on_idle(self) -> bool:
        """Called when the program is idle. Return True if that made a callback ready."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop of a VirtualClock. Work in its executor (`to_thread`, name resolution) counts as busy."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.thread_id: int | None = None
        super().__init__(_IdleSelector(clock))
        self._numbers = itertools.count()
        self.set_task_factory(_NumberedTask)

    def create_future(self) -> asyncio.Future[Any]:
        return _NumberedFuture(loop=self)

    def next_number(self) -> int:
        """Return a number that no task or future of this loop has yet."""
        return next(self._numbers)

    def time(self) -> float:
        # asyncio's own timers are in real time, also in a test that has replaced time.monotonic.
        return real_seconds()

    def run_forever(self) -> None:
        self.thread_id = threading.get_ident()
        super().run_forever()

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        # Not a `with` block: the period begins here and ends in a callback. It ends on the loop's thread, after the
        # result has arrived; if it ended on the worker thread, time could advance before the result is seen.
        busy = self.clock.busy()
        busy.__enter__()
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: busy.__exit__(None, None, None))
        return future


# asyncio keeps tasks and futures in sets: a TaskGroup, for example, cancels its tasks in the order of one. That order
# follows the hashes of the elements, which normally are addresses in memory. With numbers, a run is repeatable.
class _NumberedTask(asyncio.Task[Any]):
    def __init__(self, loop: Any, work: Any, **named: Any) -> None:
        self._number: int = loop.next_number()
        super().__init__(work, loop=loop, **named)

    def __hash__(self) -> int:
        return self._number


class _NumberedFuture(asyncio.Future[Any]):
    def __init__(self, *, loop: VirtualTimeLoop) -> None:
        self._number = loop.next_number()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class _IdleSelector(selectors.DefaultSelector):
    """The selector of the loop. A timeout of 0 means that callbacks are ready, so the program is not idle."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        nothing_ready = timeout is None or timeout > 0
        if nothing_ready and self._clock.awaits_idle():
            # Data that has arrived already is work to do; look without waiting. This also sees wake-ups from other
            # threads (call_soon_threadsafe), which write to the loop's own socket.
            events = super().select(0)
            if not events and self._clock.has_unreported_work():
                # No event will come when this work ends, so wait a moment and let the loop ask again. `timeout` is the
                # loop's next real timer, which must not be late.
                return super().select(_POLL_SECONDS if timeout is None else min(timeout, _POLL_SECONDS))
            if events or self._clock.on_idle():
                # An empty list makes the loop run its ready callbacks, among them those that on_idle has caused.
                return events
        return super().select(timeout)
