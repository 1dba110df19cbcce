"""An event loop that notices when its program is idle, and lets a clock jump then.

An event loop asks its selector to wait when no callback is ready. At that moment, if no socket has anything to say and
nobody is busy, the program is idle, and the selector tells the clock instead of waiting.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

# How often (real) a program looks again that would be idle but for work that does not say when it ends.
_LOOK_SECONDS = 0.005


class Idleness(Protocol):
    """What the loop asks and tells its clock."""

    def busy(self) -> AbstractContextManager[None]:
        """Something works that the loop cannot see."""

    def wants_idle(self) -> bool:
        """Would anything happen if the program were idle now?"""

    def something_works_unseen(self) -> bool:
        """Does something work that does not say when it ends?"""

    def found_idle(self) -> bool:
        """No callback is ready and no socket speaks. True if that set something going."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The event loop of a VirtualClock. Work in its executor (`to_thread`, name resolution) counts as busy."""

    def __init__(self, clock: Idleness) -> None:
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
    def __init__(self, clock: Idleness) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        nothing_ready = timeout is None or timeout > 0
        if nothing_ready and self._clock.wants_idle():
            events = super().select(0)
            if not events and self._clock.something_works_unseen():
                # Nobody will tell when it ends.
                return super().select(_LOOK_SECONDS if timeout is None else min(timeout, _LOOK_SECONDS))
            if events or self._clock.found_idle():
                return events
        return super().select(timeout)
