"""SQLite tables of the built-in store, and the version of the file format.

Times are microseconds since 1970 (UTC). Timestamps of rows are 100 ns units since year 1, like those of `Instant`. Keys
of rows and names of blobs are stored as `ordinal_key`, so that SQLite's byte order is Azure's order.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from emulator.errors import StorageUnavailable

# In PRAGMA user_version. A file of another version is refused, never converted.
SCHEMA_VERSION = 1
# The same with the tables of `large_contents`.
LARGE_CONTENTS_VERSION = 2
_VERSIONS = (SCHEMA_VERSION, LARGE_CONTENTS_VERSION)
# "azem" in ASCII, in the header of the file (PRAGMA application_id). Other SQLite databases do not have it.
APPLICATION_ID = 0x617A656D

# AUTOINCREMENT: the id of a dropped queue, table or container is not used again, so nothing that refers to the old one
# can reach a new one of the same name. Large columns are the last ones of their table: SQLite stores them on other
# pages, which a query of the other columns need not read.
_TABLES = (
    "CREATE TABLE openings (number INTEGER PRIMARY KEY AUTOINCREMENT)",
    "CREATE TABLE queues (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)",
    # `sequence` orders messages that become visible at the same time.
    """CREATE TABLE messages (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        queue_id INTEGER NOT NULL,
        id TEXT NOT NULL,
        pop_receipt TEXT NOT NULL,
        dequeue_count INTEGER NOT NULL,
        inserted_at INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        expires_at INTEGER,
        body TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX message_by_id ON messages (queue_id, id)",
    "CREATE INDEX message_by_time ON messages (queue_id, visible_at, sequence)",
    "CREATE INDEX message_by_expiry ON messages (queue_id, expires_at) WHERE expires_at IS NOT NULL",
    "CREATE TABLE tables (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE)",
    # The primary key is the clustered index, so a query of a partition reads neighbouring pages.
    """CREATE TABLE entities (
        table_id INTEGER NOT NULL,
        partition_key BLOB NOT NULL,
        row_key BLOB NOT NULL,
        etag TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        properties TEXT NOT NULL,
        PRIMARY KEY (table_id, partition_key, row_key)) WITHOUT ROWID""",
    """CREATE TABLE containers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        lease_state TEXT NOT NULL DEFAULT 'available',
        lease_id TEXT,
        lease_seconds INTEGER,
        lease_ends_at INTEGER)""",
    # `ordinal` is the key of the name: SQLite would order names by UTF-8.
    """CREATE TABLE blobs (
        id INTEGER PRIMARY KEY,
        container_id INTEGER NOT NULL,
        ordinal BLOB NOT NULL,
        name TEXT NOT NULL,
        size INTEGER NOT NULL,
        etag TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        modified_at INTEGER NOT NULL,
        content_type TEXT NOT NULL,
        content_md5 BLOB NOT NULL,
        metadata TEXT NOT NULL,
        lease_state TEXT NOT NULL DEFAULT 'available',
        lease_id TEXT,
        lease_seconds INTEGER,
        lease_ends_at INTEGER,
        content BLOB NOT NULL,
        UNIQUE (container_id, ordinal))""",
)


def ordinal_key(text: str) -> bytes:
    """Encode a text so that bytes compare as the text does in .NET's ordinal comparison: by UTF-16 code unit.

    That is UTF-8, but with each surrogate encoded on its own (CESU-8).
    """
    if text.isascii():
        return text.encode()
    # In plain UTF-8, characters beyond U+FFFF would sort behind U+FFFF; their surrogates sort before U+E000.
    return text.translate(_SPLIT).encode("utf-8", "surrogatepass")


def text_of_key(key: bytes) -> str:
    """Decode an `ordinal_key`."""
    # The way over UTF-16 joins the surrogates of a character.
    text = key.decode("utf-8", "surrogatepass")
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _SplitSurrogates(dict[int, str]):
    """Table for str.translate that maps a character beyond U+FFFF to its two surrogates."""

    def __missing__(self, point: int) -> str:
        if point <= 0xFFFF:
            return chr(point)
        point -= 0x10000
        return chr(0xD800 + (point >> 10)) + chr(0xDC00 + (point & 0x3FF))


_SPLIT = _SplitSurrogates()


def prepare(connection: sqlite3.Connection, path: Path | None) -> int:
    """Create the tables if the database is new, else check its version. Returns the number of this opening.

    The number is different each time a database is opened. Must be called in a transaction. Raises StorageUnavailable.
    """
    application, version = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    is_empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    # An empty file may be a database of another program that has set its marks but not created tables yet.
    if is_empty and not application and not version:
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    # Never touch a file that may belong to another program, even if it has no tables of these names.
    elif application != APPLICATION_ID:
        raise StorageUnavailable(
            f"{path} is an SQLite database, but not one of azemu's built-in storage. It was not changed. "
            "Choose another file: azemu start --storage builtin:PATH"
        )
    elif not is_known_version(version):
        raise StorageUnavailable(other_version(path, version))
    # A row per opening, which is never deleted: the number must not be used again, also after a crash.
    return connection.execute("INSERT INTO openings DEFAULT VALUES").lastrowid or 0


def is_known_version(version: int) -> bool:
    """Whether this azemu can use a file of that format version."""
    return version in _VERSIONS


def other_version(path: Path | None, version: int) -> str:
    """Return the message for a file of another format version."""
    newer = version > LARGE_CONTENTS_VERSION
    advice = "Use that version of azemu" if newer else "Export it with the azemu that wrote it"
    return (
        f"{path} was written by {'a newer' if newer else 'an older'} azemu: it has format {version}, this azemu has "
        f"format {LARGE_CONTENTS_VERSION}. It was not changed. {advice}, or choose another file: "
        "azemu start --storage builtin:PATH"
    )
