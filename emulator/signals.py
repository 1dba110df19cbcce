"""Stop signals (Ctrl-C, SIGTERM and others): the first one stops the program gracefully, later ones at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

HANG_UP: Final[int | None] = getattr(signal, "SIGHUP", None)
"""Signal of a closed terminal. The system and the shell may both send it, so a second one asks for nothing more."""
# SIGHUP exists only on POSIX, SIGBREAK (Ctrl-Break) only on Windows.
STOP_SIGNALS: Final[tuple[int, ...]] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)


def handled_stop_signals() -> tuple[int, ...]:
    """Return the stop signals that stop this process: all, but not a SIGHUP that its parent has set to be ignored.

    `nohup` does that, so that the program outlives the terminal.
    """
    return tuple(number for number in STOP_SIGNALS if number != HANG_UP or signal.getsignal(number) != signal.SIG_IGN)


@contextmanager
def interruptible(*, first: Callable[[], object], repeated: Callable[[], object]) -> Iterator[None]:
    """While entered, call `first` on the running event loop at the first stop signal, `repeated` at later ones.

    A later HANG_UP is ignored.
    """
    loop = asyncio.get_running_loop()
    count = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1 and number == HANG_UP:
            return
        # Signal handlers interrupt the main thread anywhere, also inside the event loop. So they only schedule a call.
        # RuntimeError: the loop is closed, so the program is about to end anyway.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(first if count == 1 else repeated)

    # signal.signal instead of loop.add_signal_handler, which Windows does not have.
    previous_handlers = {number: signal.signal(number, on_signal) for number in handled_stop_signals()}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)
