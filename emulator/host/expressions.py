"""Binding expressions: `orders/{customer.id}/{rand-guid}.json`.

A template is read when the app is indexed and rendered for each invocation, from what the trigger knows (binding
data), the members of its JSON payload and a few built-in names. Errors have the Functions host's texts.
Source: webjobs-sdk, Host/Bindings/Path/BindingTemplate*.cs; docs/protocol/functions-host.md 2.2, 2.3.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID

from emulator.clock import Clock
from emulator.dotnet.format_strings import DEFAULT_DATE_FORMAT, format_date, format_guid
from emulator.errors import EmulatorError
from emulator.ids import NewId
from emulator.worker.port import Datum

_ROUND_TRIP_DATE = "yyyy-MM-ddTHH:mm:ssK"
_BUILT_IN = frozenset(("rand-guid", "datetime", "sys"))
_NAME = re.compile(r"[^\W\d]\w*")


class ExpressionError(EmulatorError):
    """A template is malformed, or a name in it has no value."""


@dataclass(frozen=True, slots=True)
class Expression:
    """`{path:form}`. `path`: the parts between the dots."""

    path: Sequence[str]
    form: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and expressions in order."""

    parts: Sequence[str | Expression]

    def render(self, data: BindingData) -> str:
        """Raises ExpressionError."""
        return "".join(part if isinstance(part, str) else data.text(part) for part in self.parts)


def parse_template(text: str) -> Template:
    """Read a template; `{{` and `}}` are braces. Raises ExpressionError."""
    parts: list[str | Expression] = []
    position = 0
    while position < len(text):
        if text.startswith(("{{", "}}"), position):
            parts.append(text[position])
            position += 2
        elif text[position] == "{":
            end = text.find("}", position)
            if end < 0 or "{" in text[position + 1 : end]:
                raise ExpressionError(f"Invalid template '{text}'. Missing closing bracket at position {position + 1}.")
            parts.append(_expression(text[position + 1 : end], text))
            position = end + 1
        elif text[position] == "}":
            raise ExpressionError(f"Invalid template '{text}'. Missing opening bracket at position {position + 1}.")
        else:
            end = min((found for brace in "{}" if (found := text.find(brace, position)) >= 0), default=len(text))
            parts.append(text[position:end])
            position = end
    return Template(parts)


def _expression(inner: str, text: str) -> Expression:
    name, _, form = inner.partition(":")
    path = tuple(part.strip() for part in name.split("."))
    if path[0].lower() not in _BUILT_IN and not all(_NAME.fullmatch(part) for part in path):
        raise ExpressionError(f"Invalid template '{text}'. The parameter name '{name}' is invalid.")
    return Expression(path, form)


class BindingData:
    """The values that expressions of one invocation can name.

    `values`: what the trigger tells. `payload`: the trigger's value; the members of a JSON object in it are names too
    and win over `values`. It is read only if an expression is there to ask.
    """

    def __init__(
        self, values: Mapping[str, object], payload: Datum | None, *, function: str, clock: Clock, new_id: NewId
    ) -> None:
        self._values = values
        self._payload = payload
        self._function = function
        self._clock = clock
        self._new_id = new_id

    def text(self, expression: Expression) -> str:
        """Raises ExpressionError for a name without a value."""
        value = self._value(expression.path)
        if value is None or isinstance(value, (dict, list)):
            raise ExpressionError(f"No value for named parameter '{'.'.join(expression.path)}'.")
        if value is _DATE_TIME:
            return format_date(self._clock.now(), expression.form or DEFAULT_DATE_FORMAT)
        return as_text(value, expression.form)

    def _value(self, path: Sequence[str]) -> object:
        first = path[0].lower()
        if first in self._named:
            return _member(self._named[first], path)
        return self._built_in(".".join(path).lower())

    @cached_property
    def _named(self) -> Mapping[str, object]:
        named = {name.lower(): value for name, value in self._values.items()}
        named.update((name.lower(), value) for name, value in payload_members(self._payload).items())
        return named

    def _built_in(self, name: str) -> object:
        match name:
            case "rand-guid" | "sys.randguid":
                return UUID(hex=self._new_id())
            case "datetime":
                return _DATE_TIME
            case "sys.utcnow":
                return self._clock.now()
            case "sys.methodname":
                return self._function
            case _:
                return None


_DATE_TIME = object()


def _member(value: object, path: Sequence[str]) -> object:
    for part in path[1:]:
        if not isinstance(value, Mapping):
            raise ExpressionError(f"Error while accessing '{part}': property doesn't exist.")
        found = [key for key in value if str(key).lower() == part.lower()]
        if not found:
            raise ExpressionError(f"Error while accessing '{part}': property doesn't exist.")
        value = value[found[0]]
    return value


def as_text(value: object, form: str = "") -> str:
    """A value as .NET writes it, invariant culture."""
    match value:
        case str():
            return value
        case bytes():
            return value.decode("utf-8", "replace")
        case datetime():
            return format_date(value, form or _ROUND_TRIP_DATE)
        case UUID():
            try:
                return format_guid(value, form)
            except ValueError as error:
                raise ExpressionError(str(error)) from None
        case bool():
            return "True" if value else "False"
        case _:
            return str(value)


# The JSON payload rule ---------------------------------------------------------------------------------------


def payload_members(payload: Datum | None) -> dict[str, str | dict[str, object]]:
    """What a trigger's text gives as names: the members of a JSON object, arrays and nulls left out.

    Scalars become text. Anything that is no JSON object gives nothing. Source: host, Utility.ApplyBindingData.
    """
    if payload is None or payload.type != "string":
        return {}
    text = payload.value.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {
        name: value if isinstance(value, dict) else as_text(value)
        for name, value in content.items()
        if value is not None and not isinstance(value, list)
    }


class TriggerMetadata(Mapping[str, Datum]):
    """A trigger's metadata together with the members of its JSON payload, which win, whatever the case of the name.

    The payload is parsed when somebody looks: a durable orchestrator's is large, and nobody looks there.
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
            merged[spelled.get(name.lower(), name)] = datum
        return merged

    def __getitem__(self, key: str) -> Datum:
        return self._merged[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged)

    def __len__(self) -> int:
        return len(self._merged)
