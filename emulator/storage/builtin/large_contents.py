"""Contents of large blobs in the built-in store, in blocks of 4 MiB.

SQLite's limit for one value is 1 GB, and it reads and writes a value as a whole. So a content of at least LARGE_BYTES
is stored in rows of its own, and the column `content` of its blob is empty. The tables are created with the first large
blob of a file, which then has the next format version: an azemu that does not know them refuses it, and no other file.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from emulator.storage.builtin.schema import LARGE_CONTENTS_VERSION

BLOCK_BYTES: Final = 4 * 1024 * 1024
LARGE_BYTES: Final = 4 * BLOCK_BYTES
# Azure discards blocks that do not belong to a blob after a week. Here they are left by a killed process.
_KEPT_MICROS: Final = 7 * 24 * 3600 * 1_000_000

# The triggers remove a content with its blob, whichever statement deletes or overwrites that.
_TABLES: Final = (
    "CREATE TABLE large_contents (id INTEGER PRIMARY KEY AUTOINCREMENT, blob_id INTEGER UNIQUE, staged_at INTEGER)",
    """CREATE TABLE content_blocks (
        content_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        content BLOB NOT NULL,
        PRIMARY KEY (content_id, number))""",
    """CREATE TRIGGER blob_deleted AFTER DELETE ON blobs BEGIN
        DELETE FROM large_contents WHERE blob_id = old.id; END""",
    """CREATE TRIGGER blob_overwritten AFTER UPDATE OF content ON blobs BEGIN
        DELETE FROM large_contents WHERE blob_id = old.id; END""",
    """CREATE TRIGGER large_content_deleted AFTER DELETE ON large_contents BEGIN
        DELETE FROM content_blocks WHERE content_id = old.id; END""",
)


def begin(connection: sqlite3.Connection, now: int) -> int:
    """Create a content that belongs to no blob yet and return its id. `now`: microseconds since 1970."""
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version < LARGE_CONTENTS_VERSION:
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {LARGE_CONTENTS_VERSION}")
    connection.execute(
        "DELETE FROM large_contents WHERE blob_id IS NULL AND staged_at < ?",
        (now - _KEPT_MICROS,),
    )
    return connection.execute("INSERT INTO large_contents (staged_at) VALUES (?)", (now,)).lastrowid or 0


def append(connection: sqlite3.Connection, content_id: int, number: int, block: bytes | memoryview) -> None:
    """Add a block of BLOCK_BYTES; only the last one of a content may be shorter."""
    connection.execute(
        "INSERT INTO content_blocks (content_id, number, content) VALUES (?, ?, ?)", (content_id, number, block)
    )


def attach(connection: sqlite3.Connection, content_id: int, blob_id: int) -> None:
    """Make a content that of a blob whose column `content` has just been set to an empty value."""
    connection.execute("UPDATE large_contents SET blob_id = ? WHERE id = ?", (blob_id, content_id))


def discard(connection: sqlite3.Connection, content_id: int) -> None:
    """Delete a content, unless it belongs to a blob."""
    connection.execute("DELETE FROM large_contents WHERE id = ? AND blob_id IS NULL", (content_id,))


def read(connection: sqlite3.Connection, blob_id: int, offset: int, length: int) -> bytes:
    """Read at most `length` bytes of a blob whose content is in blocks."""
    first, last = offset // BLOCK_BYTES, (offset + length - 1) // BLOCK_BYTES
    blocks = connection.execute(
        "SELECT content_blocks.content FROM content_blocks JOIN large_contents ON content_id = large_contents.id"
        " WHERE blob_id = ? AND number BETWEEN ? AND ? ORDER BY number",
        (blob_id, first, last),
    )
    start = offset - first * BLOCK_BYTES
    # The usual range is one whole block; it is not copied.
    content = b"".join(block for [block] in blocks)
    return content if start == 0 and len(content) <= length else content[start : start + length]
