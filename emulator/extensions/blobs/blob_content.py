"""Contents of blobs as values of parameters: text, bytes, or a stream that is read while the function runs.

    datum = await read_content(container, "dir/x.bin", content_form(function, binding), context.clock)

Source: docs/protocol/functions-host.md 7.2, 7.3 and 8.4. The choice of the form differs from the Functions host, see
docs/compatibility.md.
"""

from __future__ import annotations

import asyncio
import codecs
import enum
import io
from typing import Final

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.host.port import Function
from emulator.storage.port import BlobContainer, BlobRange, NotFound, PreconditionFailed
from emulator.worker.port import Binding, Datum

# What one request reads. A stream keeps one such range in memory, and the next while it arrives.
RANGE_BYTES: Final = 4 * 1024 * 1024

_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    # The longer ones first: UTF-32's begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class ContentForm(enum.Enum):
    """How a parameter takes the content of a blob."""

    TEXT = "text"
    BYTES = "bytes"
    # A parameter of type InputStream, or without annotation.
    STREAM = "stream"


def content_form(function: Function, binding: Binding) -> ContentForm:
    """Return how the parameter of a blob input or trigger takes the content.

    dataType decides about text or bytes, as in the Functions host. Without it the host sends text, which damages all
    other content; here only a parameter with the annotation `str` gets text.
    """
    annotation = function.metadata.parameter_types.get(binding.name)
    match (binding.data_type or "").upper():
        case "STRING":
            return ContentForm.TEXT
        case "BINARY":
            return ContentForm.STREAM if annotation is None else ContentForm.BYTES
    if annotation is str:
        return ContentForm.TEXT
    return ContentForm.BYTES if annotation is bytes else ContentForm.STREAM


async def read_content(
    container: BlobContainer, blob: str, form: ContentForm, clock: Clock, *, if_match: str | None = None
) -> Datum:
    """Read a blob as a value of that form.

    `if_match`: the ETag that the blob must still have. Raises NotFound, PreconditionFailed and other StorageErrors.
    """
    first = await container.read_range(blob, 0, RANGE_BYTES, if_match=if_match)
    if form is ContentForm.STREAM:
        if first.properties.size == len(first.content):
            return Datum("bytes", first.content)
        return Datum("stream", BlobReader(container, first, clock, asyncio.get_running_loop()))
    content = await _whole(container, first)
    return Datum("bytes", content) if form is ContentForm.BYTES else Datum("string", decode_text(content))


def decode_text(content: bytes) -> str:
    """Decode text as .NET's StreamReader: by its byte-order mark, else as UTF-8; wrong bytes become U+FFFD."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    return content.decode("utf-8", "replace")


async def _whole(container: BlobContainer, first: BlobRange) -> bytes:
    """Return the first range and what follows it. Raises PreconditionFailed if the blob is overwritten meanwhile."""
    properties = first.properties
    if properties.size == len(first.content):
        return first.content
    content = bytearray(first.content)
    for offset in range(len(first.content), properties.size, RANGE_BYTES):
        block = await container.read_range(properties.name, offset, RANGE_BYTES, if_match=properties.etag)
        content += block.content
    return bytes(content)


class BlobReader(io.BufferedIOBase):
    """Stream of one version of a blob, for user code on another thread than the host's event loop.

    Reading raises OSError if the blob cannot be read any more: it was overwritten or deleted, or the storage does not
    answer. `first`: the beginning, which has been read. `loop`: the host's event loop.
    """

    def __init__(
        self, container: BlobContainer, first: BlobRange, clock: Clock, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._container = container
        self._first = first
        self._properties = first.properties
        self._clock = clock
        self._loop = loop
        self._range = memoryview(first.content)
        self._range_end = len(first.content)

    def reopened(self) -> BlobReader:
        """Return a stream of the same version that is at its beginning."""
        return BlobReader(self._container, self._first, self._clock, self._loop)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, fewer only at the end; None or a negative number: all that is left."""
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        if wanted <= len(self._range):
            return self._take(wanted)
        content = bytearray(self._take(len(self._range)))
        while len(content) < wanted:
            self._fetch()
            content += self._take(wanted - len(content))
        return bytes(content)

    def read1(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes with at most one request."""
        if not self._range and self._left:
            self._fetch()
        return self._take(len(self._range) if size < 0 else size)

    def peek(self, size: int = 0, /) -> bytes:
        """Return bytes that `read` will return next, at least one unless the stream is at its end."""
        if not self._range and self._left:
            self._fetch()
        # readline() of the io module calls this for every line, so not the whole range.
        return bytes(self._range[: max(size, io.DEFAULT_BUFFER_SIZE)])

    @property
    def _left(self) -> int:
        return self._properties.size - self._range_end + len(self._range)

    def _take(self, size: int) -> bytes:
        content, self._range = bytes(self._range[:size]), self._range[size:]
        return content

    def _fetch(self) -> None:
        """Read the next range; block the calling thread."""
        name = f"{self._container.name}/{self._properties.name}"
        try:
            inside = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            inside = False
        if inside:
            raise OSError(f"The blob {name} cannot be read on the thread of the host's event loop.")
        # Before the request: the memory of the old range is free when the new one arrives.
        self._range = memoryview(b"")
        request = self._container.read_range(
            self._properties.name, self._range_end, RANGE_BYTES, if_match=self._properties.etag
        )
        try:
            # Virtual time must not jump while a thread waits.
            with self._clock.busy():
                content = asyncio.run_coroutine_threadsafe(request, self._loop).result().content
        except (NotFound, PreconditionFailed):
            raise OSError(
                f"The blob {name} was deleted or overwritten while it was being read. Read a blob that changes at "
                "once, with read(), or annotate the parameter with bytes."
            ) from None
        except EmulatorError as error:
            raise OSError(f"The blob {name} cannot be read: {error}") from error
        except RuntimeError as error:
            # The event loop is closed.
            request.close()
            raise OSError(f"The blob {name} cannot be read any more, because the host has stopped.") from error
        if not content:
            raise OSError(f"The blob {name} ended before its size.")
        self._range, self._range_end = memoryview(content), self._range_end + len(content)
