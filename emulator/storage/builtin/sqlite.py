"""SQLite connections of the built-in store, and messages for SQLite's errors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from emulator.errors import EmulatorError, StorageUnavailable
from emulator.private_files import make_private_folder, owner_only
from emulator.storage.gitignore import hide_from_git

# How long a process waits for the transaction of another one. Those take milliseconds, unless the disk is very slow or
# another program has locked the file.
LOCK_SECONDS = 30.0
# Twice SQLite's default, because rows with inputs and results of functions are large.
_PAGE_BYTES = 8192
# Files up to this size are checked for damage when they are opened, which takes about a millisecond per megabyte. In a
# larger file damage shows when the damaged part is read.
_CHECKED_BYTES = 256 * 1024 * 1024


def open_file(path: Path, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open a connection to the file. Creates file and folder if they do not exist. Raises StorageUnavailable."""
    try:
        make_private_folder(path.parent)
    except OSError as error:
        raise StorageUnavailable(
            f"The folder {path.parent} for the built-in storage cannot be created: {error.strerror}. "
            "Choose another path: azemu start --storage builtin:PATH"
        ) from error
    # Only the default folder .azemu. A folder that the user has chosen is left alone.
    hide_from_git(path.parent)
    # SQLite would create it readable for all. The files beside it (`-wal`, `-shm`) get its mode. "x": closing a file
    # that exists would release the locks of other connections of this process. Other errors are left to SQLite.
    with suppress(OSError), open(path, "xb", opener=owner_only):
        pass
    with explain_errors(path, StorageUnavailable):
        connection = connect(str(path))
        try:
            configure_file(connection, path, synchronous)
        except BaseException:
            connection.close()
            raise
        return connection


def configure_file(connection: sqlite3.Connection, path: Path, synchronous: str) -> None:
    """Set the modes of a connection to a file and check the file for damage. Raises StorageUnavailable."""
    # With a write-ahead log readers do not wait for writers, and a commit is one flush. It needs shared memory.
    [mode] = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StorageUnavailable(
            f"{path} cannot be used for built-in storage: its folder does not support SQLite's WAL mode "
            "(a network drive?). Choose a folder on a local disk: azemu start --storage builtin:PATH"
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # On macOS an ordinary flush leaves data in the disk's cache. Elsewhere this changes nothing.
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    if path.stat().st_size <= _CHECKED_BYTES:
        [result] = connection.execute("PRAGMA quick_check(1)").fetchone()
        if result != "ok":
            raise StorageUnavailable(_CORRUPT.format(path=path, reason=str(result).splitlines()[-1]))


_CORRUPT = (
    "The built-in storage {path} is damaged ({reason}). It was not changed. Restore it from a copy, or save what "
    "can be read with `sqlite3 {path} .recover`, or start with an empty one: azemu start --storage builtin:PATH"
)
_MESSAGES = {
    "SQLITE_FULL": "The disk with the built-in storage {path} is full: nothing was written. Free some space; "
    "what was written before is safe.",
    "SQLITE_BUSY": "The built-in storage {path} has been locked by another program for over {seconds:.0f} seconds. "
    "Close that program, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_READONLY": "The built-in storage {path} cannot be written: the file or its folder is read-only for this "
    "user. Change its permissions, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_CANTOPEN": "The built-in storage {path} cannot be opened ({reason}). Check that its folder exists and can "
    "be written and that the path is not a folder, or use another file: azemu start --storage builtin:PATH",
    "SQLITE_PERM": "The built-in storage {path} cannot be opened: access denied. Change its permissions, or use "
    "another file: azemu start --storage builtin:PATH",
    "SQLITE_CORRUPT": _CORRUPT,
    "SQLITE_NOTADB": "{path} is not a file of azemu's built-in storage, or it is damaged ({reason}). It was not "
    "changed. Use another file: azemu start --storage builtin:PATH",
    "SQLITE_IOERR": "The disk with the built-in storage {path} reports an error ({reason}): nothing was written. Check "
    "the disk, or use another file: azemu start --storage builtin:PATH",
}


@contextmanager
def explain_errors(
    path: Path, kind: type[EmulatorError], *, other: type[EmulatorError] | None = None
) -> Iterator[None]:
    """Raise SQLite's errors as errors of this class, with a message that says what to do.

    `other`: class of errors that may concern a single operation, instead of the whole file.
    """
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        # Extended names begin with the primary one, for example SQLITE_IOERR_WRITE.
        template = next((text for known, text in _MESSAGES.items() if name.startswith(known)), None)
        if template is None:
            template, kind = "The built-in storage {path} failed ({reason}).", other or kind
        reason = f"{name}: {error}" if name else str(error)
        raise kind(template.format(path=path, reason=reason, seconds=LOCK_SECONDS)) from error


def connect(target: str) -> sqlite3.Connection:
    """Open a connection. `target`: a path or ":memory:"."""
    # isolation_level None: Python begins no transactions of its own. check_same_thread: the thread of a file uses a
    # connection that was opened on the thread of the event loop. cached_statements: enough for all operations.
    connection = sqlite3.connect(
        target, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    # Takes effect in a new database only.
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    return connection
