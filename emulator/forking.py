"""Files and sockets of the host that a forked process must not have.

On Linux and macOS, `os.fork` and the fork method of multiprocessing copy all open files. A child process that user code
starts in this way would keep the host's port and locks in use after the host has ended. Processes that are started by
executing a program (subprocess, the spawn method) do not inherit them, because Python makes files not inheritable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

Descriptors = Callable[[], Iterable[int]]

_hidden: list[Descriptors] = []


@contextmanager
def hidden_from_forks(descriptors: Descriptors) -> Iterator[None]:
    """While entered, the files that `descriptors` returns at the time of a fork are not open in the forked process."""
    _hidden.append(descriptors)
    try:
        yield
    finally:
        _hidden.remove(descriptors)


def _hide() -> None:
    if not _hidden:
        return
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptors in _hidden:
        for descriptor in descriptors():
            # Replaced instead of closed: an inherited Python object closes its number when it is garbage-collected, and
            # by then the number could belong to a file that the child has opened.
            with suppress(OSError):
                os.dup2(nothing, descriptor, inheritable=False)
    os.close(nothing)
    _hidden.clear()


if hasattr(os, "register_at_fork"):  # Not on Windows, which has no fork.
    os.register_at_fork(after_in_child=_hide)
