"""Locks that tell a new `azemu start` about its predecessor in the same folder on the same port.

When a supervisor is killed, its host process needs a moment to notice that and to end. A new start waits for it instead
of failing because the port is in use. Two lock files per port show this situation, on all operating systems: one is
held by the supervisor, the other one by the host process. There are none for port 0 (any free port), because no other
start can ask for the same port. A host process that still loads its modules holds no lock yet, but has inherited the
listening sockets: then the record of the killed host shows that it is its.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from emulator.clock import Clock
from emulator.listening import PortUnavailable, listening_sockets
from emulator.storage.file_lock import try_lock
from emulator.storage.gitignore import hide_from_git

PORTS_FOLDER: Final = Path(".azemu") / "ports"
_WAIT_SECONDS = 10.0
_PAUSE_SECONDS = 0.05


@contextmanager
def serving_lock(app: Path, port: int) -> Iterator[bool]:
    """Hold the lock of the process that serves the app on this port. False: another process holds it."""
    with _locked(app, port, "host") as held:
        yield held


@contextmanager
def supervising_lock(app: Path, port: int) -> Iterator[bool]:
    """Hold the lock of the supervisor of the app on this port. False: another supervisor holds it."""
    with _locked(app, port, "supervisor") as held:
        yield held


async def wait_for_predecessor(app: Path, address: str, port: int, clock: Clock) -> None:
    """Wait until a host process whose supervisor was killed has ended. Return at once if there is none.

    Returns after ten seconds in any case; the port is then reported as in use.
    """
    with supervising_lock(app, port) as alone:
        if not alone:
            return
    for _ in range(int(_WAIT_SECONDS / _PAUSE_SECONDS)):
        with serving_lock(app, port) as ended:
            if ended and not _left_port_in_use(app, address, port):
                return
        await clock.sleep(_PAUSE_SECONDS)


def _left_port_in_use(app: Path, address: str, port: int) -> bool:
    """Return whether a host of the app was killed on this port, and the port is still in use."""
    record = record_file(app, port)
    try:
        # A host that stops removes its record, and one that runs holds this lock.
        if not port or not record.exists():
            return False
        with try_lock(alive_lock_file(record)) as lock:
            if lock is None:
                return False
        for listener in listening_sockets(address, port):
            listener.close()
    except OSError:
        return False  # As in `_locked`.
    except PortUnavailable as error:
        return error.in_use
    return False


def record_file(app: Path, port: int) -> Path:
    """Return the file with the record of the app's host at a port; see `host_record`."""
    return app / PORTS_FOLDER / f"{port}.json"


def alive_lock_file(record: Path) -> Path:
    """Return the file that a host keeps locked while its record is true."""
    return record.with_suffix(".alive")


@contextmanager
def _locked(app: Path, port: int, process: str) -> Iterator[bool]:
    with ExitStack() as stack:
        if not port:
            yield True
            return
        try:
            held = stack.enter_context(try_lock(app / PORTS_FOLDER / f"{port}.{process}")) is not None
            hide_from_git(app / PORTS_FOLDER.parent)
        except OSError:
            # A folder that cannot be written. Then a new start does not wait, and says that the port is in use.
            held = True
        yield held
