"""Blob containers, block blobs and their leases in the built-in store.

Source: Azure Storage REST reference, blob service (Create Container, Delete Container, Put Blob, Put Block List, Get
Blob, Delete Blob, List Blobs, Lease Blob, Lease Container).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from emulator import bound_json as json
from emulator.background import run_to_completion
from emulator.clock import Clock
from emulator.storage.blob_signal import BlobSignal
from emulator.storage.builtin import large_contents
from emulator.storage.builtin.blob_leases import (
    LEASE_COLUMNS,
    SET_LEASE,
    BuiltinLease,
    lease_of,
    lease_record,
    stored_lease,
)
from emulator.storage.builtin.database import Database, Refused
from emulator.storage.builtin.leases import FREE, Kind, LeaseRecord, after_write, check_access, lease_at
from emulator.storage.builtin.names import check_blob_name, check_container_name, is_identifier
from emulator.storage.builtin.schema import ordinal_key
from emulator.storage.builtin.timestamps import to_micros, whole_second
from emulator.storage.port import BlobProperties, BlobRange

# No server listens there. Rows of a task hub hold URLs of blobs, and readers take container and blob name out of them.
_URL = "http://builtin/devstoreaccount1"
_PAGE = 1000
_CONTENT_TYPE = "application/octet-stream"
_MAX_METADATA = 8 * 1024
# All but the content, which may be large.
_PROPERTIES = f"name, size, etag, created_at, modified_at, content_type, content_md5, metadata, {LEASE_COLUMNS}"
# An existing blob keeps its row, and with it the time of its creation.
_WRITE = f"""
    INSERT INTO blobs (container_id, ordinal, name, size, etag, created_at, modified_at, content_type, content_md5,
        metadata, content, {LEASE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (container_id, ordinal) DO UPDATE SET size = excluded.size, etag = excluded.etag,
        modified_at = excluded.modified_at, content_type = excluded.content_type, content_md5 = excluded.content_md5,
        metadata = excluded.metadata, content = excluded.content, lease_state = excluded.lease_state,
        lease_id = excluded.lease_id, lease_seconds = excluded.lease_seconds, lease_ends_at = excluded.lease_ends_at"""


class BuiltinContainer:
    """Implements storage.port.BlobContainer."""

    def __init__(self, name: str, database: Database, signal: BlobSignal, clock: Clock) -> None:
        self.name = name
        self._database = database
        self._signal = signal
        self._clock = clock

    async def create(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            check_container_name(self.name)
            # The result shows which of several processes has created it.
            sql = "INSERT OR IGNORE INTO containers (name) VALUES (?)"
            return connection.execute(sql, (self.name,)).rowcount == 1

        return await self._database.write(f"create container {self.name}", work)

    async def drop(self, *, lease_id: str | None = None) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            with suppress(_NoContainer):
                container = self._id(connection)
                lease = lease_of(connection, "containers", container)
                check_access(lease_at(lease, to_micros(self._clock.now())), lease_id, "container")
                connection.execute("DELETE FROM blobs WHERE container_id = ?", (container,))
                connection.execute("DELETE FROM containers WHERE id = ?", (container,))
                return True
            return False

        return await self._database.write(f"delete container {self.name}", work)

    async def exists(self) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            with suppress(_NoContainer):
                self._id(connection)
                return True
            return False

        return await self._database.read(f"look for container {self.name}", work)

    async def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        start = ordinal_key(prefix)
        # UTF-8 has no byte 0xFF, so this key sorts behind all names with the prefix.
        end = ordinal_key(prefix) + b"\xff"

        def work(connection: sqlite3.Connection) -> Sequence[BlobProperties]:
            sql = (
                f"SELECT {_PROPERTIES} FROM blobs WHERE container_id = ? AND ordinal >= ? AND ordinal < ?"
                " ORDER BY ordinal LIMIT ?"
            )
            now = to_micros(self._clock.now())
            rows = connection.execute(sql, (self._id(connection), start, end, _PAGE))
            return [_properties(columns, now) for columns in rows]

        while True:
            page = await self._database.read(f"list the blobs of container {self.name}", work)
            for properties in page:
                yield properties
            if len(page) < _PAGE:
                return
            # The next key in byte order: no name sorts between a name and the same with a zero byte behind it.
            start = ordinal_key(page[-1].name) + b"\0"

    async def properties(self, blob: str) -> BlobProperties:
        def work(connection: sqlite3.Connection) -> BlobProperties:
            return _properties(self._find(connection, blob, _PROPERTIES), to_micros(self._clock.now()))

        return await self._database.read(self._action("look at", blob), work)

    async def read(self, blob: str) -> bytes:
        def work(connection: sqlite3.Connection) -> bytes:
            key, size, stored = self._find(connection, blob, "id, size, length(content)")
            if stored < size:
                return large_contents.read(connection, key, 0, size)
            return bytes(self._find(connection, blob, "content")[0])

        return await self._database.read(self._action("read", blob), work)

    async def read_range(self, blob: str, offset: int, length: int, *, if_match: str | None = None) -> BlobRange:
        def work(connection: sqlite3.Connection) -> BlobRange:
            columns = self._find(connection, blob, f"{_PROPERTIES}, id, length(content)")
            properties = _properties(columns[:-2], to_micros(self._clock.now()))
            key, stored = columns[-2:]
            if if_match not in (None, "*", properties.etag):
                raise _condition_not_met()
            if offset >= properties.size:
                return BlobRange(b"", properties)
            if stored < properties.size:
                return BlobRange(large_contents.read(connection, key, offset, length), properties)
            # SQL's substr would read the whole value.
            with connection.blobopen("blobs", "content", key, readonly=True) as content:
                content.seek(offset)
                return BlobRange(content.read(length), properties)

        return await self._database.read(self._action("read", blob), work)

    async def write(
        self,
        blob: str,
        content: bytes,
        *,
        only_if_new: bool = False,
        if_match: str | None = None,
        lease_id: str | None = None,
        content_type: str = _CONTENT_TYPE,
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        def work(connection: sqlite3.Connection) -> BlobProperties:
            check_blob_name(blob)
            # First, because it needs no access to the database.
            new = _CheckedBlob.of(_md5(content).digest(), content_type, metadata)
            container, now = self._id(connection), to_micros(self._clock.now())
            old = _blob(connection, container, blob, f"etag, {LEASE_COLUMNS}")
            if only_if_new and old is not None:
                raise Refused(409, "BlobAlreadyExists", "The specified blob already exists.")
            if if_match is not None and (old is None or if_match not in ("*", old[0])):
                raise _condition_not_met()
            lease = FREE if old is None else lease_at(lease_record(old[1:]), now)
            check_access(lease, lease_id, "blob")
            if len(content) < large_contents.LARGE_BYTES:
                self._put(connection, blob, new, content, size=len(content), lease=lease)
            else:
                large = large_contents.begin(connection, now)
                view = memoryview(content)
                for number, start in enumerate(range(0, len(content), large_contents.BLOCK_BYTES)):
                    block = view[start : start + large_contents.BLOCK_BYTES]
                    large_contents.append(connection, large, number, block)
                key = self._put(connection, blob, new, b"", size=len(content), lease=lease)
                large_contents.attach(connection, large, key)
            return _properties(self._find(connection, blob, _PROPERTIES), now)

        return await self._database.write(self._action("write", blob), work, then=self._notify)

    async def write_blocks(
        self,
        blob: str,
        blocks: AsyncIterator[bytes],
        *,
        content_type: str = _CONTENT_TYPE,
        metadata: Mapping[str, str] | None = None,
    ) -> BlobProperties:
        action, md5, size, number = self._action("write", blob), _md5(b""), 0, 0
        large: int | None = None
        # What has arrived but does not fill a block yet.
        rest = bytearray()
        try:
            async for piece in blocks:
                md5.update(piece)
                size += len(piece)
                rest += piece
                while len(rest) >= large_contents.BLOCK_BYTES:
                    # A transaction per block, so that other operations are executed in between.
                    large = await self._append(action, large, number, bytes(rest[: large_contents.BLOCK_BYTES]))
                    number += 1
                    del rest[: large_contents.BLOCK_BYTES]
            if large is None:
                return await self.write(blob, bytes(rest), content_type=content_type, metadata=metadata)
            if rest:
                await self._append(action, large, number, bytes(rest))
            return await self._commit(blob, large, size, _Headers(md5.digest(), content_type, metadata))
        except BaseException:
            if large is not None:
                unused = large
                await run_to_completion(
                    self._database.write(action, lambda connection: large_contents.discard(connection, unused))
                )
            raise

    async def _append(self, action: str, large: int | None, number: int, block: bytes) -> int:
        """Store a block of a content that belongs to no blob yet. Returns the content's id. `large` None: a new one."""

        def work(connection: sqlite3.Connection) -> int:
            # A missing container is reported by the first block.
            self._id(connection)
            content = large_contents.begin(connection, to_micros(self._clock.now())) if large is None else large
            large_contents.append(connection, content, number, block)
            return content

        return await self._database.write(action, work)

    async def _commit(self, blob: str, large: int, size: int, headers: _Headers) -> BlobProperties:
        """Make stored blocks the content of a blob."""

        def work(connection: sqlite3.Connection) -> BlobProperties:
            check_blob_name(blob)
            new = _CheckedBlob.of(headers.md5, headers.content_type, headers.metadata)
            now = to_micros(self._clock.now())
            old = _blob(connection, self._id(connection), blob, LEASE_COLUMNS)
            lease = FREE if old is None else lease_at(lease_record(old), now)
            check_access(lease, None, "blob")
            large_contents.attach(connection, large, self._put(connection, blob, new, b"", size=size, lease=lease))
            return _properties(self._find(connection, blob, _PROPERTIES), now)

        return await self._database.write(self._action("write", blob), work, then=self._notify)

    def _put(
        self,
        connection: sqlite3.Connection,
        blob: str,
        new: _CheckedBlob,
        content: bytes,
        *,
        size: int,
        lease: LeaseRecord,
    ) -> int:
        """Write the row of a blob and return its id. `lease`: that of the blob which is overwritten."""
        now = to_micros(self._clock.now())
        etag = self._new_etag()
        values = (self._id(connection), ordinal_key(blob), blob, size, etag, now, now, new.content_type, new.md5)
        connection.execute(_WRITE, (*values, new.metadata, content, *stored_lease(after_write(lease))))
        return int(self._find(connection, blob, "id")[0])

    async def set_metadata(self, blob: str, metadata: Mapping[str, str], *, lease_id: str | None = None) -> None:
        def work(connection: sqlite3.Connection) -> None:
            text, now = _checked_metadata(metadata), to_micros(self._clock.now())
            key, *columns = self._find(connection, blob, f"id, {LEASE_COLUMNS}")
            lease = lease_at(lease_record(tuple(columns)), now)
            check_access(lease, lease_id, "blob")
            connection.execute(
                f"UPDATE blobs SET metadata = ?, etag = ?, modified_at = ?, {SET_LEASE} WHERE id = ?",
                (text, self._new_etag(), now, *stored_lease(after_write(lease)), key),
            )

        await self._database.write(self._action("set the metadata of", blob), work, then=self._notify)

    async def delete(self, blob: str, *, lease_id: str | None = None) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            columns = _blob(connection, self._id(connection), blob, f"id, {LEASE_COLUMNS}")
            if columns is None:
                return False
            check_access(lease_at(lease_record(columns[1:]), to_micros(self._clock.now())), lease_id, "blob")
            connection.execute("DELETE FROM blobs WHERE id = ?", (columns[0],))
            return True

        return await self._database.write(self._action("delete", blob), work)

    def changes(self) -> int:
        return self._signal.changes(self.name)

    async def wait(self, at_most: timedelta, *, since: int) -> None:
        await self._signal.wait(self.name, at_most, since=since)

    def _notify(self) -> None:
        self._signal.note(self.name)

    def lease(self, blob: str | None = None) -> BuiltinLease:
        def target(connection: sqlite3.Connection) -> tuple[Kind, int]:
            if blob is None:
                return "container", self._id(connection)
            return "blob", self._find(connection, blob, "id")[0]

        description = f"container {self.name}" if blob is None else f"blob {blob} of container {self.name}"
        return BuiltinLease(description, target, self._database, self._clock)

    def url(self, blob: str) -> str:
        # Slashes in the name of a blob separate segments of the path and are not escaped.
        return f"{_URL}/{self.name}/" + "/".join(quote(part, safe="") for part in blob.split("/"))

    def _action(self, verb: str, blob: str) -> str:
        return f"{verb} blob {blob} of container {self.name}"

    def _new_etag(self) -> str:
        # Without the hyphen the ETag is hexadecimal, as those of the service.
        return f'"0x{self._database.tokens.next().replace("-", "").upper()}"'

    def _find(self, connection: sqlite3.Connection, blob: str, columns: str) -> tuple[Any, ...]:
        values = _blob(connection, self._id(connection), blob, columns)
        if values is None:
            raise Refused(404, "BlobNotFound", "The specified blob does not exist.")
        return values

    def _id(self, connection: sqlite3.Connection) -> int:
        columns = connection.execute("SELECT id FROM containers WHERE name = ?", (self.name,)).fetchone()
        if columns is None:
            # The service reports an invalid name rather than a missing container.
            check_container_name(self.name)
            raise _NoContainer
        return int(columns[0])


@dataclass(frozen=True, slots=True)
class _Headers:
    """What the writer of a blob says about its content."""

    md5: bytes
    content_type: str
    metadata: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class _CheckedBlob:
    """Stored columns of a blob that is valid in itself. `metadata`: as JSON."""

    md5: bytes
    content_type: str
    metadata: str

    @classmethod
    def of(cls, md5: bytes, content_type: str, metadata: Mapping[str, str] | None) -> _CheckedBlob:
        """Check a blob. Raises Refused."""
        if not content_type.isascii() or not content_type.isprintable():
            raise Refused(400, "InvalidHeaderValue", "The content type has characters that a header may not have.")
        return cls(md5, content_type or _CONTENT_TYPE, _checked_metadata(metadata or {}))


def _checked_metadata(metadata: Mapping[str, str]) -> str:
    """Return metadata as they are stored, as JSON. Raises Refused."""
    # Metadata travels in headers, where the blanks around a value are not part of it.
    metadata = {name: value.strip(" \t") for name, value in metadata.items()}
    for name, value in metadata.items():
        if not is_identifier(name) or not (name.isascii() and value.isascii() and value.isprintable()):
            raise Refused(400, "InvalidMetadata", f"The metadata {name!r} has characters that are not permitted.")
    if sum(len(name) + len(value) for name, value in metadata.items()) > _MAX_METADATA:
        raise Refused(400, "MetadataTooLarge", "The metadata is larger than 8 KiB.")
    return json.dumps(metadata)


def _md5(content: bytes) -> hashlib._Hash:
    # The service computes it for every blob that is written in one request, and clients may verify it.
    return hashlib.md5(content, usedforsecurity=False)


def _condition_not_met() -> Refused:
    return Refused(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")


def _blob(connection: sqlite3.Connection, container: int, blob: str, columns: str) -> tuple[Any, ...] | None:
    sql = f"SELECT {columns} FROM blobs WHERE container_id = ? AND ordinal = ?"
    values: tuple[Any, ...] | None = connection.execute(sql, (container, ordinal_key(blob))).fetchone()
    return values


def _properties(columns: tuple[Any, ...], now: int) -> BlobProperties:
    name, size, etag, created_at, modified_at, content_type, content_md5, metadata = columns[:8]
    return BlobProperties(
        name=name,
        size=size,
        etag=etag,
        last_modified=whole_second(modified_at),
        content_type=content_type,
        metadata=json.loads(metadata),
        lease_state=lease_at(lease_record(columns[8:]), now).state,
        created_at=whole_second(created_at),
        content_md5=content_md5,
    )


class _NoContainer(Refused):
    """The container does not exist. Has its own class, because dropping a missing container is not an error."""

    def __init__(self) -> None:
        super().__init__(404, "ContainerNotFound", "The specified container does not exist.")
