"""History events as a Python orchestrator receives them: indented JSON, members in .NET's order.

Source: recordings of durable-extension 3.15.2 and 3.19.0; docs/protocol/durable-orchestration.md 2.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from json.encoder import encode_basestring  # noqa: TID251 - bound here
from typing import Any

from emulator import bound_json as json
from emulator.durable.core.event_objects import ObjectWriter, object_writers
from emulator.durable.core.event_schema import EVENTS, Kind, Member
from emulator.durable.core.events import HistoryEvent
from emulator.worker.large_text import LARGE_CHARACTERS

_INDENT = " " * 4
_MEMBER_INDENT = " " * 6


def string_text(value: str | None) -> str:
    """Return the JSON text of a string or null."""
    # The C function that json.dumps uses, without the overhead of json.dumps.
    return "null" if value is None else encode_basestring(value)


def boolean_text(value: bool) -> str:
    """Return the JSON text of a boolean."""
    return "true" if value else "false"


def indented_text(value: object, indent: str) -> str:
    """Return the JSON text of a value over several lines. `indent` is that of the line on which it begins."""
    return json.dumps(value, indent=2, ensure_ascii=False).replace("\n", f"\n{indent}")


def event_pieces(event: HistoryEvent) -> Sequence[str]:
    """Return the texts that make one element of the context's `history`: one, or several if a payload is large."""
    template, members = _TEMPLATES[type(event)]
    values = [write(getattr(event, field)) for field, write in members]
    if max(map(len, values), default=0) < LARGE_CHARACTERS:
        return (template % tuple(values),)
    # The template is filled in by the caller's join, which needs no copy of the payload for this event alone.
    first, *others = template.split("%s")
    return (first, *(piece for pair in zip(values, others, strict=True) for piece in pair))


def _integer_text(value: int | None) -> str:
    return "null" if value is None else str(int(value))


def _object_text(writer: ObjectWriter, value: object) -> str:
    return "null" if value is None else indented_text(writer(value), _MEMBER_INDENT)


_WRITERS: Mapping[Kind, Callable[[Any], str]] = {
    Kind.STRING: string_text,
    Kind.INTEGER: _integer_text,
    Kind.BOOLEAN: boolean_text,
    # Always with Z: the SDK fails to compare times with and without a time zone.
    Kind.DATE_TIME: lambda instant: "null" if instant is None else f'"{instant.text}"',
    # A number, as in queue messages.
    Kind.STATUS: _integer_text,
    **{kind: partial(_object_text, writer) for kind, writer in object_writers(type_names=False).items()},
}

# The SDK requires all three in every event.
_BASE_MEMBERS = (
    Member("EventId", "event_id", Kind.INTEGER),
    Member("IsPlayed", "is_played", Kind.BOOLEAN),
    Member("Timestamp", "timestamp", Kind.DATE_TIME),
)


def _template(event_type: type[HistoryEvent]) -> tuple[str, Sequence[tuple[str, Callable[[Any], str]]]]:
    """Return the text of an event of this type with `%s` for its values, and their attributes and writers."""
    schema = EVENTS[event_type]
    after_type = (*schema.properties, *_BASE_MEMBERS)
    lines = [f'"{member.name}": %s' for member in schema.fields]
    lines.append(f'"EventType": {schema.number}')
    lines += [f'"{member.name}": %s' for member in after_type]
    body = f",\n{_MEMBER_INDENT}".join(lines)
    values = [(member.field, _WRITERS[member.kind]) for member in (*schema.fields, *after_type)]
    return f"{_INDENT}{{\n{_MEMBER_INDENT}{body}\n{_INDENT}}}", values


# The whole history is written again in every episode. Filling in a template takes half the time of
# json.dumps(…, indent=2).
_TEMPLATES = {event_type: _template(event_type) for event_type in EVENTS}
