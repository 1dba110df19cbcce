"""Binding expressions: `orders/{customer.id}/{rand-guid}.json`.

A template is parsed when the app is indexed and rendered for each invocation, from the trigger's binding data, the
members of its JSON payload and a few built-in names. Errors have the Functions host's texts.
Source: webjobs-sdk, Host/Bindings/Path/BindingTemplate*.cs; docs/protocol/functions-host.md 2.2, 2.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.dotnet.format_strings import DEFAULT_DATE_FORMAT, format_date, format_guid
from emulator.dotnet.json_reader import JsonReaderError, read_whole
from emulator.dotnet.token_text import scalar_text
from emulator.errors import EmulatorError
from emulator.ids import NewId
from emulator.worker.port import Datum

# The resolvers of .NET compare only the beginning of a name: {datetimeUtc} is {datetime}.
_BUILT_IN_BEGINNINGS = ("rand-guid", "datetime")
_SYSTEM = "sys"
# An identifier of C#; letters of all scripts are allowed. Names of members, such as those of HTTP headers, may also
# contain a hyphen.
_NAME = re.compile(r"[^\W\d]\w*")
_MEMBER = re.compile(r"[\w-]+")

# How many names an error lists: a payload may have thousands of members.
_MAX_NAMES = 30


class ExpressionError(EmulatorError):
    """A template is malformed, or a name in it has no value."""


@dataclass(frozen=True, slots=True)
class Expression:
    """`{path:form}`. `path`: the names between the dots. `form`: a .NET format, empty if there is none.

    `ignored`: the end of a format with a dot: .NET cuts the text at its dots first, so {datetime:yyyy.MM} is the year.
    """

    path: tuple[str, ...]
    form: str = ""
    ignored: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literal parts and expressions in order.

    In most bindings `render` replaces the expressions by values. In the path of a blob trigger they are captures, and
    `match` finds their values in the name of a blob.
    """

    parts: tuple[str | Expression, ...]

    @property
    def expressions(self) -> Sequence[Expression]:
        return [part for part in self.parts if isinstance(part, Expression)]

    def render(self, data: BindingData) -> str:
        """Return the text for one invocation. Raises ExpressionError."""
        return "".join(part if isinstance(part, str) else data.text(part) for part in self.parts)

    def capture_names(self) -> Sequence[str]:
        """Return the names that `match` gives values to.

        Raises ExpressionError for an expression that cannot be a capture, in the words of the Functions host.
        """
        names = [".".join(expression.path) for expression in self.expressions]
        for name in names:
            if "." in name:
                raise ExpressionError("Capture expressions can't include dot operators")
            # .NET turns the pattern into a regular expression with named groups, and a hyphen in a group's name refers
            # to another group. Only {rand-guid} can contain one: `parse_template` refuses all other such names.
            _, hyphen, group = name.partition("-")
            if hyphen:
                escaped = (
                    re.sub(r"([\\*+?|{\[()^$.#\s])", r"\\\1", part)
                    if isinstance(part, str)
                    else f"(?<{part.path[0]}>.*)"
                    for part in self.parts
                )
                pattern = f"^{''.join(escaped)}$"
                offset = pattern.index(f"<{name}>") + len(name) + 1
                raise ExpressionError(
                    f"Invalid pattern '{pattern}' at offset {offset}. Reference to undefined group name '{group}'."
                )
        return names

    def match(self, text: str) -> dict[str, str] | None:
        """Return the values of the captures if the whole text matches, else None. Call `capture_names` first.

        Captures are greedy, may be empty and may contain slashes; letter case counts. Of two captures with the same
        name the last one wins. Source: docs/protocol/functions-host.md 2.3.
        """
        # From the right, each literal takes its last occurrence: the values are those of greedy groups, without trying
        # any occurrence twice. A name of a blob can have a thousand characters, and anyone may upload it.
        values: list[tuple[str, str]] = []
        end = len(text)  # What is behind has been matched.
        pending: str | None = None  # The capture that takes the text between `end` and the next literal.
        for part in reversed(self.parts):
            if isinstance(part, Expression):
                if pending is not None:
                    # Of two captures side by side the first one takes all.
                    values.append((pending, ""))
                pending = part.path[0]
            else:
                start = text.rfind(part, 0, end)
                if start < 0 or (pending is None and start + len(part) != end):
                    return None
                if pending is not None:
                    values.append((pending, text[start + len(part) : end]))
                    pending = None
                end = start
        if pending is not None:
            values.append((pending, text[:end]))
            end = 0
        # The dot of a .NET expression is not a line feed.
        if end > 0 or any("\n" in value for _, value in values):
            return None
        return dict(reversed(values))


