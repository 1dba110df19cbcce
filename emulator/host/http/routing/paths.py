"""Normalisation of request paths: percent escapes and dot segments, as Kestrel processes them.

Keys, built-in routes and function routes all judge the normalised path. If they decoded on their own, a path could
pass the check of one as something else than what the other serves.
Source: Kestrel, PathNormalizer.cs, UrlDecoder.cs; docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes


def normalized_path(raw: str) -> str | None:
    """Return the normalised path of a request target; None if it is not acceptable and needs a 400 response.

    Percent escapes are decoded except `%2F` and bytes that are not UTF-8. Then `.` and `..` segments are resolved; they
    cannot climb above the root. A NUL character is not acceptable.
    """
    decoded = _decode(raw)
    if "\0" in decoded or not decoded.startswith("/"):
        return None
    if "/." not in decoded:
        return decoded
    # Kestrel too resolves after decoding, so that an encoded `..` cannot bypass a check of the first segment.
    kept: list[str] = []
    segments = decoded.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    ends_in_folder = segments[-1] in (".", "..") and kept
    return "/" + "/".join(kept) + ("/" if ends_in_folder else "")


def has_dot_segments(raw: str) -> bool:
    """Return whether a path has `.` or `..` segments, plain or percent-encoded."""
    return any(segment in (".", "..") for segment in _decode(raw).split("/"))


def split_path(path: str) -> list[str] | None:
    """Return the segments of a normalised path; None if it has an empty segment, which no route matches.

    One slash at the end is ignored.
    """
    if path == "/":
        return []
    segments = path.removeprefix("/").removesuffix("/").split("/")
    return None if "" in segments else segments


_ESCAPES = re.compile(r"(?:%[0-9a-fA-F]{2})+")


def _decode(raw: str) -> str:
    def decode_run(run: re.Match[str]) -> str:
        # Neighbouring escapes are decoded together, because one character may need several of them.
        pieces = re.split(r"(%2[fF])", run[0])
        return "".join(piece if piece.upper() == "%2F" else decode_utf8(piece) for piece in pieces)

    def decode_utf8(escapes: str) -> str:
        # Bytes that are not UTF-8 stay escaped, while the valid ones around them are decoded.
        text = unquote_to_bytes(escapes).decode("utf-8", "surrogateescape")
        return re.sub(r"[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)

    return _ESCAPES.sub(decode_run, raw) if "%" in raw else raw
