"""Opening the built-in store's file, and what SQLite's errors mean to a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.errors import EmulatorError, StorageUnavailable
from emulator.storage.own_folders import hide_from_git

# How long one process waits for another one's transaction. They take milliseconds.
LOCK_SECONDS = 30.0
_PAGE_BYTES = 8192
# A file is looked through when it is opened, at about a millisecond for each megabyte. In a larger one damage is found
# by whoever reads the damaged part.
_CHECKED_BYTES = 256 * 1024 * 1024


def open_file(path: Path, synchronous: str = "FULL") -> sqlite3.Connection:
    """A connection to the file, made with its folder if it is not there. Raises StorageUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageUnavailable(
            f"The folder {path.parent} for the built-in storage cannot be made: {error.strerror}. "
            "Choose another place: azemu start --storage builtin:PATH"
        ) from error
    hide_from_git(path.parent)
    with explained(path, StorageUnavailable):
        connection = connect(str(path))
        try:
            _configure(connection, path, synchronous)
        except BaseException:
            connection.close()
            raise
        return connection


def _configure(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageUnavailable(
            f"{path} cannot be used for built-in storage: its folder does not support SQLite's WAL mode "
            "(a network drive?). Choose a folder on a local disk: azemu start --storage builtin:PATH"
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # On macOS an ordinary flush does not reach the disk itself; elsewhere this changes nothing.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    if path.stat().st_size <= _CHECKED_BYTES:
        [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise StorageUnavailable(_CORRUPT.format(path=path, reason=str(found).splitlines()[-1]))


_CORRUPT = (
    "The built-in storage {path} is damaged ({reason}). It was left as it is. Restore it from a copy, or save what "
    "can be read with `sqlite3 {path} .recover`, or start with an empty one: azemu start --storage builtin:PATH"
)
_MESSAGES = {
    "SQLITE_FULL": "The disk with the built-in storage {path} is full: nothing was written. Free some space; "
    "what was acknowledged before is safe.",
    "SQLITE_BUSY": "The built-in storage {path} is locked by another program for more than {seconds:.0f} seconds. "
    "End it, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_READONLY": "The built-in storage {path} cannot be written: the file or its folder is read-only for this "
    "user. Change its permissions, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_CANTOPEN": "The built-in storage {path} cannot be opened ({reason}). Check that its folder exists and can "
    "be written and that the path is not a folder, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_PERM": "The built-in storage {path} cannot be opened: access denied. Change its permissions, or use "
    "another file: azemu start --storage builtin:PATH",
    "SQLITE_CORRUPT": _CORRUPT,
    "SQLITE_NOTADB": "{path} is not a file of azemu's built-in storage, or it is damaged ({reason}). It was left as it "
    "is. Use another file: azemu start --storage builtin:PATH",
    "SQLITE_IOERR": "The disk with the built-in storage {path} fails ({reason}): nothing was written.",
}


@contextmanager
def explained(path: Path, kind: type[EmulatorError]) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        # Extended names begin with the primary one: SQLITE_IOERR_WRITE.
        template = next((text for known, text in _MESSAGES.items() if name.startswith(known)), None)
        if template is None:
            template = "The built-in storage {path} failed ({reason})."
        reason = f"{name}: {error}" if name else str(error)
        raise kind(template.format(path=path, reason=reason, seconds=LOCK_SECONDS)) from error


def connect(target: str) -> sqlite3.Connection:
    """`target`: a path or ":memory:". No transaction begins by itself."""
    connection = sqlite3.connect(
        target, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    return connection
