"""Stop signals (Ctrl-C, SIGTERM and others): the first one asks the program to stop, the second one forces it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

# The last two exist on one system each: a closed terminal window, Ctrl-Break.
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextmanager
def interruptible(*, first: Callable[[], object], again: Callable[[], object]) -> Iterator[None]:
    """While entered, a signal calls `first` on the running event loop, and every later one `again`."""
    loop = asyncio.get_running_loop()
    count = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        with suppress(RuntimeError):  # The loop has closed: everything is over already.
            loop.call_soon_threadsafe(first if count == 1 else again)

    # Not loop.add_signal_handler, which Windows does not have.
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
