"""Stop signals (Ctrl-C, SIGTERM and others) in a process whose main thread runs user code.

An app may set handlers of its own, at import or in async functions, as on Azure. They are called, and the host stops
nevertheless: the handler that Python calls stays the host's, which calls the app's handler afterwards.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from emulator.signals import STOP_SIGNALS, handled_stop_signals

Handler = Callable[[int, FrameType | None], Any] | int | None


@contextmanager
def stop_signals(on_signal: Callable[[int], None]) -> Iterator[None]:
    """While entered, call `on_signal` with the number of every stop signal, whatever handlers user code sets.

    To be entered on the main thread. `on_signal` interrupts user code anywhere, so it must only schedule work on
    another thread. The functions `signal.signal` and `signal.getsignal` are replaced meanwhile.
    """
    handlers = _Handlers(on_signal)
    # Fork hooks cannot be unregistered; this one does nothing after the handlers have been restored.
    if sys.platform != "win32":
        os.register_at_fork(
            before=handlers.before_fork,
            after_in_parent=handlers.after_fork,
            after_in_child=handlers.after_fork_in_child,
        )
    previous = handlers.install()
    try:
        yield
    finally:
        handlers.restore(previous)


class _Handlers:
    """The handlers that user code sees: its own ones, or before it has set one, those of Python."""

    def __init__(self, on_signal: Callable[[int], None]) -> None:
        self._on_signal = on_signal
        self._signal, self._getsignal = signal.signal, signal.getsignal
        self._app_handlers: dict[int, Handler] = {}
        self._installed = False
        self._forking = threading.local()

    def install(self) -> Mapping[int, Handler]:
        """Set the handlers of the host. Return those that were set before."""
        previous: dict[int, Handler] = {number: self._signal(number, self._handle) for number in handled_stop_signals()}
        self._app_handlers.update(previous)
        if previous[signal.SIGINT] == signal.SIG_DFL:
            # Set by the command, so that Ctrl-C during its start prints no traceback.
            self._app_handlers[signal.SIGINT] = signal.default_int_handler
        signal.signal, signal.getsignal = self._set, self._get
        self._installed = True
        return previous

    def restore(self, handlers: Mapping[int, Handler]) -> None:
        """Set these handlers and end the replacement."""
        self._installed = False
        signal.signal, signal.getsignal = self._signal, self._getsignal
        for number, handler in handlers.items():
            # None: set by code that is not Python's, which cannot be restored from here.
            self._signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._on_signal(number)
        handler = self._app_handlers[number]
        # Python's own handler raises KeyboardInterrupt, which would hit whatever the main thread is doing. That of pdb,
        # which stays set after its command `continue`, would open its prompt instead of letting the process end.
        is_debugger = type(getattr(handler, "__self__", None)).__module__ in ("pdb", "bdb")
        if callable(handler) and handler is not signal.default_int_handler and not is_debugger:
            # The process ends in any case, after the functions that run.
            with suppress(SystemExit, KeyboardInterrupt):
                handler(number, frame)

    def _set(self, signalnum: int, handler: Handler) -> Handler:
        """Replace `signal.signal`: for stop signals, note what user code sets."""
        number = int(signalnum)
        valid = callable(handler) or handler in (signal.SIG_DFL, signal.SIG_IGN)
        if number not in self._app_handlers or not valid or threading.current_thread() is not threading.main_thread():
            return self._signal(signalnum, handler)  # Raises the usual errors.
        previous, self._app_handlers[number] = self._app_handlers[number], handler
        return previous

    def _get(self, signalnum: int) -> Handler:
        """Replace `signal.getsignal`: libraries compare and restore the handlers that they find."""
        number = int(signalnum)
        return self._app_handlers[number] if number in self._app_handlers else self._getsignal(signalnum)

    if sys.platform != "win32":

        def before_fork(self) -> None:
            # A signal that a forked process receives before it has its own handlers would be lost.
            if self._installed:
                self._forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)

        def after_fork(self) -> None:
            if self._installed:
                signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)

        def after_fork_in_child(self) -> None:
            # A forked process has no host. Without its usual handlers, `multiprocessing.Process.terminate` would not
            # end it.
            if self._installed:
                self.restore(self._app_handlers)
                # asyncio's socket for signals is shared with the parent, which would take the child's for its own.
                signal.set_wakeup_fd(-1)
                signal.pthread_sigmask(signal.SIG_SETMASK, self._forking.mask)
