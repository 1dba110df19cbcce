"""Incremental parser of an HTTP/1.1 response. Source: RFC 9112, sections 4 to 7."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from emulator.storage.rest.transport import Response

_WITHOUT_BODY = frozenset({204, 304})


class Headers(Mapping[str, str]):
    """Headers of a response. Names keep their case, which matters for metadata; looking one up ignores case."""

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


class ResponseParser:
    """Parser of one response. `bodiless`: the request was a HEAD, so no body follows whatever the headers say."""

    __slots__ = ("_bodiless", "_buffer", "_chunk_start", "_chunks", "_headers", "_length", "_parts", "_status")

    def __init__(self, *, bodiless: bool) -> None:
        self._bodiless = bodiless
        self._buffer = b""
        self._status = 0  # 0 until the head is complete
        self._headers = Headers([])
        self._length: int | None = None  # None: chunked, or the body ends with the connection
        self._chunks: list[bytes] | None = None  # None: not chunked
        self._chunk_start = 0  # position of the next chunk in the buffer
        self._parts: list[bytes] = []  # a body of known length that has not arrived completely

    def feed(self, data: bytes) -> Response | None:
        """Add received bytes. Returns the response when it is complete. Raises ValueError if it is not valid HTTP."""
        if self._parts:
            # Joined once, at the end: the time for joining at every call grows with the square of the size.
            self._parts.append(data)
            return self._body_of_known_length(len(data))
        self._buffer = self._buffer + data if self._buffer else data
        while not self._status:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return None
            self._buffer = rest
            self._parse_head(head)
        if self._chunks is not None:
            return self._parse_chunks(self._chunks)
        if self._length is None:
            return None
        self._parts.append(self._buffer)
        return self._body_of_known_length(len(self._buffer))

    def _body_of_known_length(self, arrived: int) -> Response | None:
        assert self._length is not None
        self._length -= arrived
        if self._length > 0:
            return None
        if self._length < 0:
            # There is only one request at a time on a connection. The rest cannot belong to anything.
            raise ValueError("more than one response to one request")
        return Response(self._status, self._headers, b"".join(self._parts) if len(self._parts) > 1 else self._parts[0])

    def end_of_connection(self) -> Response | None:
        """Return the response if the end of the connection completes it: its headers gave no length for the body."""
        if not self._status or self._chunks is not None or self._length is not None:
            return None
        return Response(self._status, self._headers, self._buffer)

    def _parse_head(self, head: bytes) -> None:
        # Latin-1 decodes any byte. UTF-8 could fail in a header that is of no interest here.
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = status_line.partition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"{status_line[:80]!r} is not a status line")
        status = _number(rest[:3], 10)
        if status < 200:
            return  # An interim response, such as 100 Continue: the final one follows.
        self._status = status
        self._headers = Headers(lines)
        # The order is that of RFC 9112, section 6.3: Transfer-Encoding overrides Content-Length.
        if self._bodiless or status in _WITHOUT_BODY:
            self._length = 0
        elif self._headers.get("transfer-encoding", "").lower() == "chunked":
            self._chunks = []
        elif length := self._headers.get("content-length"):
            self._length = _number(length, 10)

    def _parse_chunks(self, chunks: list[bytes]) -> Response | None:
        buffer = self._buffer
        while (end := buffer.find(b"\r\n", self._chunk_start)) >= 0:
            # A size may have extensions behind a semicolon.
            size = _number(buffer[self._chunk_start : end].partition(b";")[0].strip().decode("latin-1"), 16)
            start = end + 2
            if size == 0:
                # Trailer fields, if there are any, end with an empty line as a head does.
                complete = buffer.startswith(b"\r\n", start) or buffer.find(b"\r\n\r\n", start) >= 0
                return Response(self._status, self._headers, b"".join(chunks)) if complete else None
            if len(buffer) < start + size + 2:
                break
            if buffer[start + size : start + size + 2] != b"\r\n":
                raise ValueError("a chunk is longer than its size")
            chunks.append(buffer[start : start + size])
            self._chunk_start = start + size + 2
        # Drop what is parsed once per call instead of once per chunk: each time copies the rest of the buffer.
        if self._chunk_start:
            self._buffer, self._chunk_start = buffer[self._chunk_start :], 0
        return None


def _number(text: str, base: int) -> int:
    """Return a number of ASCII digits. Raises ValueError: `int` alone accepts signs, blanks and underscores."""
    # Fifteen digits are more than any size, and a limit for the time of `int`.
    if not re.fullmatch("[0-9A-Fa-f]{1,15}", text, re.ASCII):
        raise ValueError(f"{text[:40]!r} is not a number")
    return int(text, base)
