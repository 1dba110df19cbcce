"""Payloads over the limits: gzip blobs, and the names and URLs by which messages and columns refer to them.

Source: docs/protocol/task-hub-storage.md chapters 1.4, 2.4, 3.5 and 4.2 (durabletask: MessageManager.cs,
AzureTableTrackingStore.cs).
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

from emulator.clock import Clock
from emulator.ids import NewId
from emulator.storage.port import BlobContainer, NotFound, StorageError

MAX_MESSAGE_BYTES = 45 * 1024
"""UTF-8. A queue takes 64 KiB; the rest is room for base64."""

MAX_COLUMN_BYTES = 60 * 1024
"""UTF-16. A table takes 64 KiB per string."""


def too_large_for_queue(text: str) -> bool:
    if len(text) * 4 <= MAX_MESSAGE_BYTES:
        return False
    return len(text.encode("utf-8", "surrogatepass")) > MAX_MESSAGE_BYTES


def utf16_bytes(text: str) -> int:
    if text.isascii():
        return 2 * len(text)
    return len(text.encode("utf-16-le", "surrogatepass"))


def too_large_for_column(text: str) -> bool:
    return len(text) * 4 > MAX_COLUMN_BYTES and utf16_bytes(text) > MAX_COLUMN_BYTES


def message_blob_name(instance_id: str, activity_id: str, event_type: str) -> str:
    """`instance_id`: the raw id of the receiver."""
    return f"{instance_id}/message-{activity_id.replace('-', '')}-{event_type}.json.gz"


def column_blob_name(partition_key: str, row_key: str, event_type: str, column: str, *, random: str) -> str:
    """`random` (32 hex digits) keeps two hosts that write the same row apart; .NET uses 31 bits of it, in hex."""
    number = int(random[:8], 16) & 0x7FFFFFFF
    return f"{partition_key}/history-{row_key}-{event_type}-{number:08X}-{column}.json.gz"


def blob_name_of(reference: str) -> str | None:
    """The blob that a column of the status row refers to, or None when the text is a payload itself.

    Any host name is taken, because "localhost" and "127.0.0.1" may be the same account; a payload that only looks
    like a URL is not taken.
    """
    if not reference.startswith(("http://", "https://")):
        return None
    path = urlsplit(reference).path
    container, separator, blob = path.partition("-largemessages/")
    return unquote(blob) if separator and container and blob.endswith(".json.gz") else None


class DamagedPayload(StorageError):
    """What the blob holds is no text that was stored here."""

    def __init__(self, blob: str, error: Exception) -> None:
        super().__init__(
            f"The blob {blob} with a large payload is damaged ({error}).", status=200, code="DamagedPayload"
        )


class LargePayloads:
    """The container for large payloads of one hub. It is made when the first one comes."""

    def __init__(self, container: BlobContainer, clock: Clock, new_id: NewId) -> None:
        self._container = container
        self._clock = clock
        self._new_id = new_id
        self._created = False

    async def store(self, blob: str, text: str) -> str:
        """Keep a text under a blob name; returns its URL."""
        content = await self._off_the_loop(text)
        if not self._created:
            await self._container.create()
            self._created = True
        await self._container.write(blob, content)
        return self._container.url(blob)

    async def store_column(
        self, partition_key: str, row_key: str, event_type: str, column: str, text: str
    ) -> tuple[str, str]:
        """Keep the text of a column; returns the name and the URL of its blob."""
        blob = column_blob_name(partition_key, row_key, event_type, column, random=self._new_id())
        return blob, await self.store(blob, text)

    async def load(self, blob: str) -> str:
        """Raises NotFound, DamagedPayload."""
        content = await self._container.read(blob)
        try:
            with self._clock.busy():
                return (await asyncio.to_thread(gzip.decompress, content)).decode("utf-8-sig", "surrogatepass")
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise DamagedPayload(blob, error) from error

    async def resolve(self, reference: str) -> str:
        """The text that a status column refers to; the reference itself when no text can be had behind it."""
        blob = blob_name_of(reference)
        if blob is None:
            return reference
        try:
            return await self.load(blob)
        except (NotFound, DamagedPayload):
            return reference

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """Blob names that begin with `prefix`; none when there is no container yet."""
        try:
            async for found in self._container.list(prefix):
                yield found.name
        except NotFound:
            return

    async def delete(self, blob: str) -> bool:
        return await self._container.delete(blob)

    async def drop(self) -> None:
        await self._container.drop()
        self._created = False

    async def _off_the_loop(self, text: str) -> bytes:
        with self._clock.busy():
            return await asyncio.to_thread(_compressed, text)


def _compressed(text: str) -> bytes:
    # The time in the gzip header would make equal payloads unequal.
    return gzip.compress(text.encode("utf-8", "surrogatepass"), compresslevel=6, mtime=0)
