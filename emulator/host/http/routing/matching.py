"""Route templates against paths, as ASP.NET Core's conventional routing matches them.

    template = parse_template("api/items/{id:int}/{*rest}")
    match(template, split_path("/api/Items/7/a/b"))   # {"id": "7", "rest": "a/b"}

Source: ASP.NET Core, src/Http/Routing; docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from emulator.host.http.routing.templates import Parameter, Part, Segment, Template


def match(template: Template, path: Sequence[str]) -> dict[str, str] | None:
    """The route values of a path (see `paths.split_path`), defaults included; None if it does not match.

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
