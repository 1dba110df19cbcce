"""Which route a request takes: paths, and templates matched as ASP.NET Core's conventional routing does it.

    template = parse_template("api/items/{id:int}/{*rest}")
    match(template, split_path("/api/Items/7/a/b"))   # {"id": "7", "rest": "a/b"}

What a path is made of is decided in one place, `normalized_path`, so that the keys, the built-in routes and the
functions' routes all judge the same text.
Source: ASP.NET Core, src/Http/Routing; Kestrel's path normalisation; spec/functions-host.md 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from emulator.host.http.templates import Parameter, Part, Segment, Template


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


def match(template: Template, path: Sequence[str]) -> dict[str, str] | None:
    """The route values of a path (see `split_path`), defaults included; None if it does not match.

    Literals ignore case, values keep the case of the path. Optional parameters without a value are absent.
    """
    values = _matched(template.segments, path)
    if values is None:
        return None
    for parameter in template.parameters:
        if parameter.name not in values and parameter.default is not None:
            values[parameter.name] = parameter.default
        if not parameter.accepts(values.get(parameter.name)):
            return None
    return values


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


def _matched(segments: Sequence[Segment], path: Sequence[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for index, segment in enumerate(segments):
        only = segment.only
        if isinstance(only, Parameter) and only.catch_all:
            rest = "/".join(path[index:])
            return values | {only.name: rest} if rest else values
        if index >= len(path):
            # The path is over: the rest must be parameters that may be missing.
            if not _may_be_missing(only):
                return None
        elif not _segment_matched(segment, path[index], values):
            return None
    return None if len(path) > len(segments) else values


def _may_be_missing(part: Part | None) -> bool:
    return isinstance(part, Parameter) and (part.optional or part.default is not None)


def _segment_matched(segment: Segment, text: str, values: dict[str, str]) -> bool:
    match segment.only:
        case str() as literal:
            return literal.lower() == text.lower()
        case Parameter() as parameter:
            values[parameter.name] = text
            return True
        case None:
            found = _complex_values(segment.parts, text)
            values.update(found or {})
            return found is not None


def _complex_values(parts: Sequence[Part], text: str) -> dict[str, str] | None:
    last = parts[-1]
    found = _pattern_values(parts, text)
    if found is None and isinstance(last, Parameter) and last.optional and not text.endswith("."):
        # `{file}.{extension?}` without the extension, and then without its dot.
        return _pattern_values(parts[:-2], text)
    return found


def _pattern_values(parts: Sequence[Part], text: str) -> dict[str, str] | None:
    """Match literals and parameters within one segment. Parameters are greedy from the left and never empty."""
    pattern = "".join("(.+)" if isinstance(part, Parameter) else re.escape(part) for part in parts)
    found = re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL)
    if found is None:
        return None
    names = (part.name for part in parts if isinstance(part, Parameter))
    return dict(zip(names, found.groups(), strict=True))
