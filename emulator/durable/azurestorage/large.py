"""Large payloads: texts over the limits of queues and tables, stored as gzip blobs that messages and columns refer to.

Source: docs/protocol/task-hub-storage.md chapters 1.4, 2.4, 3.5 and 4.2 (durabletask: MessageManager.cs,
AzureTableTrackingStore.cs).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

from emulator.clock import Clock
from emulator.durable.options import DEFAULT_MAX_PAYLOAD_BYTES, MAX_PAYLOAD_SETTING, MIB
from emulator.ids import NewId
from emulator.storage.port import BlobContainer, NotFound, StorageError

MAX_MESSAGE_BYTES = 45 * 1024
"""Limit of a message text in UTF-8. A queue takes 64 KiB, and base64 adds a third."""

MAX_COLUMN_BYTES = 60 * 1024
"""Limit of a column in UTF-16. A table takes 64 KiB per string."""


_PIECE_CHARACTERS = 1024 * 1024


def too_large_for_queue(text: str) -> bool:
    """Whether a message text has to go to a blob."""
    # A character has one to four bytes. This avoids encoding nearly all messages only to measure them.
    if len(text) * 4 <= MAX_MESSAGE_BYTES:
        return False
    if len(text) > MAX_MESSAGE_BYTES:
        return True
    return len(text.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES


def utf16_bytes(text: str) -> int:
    """Return the size of a text in UTF-16, the encoding whose bytes table limits count."""
    if text.isascii():
        return 2 * len(text)
    return len(text.encode("utf-16-le", "surrogatepass"))


def too_large_for_column(text: str) -> bool:
    """Whether a column's text has to go to a blob."""
    # A character has two or four bytes.
    return len(text) * 2 > MAX_COLUMN_BYTES or (
        len(text) * 4 > MAX_COLUMN_BYTES and utf16_bytes(text) > MAX_COLUMN_BYTES
    )


def message_blob_name(instance_id: str, activity_id: str, event_type: str) -> str:
    """Return the name of a message's blob. `instance_id`: the receiver's id, not escaped."""
    # Half of a surrogate pair has no UTF-8. .NET writes U+FFFD for it.
    instance_id = instance_id.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return f"{instance_id}/message-{activity_id.replace('-', '')}-{event_type}.json.gz"


def column_blob_name(partition_key: str, row_key: str, event_type: str, column: str, *, random: str) -> str:
    """Return the name of a column's blob. `random`: 32 hex digits.

    The random part keeps two hosts apart that write the same row; the row that is stored refers to the blob of one of
    them.
    """
    # 31 bits, because .NET takes a non-negative Int32.
    number = int(random[:8], 16) & 0x7FFFFFFF
    return f"{partition_key}/history-{row_key}-{event_type}-{number:08X}-{column}.json.gz"


def blob_name_of(reference: str) -> str | None:
    """Return the name of the blob that a column of the status row refers to; None: the text is the payload itself.

    A payload that is a URL of another kind is not taken for a reference.
    """
    # The host name is not compared: "localhost" and "127.0.0.1" may be the same account.
    if not reference.startswith(("http://", "https://")):
        return None
    try:
        path = urlsplit(reference).path
    except ValueError:
        # A payload that is not a URL, such as the text "https://[".
        return None
    container, separator, blob = path.partition("-largemessages/")
    return unquote(blob) if separator and container and blob.endswith(".json.gz") else None


class DamagedPayload(StorageError):
    """The blob of a large payload cannot be decompressed or decoded."""

    def __init__(self, blob: str, error: Exception) -> None:
        super().__init__(
            f"The blob {blob} with a large payload is damaged ({error}).", status=200, code="DamagedPayload"
        )


class PayloadTooLarge(StorageError):
    """The blob of a payload has more bytes than the limit when it is decompressed."""

    def __init__(self, blob: str, limit_bytes: int) -> None:
        super().__init__(
            f"The blob {blob} has more than {limit_bytes / MIB:g} MiB when it is decompressed. It stays where it is. "
            f"To read it, set {MAX_PAYLOAD_SETTING} in local.settings.json to a larger number of MiB.",
            status=200,
            code="PayloadTooLarge",
        )


