"""Matching of request paths against route templates, as ASP.NET Core's conventional routing does it.

    template = parse_template("api/items/{id:int}/{*rest}")
    match(template, split_path("/api/Items/7/a/b"))   # {"id": "7", "rest": "a/b"}

Source: ASP.NET Core, src/Http/Routing (RoutePatternMatcher); docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from emulator.host.http.routing.templates import Parameter, Part, Segment, Template


def match(template: Template, path: Sequence[str]) -> dict[str, str] | None:
    """Return the route values of a path (see `paths.split_path`), defaults included; None if it does not match.

    Literals ignore case, values keep the case of the path. Optional parameters without a value are absent.
    """
    values = _match_segments(template.segments, path)
    if values is None:
        return None
    # Defaults first: a constraint is checked against the default value too.
    for parameter in template.parameters:
        if parameter.name not in values and parameter.default is not None:
            values[parameter.name] = parameter.default
        if not parameter.accepts(values.get(parameter.name)):
            return None
    return values


def _match_segments(segments: Sequence[Segment], path: Sequence[str]) -> dict[str, str] | None:
    values: dict[str, str] = {}
    for index, segment in enumerate(segments):
        only = segment.only
        if isinstance(only, Parameter) and only.catch_all:
            # A catch-all matches an empty rest too; its value is absent then, so that a default can apply.
            rest = "/".join(path[index:])
            return values | {only.name: rest} if rest else values
        if index >= len(path):
            # The path is shorter than the template: all remaining segments must be parameters that may be absent.
            if not isinstance(only, Parameter) or not (only.optional or only.default is not None):
                return None
            continue
        text = path[index]
        match only:
            case str() as literal:
                if literal.lower() != text.lower():
                    return None
            case Parameter() as parameter:
                values[parameter.name] = text
            case None:
                segment_values = _match_complex(segment.parts, text)
                if segment_values is None:
                    return None
                values.update(segment_values)
    return None if len(path) > len(segments) else values


def _match_complex(parts: Sequence[Part], text: str) -> dict[str, str] | None:
    """Match a segment of several literals and parameters, such as `{file}.{extension?}`."""
    last = parts[-1]
    values = _match_pattern(parts, text)
    if values is None and isinstance(last, Parameter) and last.optional and not text.endswith("."):
        # The optional parameter is absent, and the dot before it is absent with it.
        return _match_pattern(parts[:-2], text)
    return values


def _match_pattern(parts: Sequence[Part], text: str) -> dict[str, str] | None:
    # ASP.NET Core matches from the right and takes the last occurrence of each literal. Greedy groups from the left
    # give the same values, and like there no parameter is empty.
    pattern = "".join("(.+)" if isinstance(part, Parameter) else re.escape(part) for part in parts)
    values = re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL)
    if values is None:
        return None
    names = (part.name for part in parts if isinstance(part, Parameter))
    return dict(zip(names, values.groups(), strict=True))
