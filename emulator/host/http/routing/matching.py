"""Matching of request paths against route templates, as ASP.NET Core's conventional routing does it.

    template = parse_template("api/items/{id:int}/{*rest}")
    match(template, split_path("/api/Items/7/a/b"))   # {"id": "7", "rest": "a/b"}

Source: ASP.NET Core, src/Http/Routing (RoutePatternMatcher); docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

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
    values = _match_parts(parts, text)
    if values is None and isinstance(last, Parameter) and last.optional and not text.endswith("."):
        # The optional parameter is absent, and the dot before it is absent with it.
        return _match_parts(parts[:-2], text)
    return values


def _match_parts(parts: Sequence[Part], text: str) -> dict[str, str] | None:
    """Match literals and parameters in turn, from the right: each literal takes its last occurrence, once and for all.

    Hence `a{b}c{d}` does not match `aabcd`: after `c` the last `a` is taken, and the first one is left over. No
    occurrence is tried twice, so the time is linear in the text. Source: documentation of ASP.NET Core, "Routing".
    """
    folded = _upper(text)
    values: dict[str, str] = {}
    end = len(text)  # What is behind has been matched.
    pending: Parameter | None = None  # Takes the text between `end` and the next literal.
    for index in reversed(range(len(parts))):
        part = parts[index]
        if isinstance(part, Parameter):
            pending = part
            continue
        # A pending parameter gets at least one character.
        limit = end if pending is None else end - 1
        start = folded.rfind(_upper(part), 0, max(limit, 0))
        if start < 0 or (pending is None and start + len(part) != end):
            return None
        if pending is not None:
            values[pending.name] = text[start + len(part) : end]
            pending = None
        end = start
    if pending is not None:
        values[pending.name], end = text[:end], 0
    if end > 0 or "" in values.values():
        return None
    return {part.name: values[part.name] for part in parts if isinstance(part, Parameter)}


def _upper(text: str) -> str:
    """Return a text of the same length whose letters are equal if they are equal for OrdinalIgnoreCase."""
    if text.isascii():
        return text.upper()
    # .NET has no letters that become two, such as ß.
    return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in text)
