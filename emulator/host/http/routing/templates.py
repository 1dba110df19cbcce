"""Route templates: parsing `items/{id:int}` into segments of literals and parameters.

Source of the grammar and of all error texts: ASP.NET Core, src/Http/Routing (RoutePatternParser,
RouteParameterParser); docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from emulator.host.http.routing.constraints import Constraint, parse_constraint


class TemplateError(ValueError):
    """A route template is invalid. `str(error)` is the message of ASP.NET Core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a template. `optional`: `{x?}`; `default`: `{x=text}`; `catch_all`: `{*x}` or `{**x}`."""

    name: str
    constraints: Sequence[Constraint] = ()
    optional: bool = False
    default: str | None = None
    catch_all: bool = False

    def accepts(self, value: str | None) -> bool:
        """Return whether all constraints hold; an optional parameter may be absent whatever its constraints."""
        if value is None and self.optional:
            return True
        return all(constraint(value) for constraint in self.constraints)


Part = str | Parameter


@dataclass(frozen=True, slots=True)
class Segment:
    """A path segment of a template: literals and parameters, never two parameters side by side."""

    parts: Sequence[Part]

    @property
    def only(self) -> Part | None:
        """Return the part of a segment that has just one, else None."""
        return self.parts[0] if len(self.parts) == 1 else None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed route template. `text`: as written, without slashes around it."""

    text: str
    segments: Sequence[Segment]

    @property
    def parameters(self) -> Iterator[Parameter]:
        return (part for segment in self.segments for part in segment.parts if isinstance(part, Parameter))


_CONSECUTIVE_SEPARATORS = (
    "The route template separator character '/' cannot appear consecutively. "
    "It must be separated by either a parameter or a literal value."
)
_INCOMPLETE = (
    "There is an incomplete parameter in the route template. "
    "Check that each '{' character has a matching '}' character."
)
_CONSECUTIVE_PARAMETERS = (
    "A path segment cannot contain two consecutive parameters. They must be separated by a '/' or by a literal string."
)
_CATCH_ALL_NOT_LAST = "A catch-all parameter can only appear as the last segment of the route template."
_CATCH_ALL_IN_COMPLEX = (
    "A path segment that contains more than one section, such as a literal section or a parameter, "
    "cannot contain a catch-all parameter."
)


@lru_cache(maxsize=1000)  # A test session starts hundreds of hosts with the same routes.
def parse_template(text: str) -> Template:
    """Parse a route template. Raises TemplateError."""
    bare = text.removeprefix("~").strip("/") if text.startswith("~/") else text.strip("/")
    segments: list[Segment] = []
    for tokens in _tokens_by_segment(bare) if bare else ():
        parts = [_parse_parameter(token.text) if token.is_parameter else _parse_literal(token.text) for token in tokens]
        if len(parts) > 1:
            _check_complex_segment(tokens, parts)
        segments.append(Segment(parts))
    template = Template(bare, segments)
    seen: set[str] = set()
    for parameter in template.parameters:
        # Route values ignore case, so `{id}` and `{ID}` would be the same value.
        if parameter.name.lower() in seen:
            raise TemplateError(
                f"The route parameter name '{parameter.name}' appears more than one time in the route template."
            )
        seen.add(parameter.name.lower())
    # A complex segment has no catch-all, so looking at segments of one part is enough.
    if any(isinstance(segment.only, Parameter) and segment.only.catch_all for segment in segments[:-1]):
        raise TemplateError(_CATCH_ALL_NOT_LAST)
    return template


class _Token(NamedTuple):
    """A part of a segment. `text`: a literal with its doubled braces, or the inside of a parameter."""

    text: str
    is_parameter: bool


# A regular expression inside a constraint can hold slashes and braces. Its braces are doubled, and everything up to
# the single closing brace belongs to the parameter. Hence the text cannot be split at slashes first.
_TOKENS = re.compile(
    r"(?P<slash>/)"
    r"|\{(?!\{)(?P<parameter>(?:\{\{|\}\}|[^{}])*)\}"
    r"|(?P<literal>(?:\{\{|\}\}|[^{}/])+)"
    r"|(?P<unmatched_brace>.)",
    re.DOTALL,
)


