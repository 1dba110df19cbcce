"""Frozen dataclasses ↔ sections of host.json.

A field's wire name is its own name in camelCase, its type is its annotation, its default stands where it is declared;
`option(…)` says what differs. So a dataclass is its section's documentation, defaults and validation at once.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from emulator.config.timespan import format_timespan, parse_timespan
from emulator.errors import ConfigurationError

T = TypeVar("T")
Bound = float | timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one option is written. `key`: its name if not the field's; empty: it is not read here.

    `formerly`: an older name that still works. `unit`: a duration written as a number of these. `wording`: the
    original's sentence for a value out of range.
    """

    key: str | None = None
    formerly: str | None = None
    at_least: Bound | None = None
    at_most: Bound | None = None
    unit: timedelta | None = None
    wording: str | None = None


NO_RULE = Rule()


def option(default: Any = dataclasses.MISSING, *, default_factory: Any = dataclasses.MISSING, **rule: Any) -> Any:
    """A dataclass field with a Rule; the keywords are the Rule's."""
    return field(default=default, default_factory=default_factory, metadata={"rule": Rule(**rule)})


@dataclass(frozen=True, slots=True)
class Section:
    """An object of the document. `path`: its keys from the top. `origin`: says where a value was written."""

    members: Mapping[str, Any]
    path: tuple[str, ...]
    origin: Callable[[Sequence[str]], str]

    def get(self, key: str) -> Any:
        """The member, whatever the case of its name; None if there is none."""
        return next((value for name, value in self.members.items() if name.lower() == key.lower()), None)

    def section(self, key: str) -> Section:
        """The object below `key`, empty when it is absent or null."""
        value = self.get(key)
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise self.error(key, value, "an object")
        return Section(value, (*self.path, key), self.origin)

    def error(self, key: str, found: object, allowed: str) -> ConfigurationError:
        path = (*self.path, key)
        return ConfigurationError(f"{self.origin(path)}: {'.'.join(path)} is {_shown(found)}; allowed: {allowed}.")


class SectionOptions(Protocol):
    """Options of an extension: a frozen dataclass that names its section below `extensions` of host.json."""

    section_name: ClassVar[str]


def read_section(cls: type[T], section: Section) -> T:
    """Read a section into the dataclass `cls`. Absent options keep their defaults; unknown keys are ignored.

    Raises ConfigurationError with file, key, what was found and what is allowed.
    """
    types_of_fields = _type_hints(cls)  # type: ignore[arg-type]
    values = {}
    for member in dataclasses.fields(cls):  # type: ignore[arg-type]
        rule = member.metadata.get("rule", Rule())
        if rule.key == "":
            continue
        keys = [key for key in (rule.key or camel_case(member.name), rule.formerly) if key]
        for key in keys:
            value = read_value(section, key, types_of_fields[member.name], rule)
            if value is not None:
                values[member.name] = value
                break
        else:
            if member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING:
                raise section.error(keys[0], None, "a value; it is required here")
    return cls(**values)


def read_value(section: Section, key: str, kind: Any, rule: Rule = NO_RULE) -> Any:
    """Read one option as `kind`, a type as in a dataclass annotation; None if the option is absent or null.

    Raises ConfigurationError.
    """
    value = section.get(key)
    if value is None:
        return None
    if get_origin(kind) in (Union, types.UnionType):
        [kind] = [part for part in get_args(kind) if part is not type(None)]
    if dataclasses.is_dataclass(kind):
        return read_section(kind, section.section(key))  # type: ignore[arg-type]
    origin = get_origin(kind)
    if origin is tuple:
        return tuple(_scalar(get_args(kind)[0], section, key, item, NO_RULE) for item in _items(section, key, value))
    if origin is not None and issubclass(origin, Mapping):
        below = section.section(key)
        return {name: _scalar(get_args(kind)[1], below, name, item, NO_RULE) for name, item in below.members.items()}
    return _scalar(kind, section, key, value, rule)


@cache  # evaluating the annotations is most of the work, and they do not change
def _type_hints(cls: type) -> Mapping[str, Any]:
    return get_type_hints(cls)


def camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _items(section: Section, key: str, found: Any) -> Iterator[Any]:
    """The items of an array. One written by index in the environment alone arrives as an object of indexes."""
    if isinstance(found, Mapping) and all(name.isdecimal() for name in found):
        return (found[name] for name in sorted(found, key=int))
    if isinstance(found, list):
        return iter(found)
    raise section.error(key, found, "an array")


def _scalar(kind: Any, section: Section, key: str, found: Any, rule: Rule) -> Any:
    """Texts that hold the wanted thing are fine: .NET reads the whole configuration as text."""
    reader, allowed = _reader(kind, rule)
    if isinstance(found, (dict, list)):
        raise section.error(key, found, allowed)
    try:
        value = reader(found)
    except (TypeError, ValueError, OverflowError):
        raise section.error(key, found, allowed) from None
    low, high = rule.at_least, rule.at_most
    if (low is not None and value < low) or (high is not None and value > high):
        if rule.wording is not None:
            raise ConfigurationError(f"{section.origin((*section.path, key))}: {rule.wording} Found: {_shown(found)}.")
        raise section.error(key, found, allowed)
    return value


def _reader(kind: Any, rule: Rule) -> tuple[Callable[[Any], Any], str]:
    """How to read one value, and what to call the allowed ones."""
    if kind is bool:
        return _boolean, "true or false"
    if kind is int:
        return _integer, "a whole number" + _range(rule)
    if kind is float:
        return _number, "a number" + _range(rule)
    if kind is timedelta and rule.unit is not None:
        unit = rule.unit
        return lambda found: _integer(found) * unit, "a whole number" + _range(rule)
    if kind is timedelta:
        return _timespan, "a time span hh:mm:ss" + _range(rule)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        names = {str(member.value).lower(): member for member in kind}
        return lambda found: _named(names, found), ", ".join(str(member.value) for member in kind)
    return _text, "a text"


def _boolean(found: Any) -> bool:
    if isinstance(found, bool):
        return found
    if isinstance(found, str) and found.strip().lower() in ("true", "false"):
        return found.strip().lower() == "true"
    raise ValueError


def _integer(found: Any) -> int:
    if isinstance(found, bool) or not isinstance(found, (int, str)):
        raise TypeError
    return int(found)


def _number(found: Any) -> float:
    if isinstance(found, bool):
        raise TypeError
    return float(found)


def _timespan(found: Any) -> timedelta:
    if isinstance(found, bool) or not isinstance(found, (int, str)):
        raise TypeError
    return parse_timespan(str(found))


def _named(names: Mapping[str, Any], found: Any) -> Any:
    try:
        return names[str(found).strip().lower()]
    except KeyError:
        raise ValueError from None


def _text(found: Any) -> str:
    # .NET writes booleans as True and False.
    return str(found)


def _range(rule: Rule) -> str:
    low, high = _bound(rule.at_least, rule), _bound(rule.at_most, rule)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""


def _bound(bound: Bound | None, rule: Rule) -> str | None:
    if bound is None:
        return None
    if not isinstance(bound, timedelta):
        return f"{bound:g}"
    return f"{bound / rule.unit:g}" if rule.unit is not None else format_timespan(bound)


def _shown(found: object) -> str:
    text = json.dumps(found, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