def decompressed(content: bytes, limit: int) -> bytes | None:
    """Return the content of a gzip file; None if that is more than `limit` bytes. Raises zlib.error, EOFError."""
    parts, room = list[bytes](), limit
    # A gzip file may have several members.
    while content:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(content, room + 1))
        room -= len(parts[-1])
        if room < 0:
            return None
        if not member.eof:
            raise EOFError("the gzip file is cut off")
        content = member.unused_data.lstrip(b"\0")
    if not parts:
        raise EOFError("the gzip file is empty")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def compressed(text: str) -> bytes:
    """Return a gzip file with the text in UTF-8."""
    # Without a time in its header (a file name and a time are what zlib leaves out), equal payloads make equal blobs.
    compressor = zlib.compressobj(level=6, wbits=31)
    # In pieces: the whole text in UTF-8 would be another copy of a payload of megabytes.
    starts = range(0, len(text), _PIECE_CHARACTERS)
    parts = [
        compressor.compress(text[start : start + _PIECE_CHARACTERS].encode("utf-8", "surrogatepass"))
        for start in starts
    ]
    return b"".join((*parts, compressor.flush()))


class LargePayloads:
    """The container for large payloads of one hub. It is created when a payload is stored and it is missing.

    `max_bytes`: the limit of a payload that is read. A few kilobytes of gzip may be gigabytes.
    """

    def __init__(
        self, container: BlobContainer, clock: Clock, new_id: NewId, *, max_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
    ) -> None:
        self._container = container
        self._max_bytes = max_bytes
        self._clock = clock
        self._new_id = new_id

    async def store(self, blob: str, text: str) -> str:
        """Store a text under a blob name and return the blob's URL."""
        # Megabytes would block the event loop, and with it the renewal of locks.
        with self._clock.busy():
            content = await asyncio.to_thread(compressed, text)
        try:
            await self._container.write(blob, content)
        except NotFound:
            # Most hubs never store a large payload, and then need no container. And it may be deleted while the host
            # runs (Azurite lost its data, or a user cleaned up).
            await self._container.create()
            await self._container.write(blob, content)
        return self._container.url(blob)

    async def store_column(
        self, partition_key: str, row_key: str, event_type: str, column: str, text: str
    ) -> tuple[str, str]:
        """Store the text of a column and return the name and the URL of its blob."""
        blob = column_blob_name(partition_key, row_key, event_type, column, random=self._new_id())
        return blob, await self.store(blob, text)

    async def load(self, blob: str) -> str:
        """Return the text of a blob. Raises NotFound, DamagedPayload, PayloadTooLarge."""
        content = await self._container.read(blob)

        def read() -> str | None:
            payload = decompressed(content, self._max_bytes)
            # A byte order mark is accepted, because .NET writers may put one.
            return None if payload is None else payload.decode("utf-8-sig", "surrogatepass")

        try:
            with self._clock.busy():
                text = await asyncio.to_thread(read)
        except (EOFError, zlib.error, UnicodeDecodeError) as error:
            raise DamagedPayload(blob, error) from error
        if text is None:
            raise PayloadTooLarge(blob, self._max_bytes)
        return text

    async def resolve(self, reference: str) -> str:
        """Return the text that a status column refers to; the reference itself if its blob is missing or damaged.

        A status without its input is more useful than an error, and one bad blob must not make a whole list fail.
        """
        blob = blob_name_of(reference)
        if blob is None:
            return reference
        try:
            return await self.load(blob)
        except StorageError:
            return reference

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names of the blobs that begin with `prefix`; none if the container does not exist."""
        try:
            async for blob in self._container.list(prefix):
                yield blob.name
        except NotFound:
            return

    async def delete(self, blob: str) -> bool:
        """Delete a blob; False if it does not exist."""
        return await self._container.delete(blob)

    async def drop(self) -> None:
        """Delete the container with all payloads."""
        await self._container.drop()
