"""Hosts of one machine that follow one another: who is started after a killed host goes on where it stopped.

Over a network nobody can know that a host is dead; its leases and locks have to run out. On one machine the operating
system knows: it releases a file lock when the process that holds it ends, however it ends. So a folder has numbered
seats, and each host takes the first that is free. A seat has a name, which is the host's name in lease records, and a
ledger of the messages that the host holds. Who sits down where a killed host sat has its name, and so its leases, at
once, and gives its messages back.

Two live hosts never have the same name: a name belongs to a lock, and one that was copied along with its folder does
not count.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from emulator.durable.azurestorage.crash_recovery.receipt_journal import FileLedger, read_ledger
from emulator.ids import NewId
from emulator.storage.file_lock import try_lock

_log = logging.getLogger(__name__)

FIRST_LOCK = timedelta(seconds=5)
"""Until the first renewal, for a host with a seat: a message that was on its way to a host when that was killed is in
no ledger, and has to wait for the end of its lock."""

_MOST = 64


@dataclass(frozen=True, slots=True)
class Seat:
    """`path`: of the ledger. `place`: the folder and the machine, as ledgers name them."""

    name: str
    ledger: FileLedger
    path: Path
    place: str


TakeSeat = Callable[[], Seat | None]
"""The seat is kept until the folder is left. None: there is none to be had, and locks end in their time."""


def no_seat() -> Seat | None:
    return None


@contextmanager
def open_seats(folder: Path, new_id: NewId) -> Iterator[TakeSeat]:
    """`folder` is made when a seat is taken."""
    with ExitStack() as stack:
        yield lambda: _take(folder, new_id, stack)


def _take(folder: Path, new_id: NewId, stack: ExitStack) -> Seat | None:
    try:
        for number in range(_MOST):
            with ExitStack() as attempt:
                if attempt.enter_context(try_lock(folder / f"{number}.lock")):
                    stack.push(attempt.pop_all())
                    return _sit(folder, number, new_id, stack)
    except OSError as error:
        _log.debug("A host that is killed and started again has to wait for its own locks: %s", error)
    return None


def _sit(folder: Path, number: int, new_id: NewId, stack: ExitStack) -> Seat:
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    path = folder / f"{number}.ledger"
    here = f"{platform.node()} {folder.resolve()}"
    title, left = read_ledger(path)
    name, _, place = title.partition("\t")
    if not name or place != here:
        name, left = new_name(new_id), ()
        path.unlink(missing_ok=True)
    ledger = stack.enter_context(closing(FileLedger(path, f"{name}\t{here}", left)))
    return Seat(name, ledger, path, here)


def ledgers_of_the_dead(seat: Seat) -> Iterator[FileLedger]:
    """Of hosts beside this one that held something when they ended. Each is ours until the next one is asked for."""
    for path in seat.path.parent.glob("*.ledger"):
        if path == seat.path:
            continue
        with suppress(OSError), ExitStack() as stack:
            if not stack.enter_context(try_lock(path.with_suffix(".lock"))):
                continue
            title, left = read_ledger(path)
            if left and title.endswith(f"\t{seat.place}"):
                yield stack.enter_context(closing(FileLedger(path, title, left)))


def new_name(new_id: NewId) -> str:
    """A name for a host that no other has."""
    return f"{platform.node() or 'azemu'}-{new_id()[:8]}"