def _tokens_by_segment(text: str) -> list[list[_Token]]:
    segments: list[list[_Token]] = [[]]
    for token in _TOKENS.finditer(text):
        if token["unmatched_brace"]:
            raise TemplateError(_INCOMPLETE)
        if token["slash"]:
            segments.append([])
        elif token["literal"]:
            segments[-1].append(_Token(token["literal"], is_parameter=False))
        else:
            segments[-1].append(_Token(token["parameter"], is_parameter=True))
    if [] in segments:
        raise TemplateError(_CONSECUTIVE_SEPARATORS)
    return segments


def _unescape_braces(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def _parse_literal(text: str) -> str:
    if "?" in text:
        raise TemplateError(
            f"The literal section '{text}' is invalid. Literal sections cannot contain the '?' character."
        )
    return _unescape_braces(text)


def _parse_parameter(text: str) -> Parameter:
    """Parse the inside of the braces: `*name:constraint(argument)=default?`."""
    inside = _unescape_braces(text)
    stars = len(inside) - len(inside.lstrip("*"))
    optional = inside.endswith("?")
    body = inside.removesuffix("?")[stars:]
    name_end = _index_of_any(":=", body, 0)
    name, rest = body[:name_end], body[name_end:]
    if not name or stars > 2 or set(name) & set("{}/?*"):
        raise TemplateError(
            f"The route parameter name '{name}' is invalid. Route parameter names must be non-empty and cannot contain "
            "these characters: '{', '}', '/'. The '?' character marks a parameter as optional, and can occur only at "
            "the end of the parameter. The '*' character marks a parameter as catch-all, and can occur only at the "
            "start of the parameter."
        )
    constraints: list[Constraint] = []
    while rest.startswith(":"):
        end = _constraint_end(rest)
        constraint, rest = rest[1:end], rest[end:]
        if constraint:
            try:
                constraints.append(parse_constraint(constraint))
            except ValueError as error:
                raise TemplateError(
                    f"The constraint entry '{name}' - '{constraint}' of the route could not be resolved: {error}."
                ) from None
    # `{x=}` has the empty default, `{x}` has none.
    default = rest[1:] if rest else None
    if optional and stars:
        raise TemplateError("A catch-all parameter cannot be marked optional.")
    if optional and default is not None:
        raise TemplateError("An optional parameter cannot have default value.")
    return Parameter(name=name, constraints=constraints, optional=optional, default=default, catch_all=stars > 0)


def _constraint_end(text: str) -> int:
    """Return the end of the constraint that begins at the colon `text[0]`."""
    end = _index_of_any(":=(", text, 1)
    if text[end : end + 1] != "(":
        return end
    # Arguments can hold colons and parentheses, as regular expressions do. The closing parenthesis is the first one
    # that something else or nothing follows; without one, the parenthesis is an ordinary character.
    closing = re.compile(r"\)(?=[:=]|$)").search(text, end)
    return closing.end() if closing else _index_of_any(":=", text, end)


def _index_of_any(characters: str, text: str, start: int) -> int:
    """Return the first index of any of these characters, or the length of the text."""
    return next((index for index in range(start, len(text)) if text[index] in characters), len(text))


def _check_complex_segment(tokens: Sequence[_Token], parts: Sequence[Part]) -> None:
    """Raise TemplateError if a segment of several parts is ambiguous."""
    segment = "".join(f"{{{token.text}}}" if token.is_parameter else token.text for token in tokens)
    for index, part in enumerate(parts):
        if isinstance(part, str):
            continue
        before = parts[index - 1] if index else None
        if isinstance(before, Parameter):
            raise TemplateError(_CONSECUTIVE_PARAMETERS)
        if part.catch_all:
            raise TemplateError(_CATCH_ALL_IN_COMPLEX)
        if part.optional and index < len(parts) - 1:
            raise TemplateError(
                f"An optional parameter must be at the end of the segment. In the segment '{segment}', optional "
                f"parameter '{part.name}' is followed by '{parts[index + 1]}'."
            )
        # The match without the optional parameter drops the literal before it. That is defined for a period only.
        if part.optional and before != ".":
            raise TemplateError(
                f"In the segment '{segment}', the optional parameter '{part.name}' is preceded by an invalid segment "
                f"'{before}'. Only a period (.) can precede an optional parameter."
            )
