"""Reading route templates: text → segments of literals and parameters.

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
    """A route template cannot be read. `str(error)` is ASP.NET Core's sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """`optional`: `{x?}`; `default`: `{x=text}`; `catch_all`: `{*x}` or `{**x}`."""

    name: str
    constraints: Sequence[Constraint] = ()
    optional: bool = False
    default: str | None = None
    catch_all: bool = False

    def accepts(self, value: str | None) -> bool:
        """Whether all constraints hold. A value that is absent because it is optional satisfies them."""
        if value is None and self.optional:
            return True
        return all(constraint(value) for constraint in self.constraints)


Part = str | Parameter


@dataclass(frozen=True, slots=True)
class Segment:
    """What stands between two slashes: literal texts and parameters, never two parameters side by side."""

    parts: Sequence[Part]

    @property
    def only(self) -> Part | None:
        """The part, if there is just one."""
        return self.parts[0] if len(self.parts) == 1 else None


@dataclass(frozen=True, slots=True)
class Template:
    """A route template. `text`: as it was written, without slashes around it."""

    text: str
    segments: Sequence[Segment]

    @property
    def parameters(self) -> Iterator[Parameter]:
        return (part for segment in self.segments for part in segment.parts if isinstance(part, Parameter))


_SEPARATORS = TemplateError(
    "The route template separator character '/' cannot appear consecutively. "
    "It must be separated by either a parameter or a literal value."
)
_INCOMPLETE = (
    "There is an incomplete parameter in the route template. "
    "Check that each '{' character has a matching '}' character."
)
_CONSECUTIVE = (
    "A path segment cannot contain two consecutive parameters. They must be separated by a '/' or by a literal string."
)
_CATCH_ALL_NOT_LAST = "A catch-all parameter can only appear as the last segment of the route template."
_CATCH_ALL_IN_COMPLEX = (
    "A path segment that contains more than one section, such as a literal section or a parameter, "
    "cannot contain a catch-all parameter."
)


@lru_cache(maxsize=1000)  # In a test run, hundreds of hosts have the same routes.
def parse_template(text: str) -> Template:
    """Read a route template. Raises TemplateError."""
    bare = text.removeprefix("~").strip("/") if text.startswith("~/") else text.strip("/")
    segments = [_segment(tokens) for tokens in _tokens_by_segment(bare)] if bare else []
    template = Template(bare, segments)
    _check_names(template)
    if any(_has_catch_all(segment) for segment in segments[:-1]):
        raise TemplateError(_CATCH_ALL_NOT_LAST)
    return template


class _Token(NamedTuple):
    """`text`: a literal with its doubled braces, or the inside of a parameter."""

    text: str
    is_parameter: bool


_TOKENS = re.compile(
    r"(?P<slash>/)"
    r"|\{(?!\{)(?P<parameter>(?:\{\{|\}\}|[^{}])*)\}"
    r"|(?P<literal>(?:\{\{|\}\}|[^{}/])+)"
    r"|(?P<stray>.)",
    re.DOTALL,
)


def _tokens_by_segment(text: str) -> list[list[_Token]]:
    segments: list[list[_Token]] = [[]]
    for found in _TOKENS.finditer(text):
        if found["stray"]:
            raise TemplateError(_INCOMPLETE)
        if found["slash"]:
            segments.append([])
        elif found["literal"]:
            segments[-1].append(_Token(found["literal"], is_parameter=False))
        else:
            segments[-1].append(_Token(found["parameter"], is_parameter=True))
    if [] in segments:
        raise _SEPARATORS
    return segments


def _segment(tokens: Sequence[_Token]) -> Segment:
    parts = [_parameter(token.text) if token.is_parameter else _literal(token.text) for token in tokens]
    if len(parts) > 1:
        _check_complex(tokens, parts)
    return Segment(parts)


def _literal(text: str) -> str:
    if "?" in text:
        raise TemplateError(
            f"The literal section '{text}' is invalid. Literal sections cannot contain the '?' character."
        )
    return _unescaped(text)


def _unescaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def _parameter(text: str) -> Parameter:
    inside = _unescaped(text)
    stars = len(inside) - len(inside.lstrip("*"))
    optional = inside.endswith("?")
    body = inside.removesuffix("?")[stars:]
    name_end = _first_of(":=", body, 0)
    name = body[:name_end]
    if not name or stars > 2 or set(name) & set("{}/?*"):
        raise TemplateError(
            f"The route parameter name '{name}' is invalid. Route parameter names must be non-empty and cannot contain "
            "these characters: '{', '}', '/'. The '?' character marks a parameter as optional, and can occur only at "
            "the end of the parameter. The '*' character marks a parameter as catch-all, and can occur only at the "
            "start of the parameter."
        )
    constraints, default = _constraints_and_default(name, body[name_end:])
    if optional and stars:
        raise TemplateError("A catch-all parameter cannot be marked optional.")
    if optional and default is not None:
        raise TemplateError("An optional parameter cannot have default value.")
    return Parameter(name=name, constraints=constraints, optional=optional, default=default, catch_all=stars > 0)


def _constraints_and_default(name: str, text: str) -> tuple[list[Constraint], str | None]:
    """`:int:min(1)=5` → the two constraints, `5`."""
    constraints = []
    while text.startswith(":"):
        end = _constraint_end(text)
        if text[1:end]:
            constraints.append(_constraint(name, text[1:end]))
        text = text[end:]
    return constraints, text[1:] if text else None


def _constraint_end(text: str) -> int:
    """Where the constraint that begins at the colon `text[0]` ends. What parentheses hold does not separate."""
    end = _first_of(":=(", text, 1)
    if text[end : end + 1] != "(":
        return end
    closing = re.compile(r"\)(?=[:=]|$)").search(text, end)
    return closing.end() if closing else _first_of(":=", text, end)


def _first_of(characters: str, text: str, start: int) -> int:
    return next((index for index in range(start, len(text)) if text[index] in characters), len(text))


def _constraint(name: str, text: str) -> Constraint:
    try:
        return parse_constraint(text)
    except ValueError as error:
        raise TemplateError(
            f"The constraint entry '{name}' - '{text}' of the route could not be resolved: {error}."
        ) from None


def _has_catch_all(segment: Segment) -> bool:
    return any(isinstance(part, Parameter) and part.catch_all for part in segment.parts)


def _check_names(template: Template) -> None:
    seen: set[str] = set()
    for parameter in template.parameters:
        if parameter.name.lower() in seen:
            raise TemplateError(
                f"The route parameter name '{parameter.name}' appears more than one time in the route template."
            )
        seen.add(parameter.name.lower())


def _check_complex(tokens: Sequence[_Token], parts: Sequence[Part]) -> None:
    segment = "".join(f"{{{token.text}}}" if token.is_parameter else token.text for token in tokens)
    for index, part in enumerate(parts):
        if isinstance(part, str):
            continue
        before = parts[index - 1] if index else None
        if isinstance(before, Parameter):
            raise TemplateError(_CONSECUTIVE)
        if part.catch_all:
            raise TemplateError(_CATCH_ALL_IN_COMPLEX)
        if part.optional and index < len(parts) - 1:
            raise TemplateError(
                f"An optional parameter must be at the end of the segment. In the segment '{segment}', optional "
                f"parameter '{part.name}' is followed by '{parts[index + 1]}'."
            )
        if part.optional and before != ".":
            raise TemplateError(
                f"In the segment '{segment}', the optional parameter '{part.name}' is preceded by an invalid segment "
                f"'{before}'. Only a period (.) can precede an optional parameter."
            )