def is_built_in(name: str) -> bool:
    """Whether a name has a value without the trigger: rand-guid, datetime and what begins like them, and sys."""
    lower = name.lower()
    return lower == _SYSTEM or lower.startswith(_BUILT_IN_BEGINNINGS)


def parse_template(text: str) -> Template:
    """Parse a template; `{{` and `}}` are literal braces. Raises ExpressionError, as the Functions host at indexing."""
    parts: list[str | Expression] = []
    literal = ""  # The text between two expressions.
    position = 0
    while position < len(text):
        # Doubled braces come first, or the first of them would begin an expression.
        if text.startswith(("{{", "}}"), position):
            literal += text[position]
            position += 2
        elif text[position] == "{":
            end = text.find("}", position)
            if end < 0 or "{" in text[position + 1 : end]:
                raise ExpressionError(f"Invalid template '{text}'. Missing closing bracket at position {position + 1}.")
            expression = _parse_expression(text[position + 1 : end])
            if not _is_valid(expression.path):
                name = ".".join(expression.path)
                raise ExpressionError(f"Invalid template '{text}'. The parameter name '{name}' is invalid.")
            parts += (literal, expression) if literal else (expression,)
            literal = ""
            position = end + 1
        elif text[position] == "}":
            raise ExpressionError(f"Invalid template '{text}'. Missing opening bracket at position {position + 1}.")
        else:
            next_braces = (text.find(brace, position) for brace in "{}")
            end = min((brace for brace in next_braces if brace >= 0), default=len(text))
            literal += text[position:end]
            position = end
    return Template((*parts, literal) if literal else tuple(parts))


def _parse_expression(text: str) -> Expression:
    name, colon, rest = text.partition(":")
    path = tuple(part.strip() for part in name.split("."))
    # The format ends at the first dot after the colon; what follows would be the name of a member of the text.
    form, dot, ignored = rest.partition(".")
    return Expression(path, form if colon else "", f"{dot}{ignored}")


def _is_valid(path: Sequence[str]) -> bool:
    first, *members = path
    if is_built_in(first):
        return True
    return _NAME.fullmatch(first) is not None and all(_MEMBER.fullmatch(member) for member in members)


class BindingData:
    """The values that expressions of one invocation can name.

    `values`: the binding data of the event. `payload`: the trigger's value; the members of a JSON object in it are
    names too and win over `values`.
    """

    def __init__(
        self, values: Mapping[str, object], payload: Datum | None, *, function: str, clock: Clock, new_id: NewId
    ) -> None:
        self._values = values
        self._payload = payload
        self._function = function
        self._clock = clock
        self._new_id = new_id

    def named(self, name: str) -> object:
        """Return the value of a name in the binding data, in any letter case, before it becomes a text; None: none."""
        return self._named.get(name.lower())

    def text(self, expression: Expression) -> str:
        """Return the value of an expression as .NET writes it. Raises ExpressionError for a name without a value.

        Times, URIs, JSON objects, arrays and null have no text: the result is empty. Formats apply to built-in names
        only. Recorded from the extensions: docs/protocol/functions-host.md 2.2.
        """
        first, *members = expression.path
        # Binding data has precedence over built-in names: a blob path with {datetime} captures a value of that name.
        if first.lower() in self._named:
            return as_text(_member(self._named[first.lower()], members))
        return self._built_in(first.lower(), members, expression)

    def _built_in(self, first: str, members: Sequence[str], expression: Expression) -> str:
        name = ".".join((first, *members)).lower() if first == _SYSTEM else first
        if name.startswith("datetime") or name == "sys.utcnow":
            return format_date(self._clock.now(), expression.form or DEFAULT_DATE_FORMAT)
        if name.startswith("rand-guid") or name == "sys.randguid":
            try:
                return format_guid(UUID(hex=self._new_id()), expression.form)
            except ValueError as error:
                raise ExpressionError(str(error)) from None
        if name == "sys.methodname":
            return self._function
        if first == _SYSTEM and members:
            raise ExpressionError(f"Error while accessing '{members[0]}': property doesn't exist.")
        # The first sentence is the Functions host's.
        names = sorted({*self._values, *payload_members(self._payload)}, key=str.lower)
        given = ", ".join(names[:_MAX_NAMES]) + (", …" if len(names) > _MAX_NAMES else "")
        raise ExpressionError(
            f"No value for named parameter '{'.'.join(expression.path)}'. The trigger gives: {given or 'no names'}."
        )

    # The payload is parsed only when an expression asks, because most functions have none and payloads can be large.
    @cached_property
    def _named(self) -> Mapping[str, object]:
        named = {name.lower(): value for name, value in self._values.items()}
        # The payload wins, although it can hide facts such as the id of a message. Apps rely on it on Azure.
        named.update((name.lower(), _with_texts(value)) for name, value in payload_members(self._payload).items())
        return named


