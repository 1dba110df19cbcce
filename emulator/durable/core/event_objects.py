"""JSON of the objects inside history events: instance, parent, failure details, trace context and tags.

Queue messages name the .NET type of every object in `$type`; the other formats do not. One reader serves all formats:
it ignores `$type`, and scalars are converted as Newtonsoft.Json converts them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from emulator.dotnet.json_values import converted_int32, converted_string
from emulator.durable.core.event_schema import OBJECTS, Kind

ObjectWriter = Callable[[Any], dict[str, Any] | None]
"""Returns the members of a record's JSON object, None for None."""

ObjectReader = Callable[[Any], Any]
"""Returns the record of a JSON object, None for None. Raises ValueError, TypeError or AttributeError for other JSON."""

_STRING_MAP_TYPE = (
    "System.Collections.Generic.Dictionary`2[[System.String, System.Private.CoreLib],"
    "[System.String, System.Private.CoreLib]]"
)


def object_writers(*, type_names: bool) -> Mapping[Kind, ObjectWriter]:
    """Return a writer per kind of object, with or without `$type`."""
    writers: dict[Kind, ObjectWriter] = {
        Kind.STRING_MAP: partial(_write_map, {"$type": _STRING_MAP_TYPE} if type_names else {}),
        # Without `$type` in messages, too: .NET knows the declared type, and a wrong name would make the whole message
        # unreadable.
        Kind.OBJECT_MAP: partial(_write_map, {}),
    }
    for kind, schema in OBJECTS.items():
        steps: list[tuple[str, str, ObjectWriter | None]] = []
        writers[kind] = partial(_write_object, {"$type": schema.type_name} if type_names else {}, steps)
        # Filled after the writer is registered, because failure details contain failure details.
        steps += [(member.name, member.field, writers.get(member.kind)) for member in schema.members]
    return writers


def _write_object(
    head: Mapping[str, str], steps: Sequence[tuple[str, str, ObjectWriter | None]], record: Any
) -> dict[str, Any] | None:
    if record is None:
        return None
    # `$type` has to be the first member: Newtonsoft reads objects from front to back.
    members: dict[str, Any] = {**head}
    for name, field, write in steps:
        value = getattr(record, field)
        members[name] = value if write is None else write(value)
    return members


def _write_map(head: Mapping[str, str], entries: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if entries is None else {**head, **entries}


def _object_readers() -> Mapping[Kind, ObjectReader]:
    readers: dict[Kind, ObjectReader] = {
        Kind.STRING: converted_string,
        Kind.INTEGER: converted_int32,
        Kind.BOOLEAN: bool,
        Kind.STRING_MAP: partial(_read_map, read=lambda value: converted_string(value) or ""),
        Kind.OBJECT_MAP: _read_map,
    }
    for kind, schema in OBJECTS.items():
        steps: list[tuple[str, str, ObjectReader, object]] = []
        readers[kind] = partial(_read_object, schema.record, steps)
        steps += [(member.name, member.field, readers[member.kind], member.default) for member in schema.members]
    return readers


def _read_object(
    record: Callable[..., Any],
    steps: Sequence[tuple[str, str, ObjectReader, object]],
    members: Mapping[str, Any] | None,
) -> Any:
    if members is None:
        return None
    values: dict[str, Any] = {}
    for name, field, read, default in steps:
        # Newtonsoft ignores unknown members, so only the known ones are looked up.
        value = members.get(name)
        values[field] = default if value is None else read(value)
    return record(**values)


def _read_map(
    members: Mapping[str, Any] | None, read: Callable[[Any], object] = lambda value: value
) -> dict[str, Any] | None:
    # A `$type` is not an entry of the dictionary. Other programs leave it out.
    return None if members is None else {name: read(value) for name, value in members.items() if name != "$type"}


READERS = _object_readers()
"""Readers by kind of object, and of the scalars that all JSON formats write alike."""
