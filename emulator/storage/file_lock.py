"""Lock file that at most one process holds. The operating system releases it when the process ends in any way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from emulator.forking import hidden_from_forks
from emulator.private_files import make_private_folder, owner_only


@contextmanager
def try_lock(path: Path) -> Iterator[IO[bytes] | None]:
    """Hold the lock file while the body runs, and return the open file; None if another process holds it.

    On POSIX a child process that inherits the file holds the lock, too, until it ends. The file stays afterwards:
    deleting it would let two processes lock two files of the same name. Raises OSError where files cannot be created or
    locked.
    """
    make_private_folder(path.parent)
    # A process that user code forks shares the open file, and would keep the lock after this process has ended.
    with open(path, "a+b", opener=owner_only) as file, hidden_from_forks(lambda: [file.fileno()]):
        yield file if _lock(file) else None


# Both kinds of lock belong to the open file, so the system releases them even after kill -9.
if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        try:
            # Locks one byte at the current position. It must be the same position in every process.
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        try:
            # Not lockf: its locks belong to the process, and closing any other handle of the file would release them.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