def _member(value: object, path: Sequence[str]) -> object:
    """Return a member of a member … of a value, in any letter case. Raises ExpressionError if there is none."""
    for name in path:
        members = value if isinstance(value, Mapping) else {}
        key = next((key for key in members if str(key).lower() == name.lower()), None)
        if key is None:
            raise ExpressionError(f"Error while accessing '{name}': property doesn't exist.")
        value = members[key]
    return value


def _with_texts(value: Any) -> Any:
    """Return a JSON value of a payload with its scalars as .NET writes them, in which it has recognised dates."""
    match value:
        case dict():
            return {name: _with_texts(member) for name, member in value.items()}
        case list() | None:
            return value
        case _:
            return scalar_text(value)


def as_text(value: object) -> str:
    """Return a value of binding data as .NET writes it in an expression: empty for all but texts, numbers and GUIDs."""
    match value:
        case str():
            return value
        # Bytes that are not UTF-8 become U+FFFD, as in .NET, instead of failing the invocation.
        case bytes():
            return value.decode("utf-8", "replace")
        case bool() | int() | float():
            return scalar_text(value)
        case UUID():
            return str(value)
        case _:
            return ""


# The JSON payload rule ---------------------------------------------------------------------------------------


def payload_members(payload: Datum | None) -> dict[str, str | dict[str, object]]:
    """Return the members of a trigger's text that is a JSON object, without arrays and nulls; scalars become text.

    The text of a date with a time is the local time without its fraction, as Newtonsoft recognises dates in JSON. Any
    other payload has no members. Source: host, Utility.ApplyBindingData; docs/protocol/functions-host.md 2.3.
    """
    # Only text is parsed, as in the host: a blob trigger passes bytes, so the members of a JSON blob are not names.
    if payload is None or payload.type != "string":
        return {}
    text = payload.value.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    try:
        content = read_whole(text)
    except JsonReaderError:
        # A text in braces that is not JSON, or nested too deep, is an ordinary text.
        return {}
    return {
        name: value if isinstance(value, dict) else scalar_text(value)
        for name, value in content.items()
        if value is not None and not isinstance(value, list)
    }


class TriggerMetadata(Mapping[str, Datum]):
    """A trigger's metadata together with the members of its JSON payload, which win; names ignore case.

    The payload is parsed at the first access. The history of an orchestration, which is the payload of its trigger,
    is large, and the durable SDK never reads the metadata.
    """

    def __init__(self, metadata: Mapping[str, Datum], payload: Datum | None) -> None:
        self._metadata = metadata
        self._payload = payload

    @cached_property
    def _merged(self) -> Mapping[str, Datum]:
        merged = dict(self._metadata)
        spelled = {name.lower(): name for name in merged}
        for name, value in payload_members(self._payload).items():
            datum = Datum("string", value) if isinstance(value, str) else Datum("json", json.dumps(value))
            # The spelling of the metadata stays, because the library's converters look for exactly that spelling.
            merged[spelled.get(name.lower(), name)] = datum
        return merged

    def __getitem__(self, key: str) -> Datum:
        return self._merged[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged)

    def __len__(self) -> int:
        return len(self._merged)
