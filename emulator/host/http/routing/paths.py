"""What a path is made of, decided in one place: keys, built-in routes and those of functions judge the same text.

Source: Kestrel's path normalisation; docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes


def normalized_path(raw: str) -> str | None:
    """The path of a request target as everything behind the server sees it; None if it is not acceptable.

    Percent escapes are decoded, but `%2F` stays and so does what is not UTF-8; then `.` and `..` segments are resolved
    and can never climb above the root. A NUL is refused. Same order as Kestrel: an encoded `..` is a `..`.
    """
    decoded = _decoded(raw)
    if "\0" in decoded or not decoded.startswith("/"):
        return None
    return _without_dot_segments(decoded) if "/." in decoded else decoded


def has_dot_segments(raw: str) -> bool:
    """Whether `.` or `..` stand in a path, plain or encoded."""
    return any(segment in (".", "..") for segment in _decoded(raw).split("/"))


def split_path(path: str) -> list[str] | None:
    """The segments of a normalised path; None for a path that no route can match, one with an empty segment.

    One slash at the end means nothing.
    """
    if path == "/":
        return []
    segments = path.removeprefix("/").removesuffix("/").split("/")
    return None if "" in segments else segments


_ESCAPES = re.compile(r"(?:%[0-9a-fA-F]{2})+")


def _decoded(raw: str) -> str:
    return _ESCAPES.sub(_decoded_run, raw) if "%" in raw else raw


def _decoded_run(run: re.Match[str]) -> str:
    pieces = re.split(r"(%2[fF])", run[0])
    return "".join(piece if piece.upper() == "%2F" else _decoded_text(piece) for piece in pieces)


def _decoded_text(escapes: str) -> str:
    # Bytes that are not UTF-8 stay escaped, each for itself, while what is sound around them is decoded.
    text = unquote_to_bytes(escapes).decode("utf-8", "surrogateescape")
    return re.sub(r"[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)


def _without_dot_segments(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    ends_in_folder = segments[-1] in (".", "..") and kept
    return "/" + "/".join(kept) + ("/" if ends_in_folder else "")
