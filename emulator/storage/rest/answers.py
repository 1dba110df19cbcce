"""The bytes of an HTTP/1.1 answer, as they come in pieces, put together. Facts: RFC 9112, sections 4 to 7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from emulator.storage.rest.transport import Answer

_NO_BODY = frozenset({204, 304})


class Headers(Mapping[str, str]):
    """Names as they came; looking one up ignores case."""

    __slots__ = ("_by_name",)

    def __init__(self, lines: list[str]) -> None:
        self._by_name: dict[str, tuple[str, str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            self._by_name[name.lower()] = (name, value.strip())

    def __getitem__(self, name: str) -> str:
        return self._by_name[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


class AnswerReader:
    """Give it what arrives; it gives the answer when that is whole. For one answer; `bodiless`: to a HEAD."""

    __slots__ = ("_bodiless", "_body", "_buffer", "_headers", "_length", "_place", "_status")

    def __init__(self, *, bodiless: bool) -> None:
        self._bodiless = bodiless
        self._buffer = b""
        self._status = 0
        self._headers = Headers([])
        self._length: int | None = None
        # Of a chunked body: the chunks so far, and where in the buffer the next one begins.
        self._body: list[bytes] | None = None
        self._place = 0

    def feed(self, data: bytes) -> Answer | None:
        """None: more has to come. Raises ValueError for what is no HTTP."""
        self._buffer = self._buffer + data if self._buffer else data
        while not self._status:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return None
            self._buffer = rest
            self._read_head(head)
        if self._body is not None:
            return self._chunked(self._body)
        if self._length is None or len(self._buffer) < self._length:
            return None
        if len(self._buffer) > self._length:
            raise ValueError("more than one answer to one request")
        return Answer(self._status, self._headers, self._buffer)

    def at_end(self) -> Answer | None:
        """The connection has ended: that is the end of a body whose length was not said."""
        if not self._status or self._body is not None or self._length is not None:
            return None
        return Answer(self._status, self._headers, self._buffer)

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"{first[:80]!r} is no status line")
        status = int(rest[:3])
        if status < 200:
            return  # an interim answer; the real one follows
        self._status = status
        self._headers = Headers(lines)
        if self._bodiless or status in _NO_BODY:
            self._length = 0
        elif self._headers.get("transfer-encoding", "").lower() == "chunked":
            self._body = []
        elif length := self._headers.get("content-length"):
            self._length = int(length)

    def _chunked(self, chunks: list[bytes]) -> Answer | None:
        buffer = self._buffer
        while (end := buffer.find(b"\r\n", self._place)) >= 0:
            size = int(buffer[self._place : end].partition(b";")[0], 16)
            start = end + 2
            if size == 0:
                # Trailers, if there are any, end with an empty line like a head.
                whole = buffer.startswith(b"\r\n", start) or buffer.find(b"\r\n\r\n", start) >= 0
                return Answer(self._status, self._headers, b"".join(chunks)) if whole else None
            if len(buffer) < start + size + 2:
                break
            chunks.append(buffer[start : start + size])
            self._place = start + size + 2
        if self._place:
            self._buffer, self._place = buffer[self._place :], 0
        return None
