"""Stop signals (Ctrl-C, SIGTERM and others): the first one stops the program gracefully, later ones at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

# SIGHUP (a closed terminal window) exists only on POSIX, SIGBREAK (Ctrl-Break) only on Windows.
STOP_SIGNALS: Final[tuple[int, ...]] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


@contextmanager
def interruptible(*, first: Callable[[], object], repeated: Callable[[], object]) -> Iterator[None]:
    """While entered, call `first` on the running event loop at the first stop signal, `repeated` at all later ones."""
    loop = asyncio.get_running_loop()
    count = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        # Signal handlers interrupt the main thread anywhere, also inside the event loop. So they only schedule a call.
        # RuntimeError: the loop is closed, so the program is about to end anyway.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(first if count == 1 else repeated)

    # signal.signal instead of loop.add_signal_handler, which Windows does not have.
    previous_handlers = {number: signal.signal(number, on_signal) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
