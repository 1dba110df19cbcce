"""Reading of host.json sections into frozen dataclasses.

The key of an option is the field's name in camelCase, its type is the annotation, and its default is the field's
default; `option(…)` states what differs. So one dataclass is the documentation, the defaults and the validation of its
section.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from emulator import bound_json as json
from emulator.dotnet.timespan import format_timespan, parse_timespan
from emulator.errors import ConfigurationError
from emulator.own_modules import OWN_MODULES

T = TypeVar("T")
Bound = float | timedelta


@cache  # Evaluating the annotations takes most of the time of reading a section, and they never change.
def type_hints(cls: type) -> Mapping[str, Any]:
    """Return the types of the fields of an options class by name."""
    # By default the names are looked up in sys.modules, where the module's name may be taken by a module of the app.
    names = {name: value for base in reversed(cls.__mro__) for name, value in OWN_MODULES.globals_of(base).items()}
    return get_type_hints(cls, globalns=names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one option is written. `key`: its name if it is not the field's; empty: host.json does not have it.

    `formerly`: an older name that still works. `unit`: a duration is written as a number of these. `wording`: the .NET
    option's own sentence for a value out of range.
    """

    # Needed where camelCase of the field is not the key, such as for units in the name of an option.
    key: str | None = None
    formerly: str | None = None
    at_least: Bound | None = None
    at_most: Bound | None = None
    unit: timedelta | None = None
    wording: str | None = None


NO_RULE = Rule()

# What Python's own conversions raise for a value of the wrong kind.
_PARSE_ERRORS = (TypeError, ValueError, LookupError, AttributeError, OverflowError)


def option(default: Any = dataclasses.MISSING, *, default_factory: Any = dataclasses.MISSING, **rule: Any) -> Any:
    """Declare a dataclass field with a Rule; the keywords are the Rule's."""
    return field(default=default, default_factory=default_factory, metadata={"rule": Rule(**rule)})


@dataclass(frozen=True, slots=True)
class Section:
    """An object of host.json. `path`: its keys from the top. `origin`: returns where the value of a path was written,
    the file or an app setting that overrides it.
    """

    members: Mapping[str, Any]
    path: tuple[str, ...]
    origin: Callable[[Sequence[str]], str]

    def get(self, key: str) -> Any:
        """Return the member of that name in any letter case; None if there is none."""
        # .NET configuration ignores the letter case of keys, in host.json as in app settings.
        return next((value for name, value in self.members.items() if name.lower() == key.lower()), None)

    def section(self, key: str) -> Section:
        """Return the object below `key`, empty if it is absent or null. Raises ConfigurationError for other values."""
        value = self.get(key)
        if value is None:
            value = {}
        if not isinstance(value, Mapping):
            raise self.error(key, value, "an object")
        return Section(value, (*self.path, key), self.origin)

    def error(self, key: str, value: object, allowed: str) -> ConfigurationError:
        """Return an error about a wrong value of this section. `allowed`: what it may be."""
        path = (*self.path, key)
        return ConfigurationError(f"{self.origin(path)}: {'.'.join(path)} is {_shortened(value)}; allowed: {allowed}.")


class SectionOptions(Protocol):
    """Options of an extension: a frozen dataclass that names its section below `extensions` of host.json."""

    section_name: ClassVar[str]


def read_section(cls: type[T], section: Section) -> T:
    """Read a section into the dataclass `cls`. Absent options keep their defaults; unknown keys are ignored.

    If `cls` has a class method `relevant(section)`, what it returns is read instead of the section. Raises
    ConfigurationError with file, key, what was found and what is allowed.
    """
    relevant = getattr(cls, "relevant", None)
    if relevant is not None:
        section = relevant(section)
    # Annotations are texts in modules with `from __future__ import annotations`, so they have to be evaluated.
    types_of_fields = type_hints(cls)  # type: ignore[arg-type]
    values = {}
    for member in dataclasses.fields(cls):  # type: ignore[arg-type]
        rule = member.metadata.get("rule", NO_RULE)
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


def camel_case(name: str) -> str:
    """Return the key of a field name: `max_dequeue_count` → `maxDequeueCount`."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def read_value(section: Section, key: str, kind: Any, rule: Rule = NO_RULE) -> Any:
    """Read one option as `kind`, a type as in a dataclass annotation; None if the option is absent or null.

    Raises ConfigurationError.
    """
    value = section.get(key)
    if value is None:
        return None
    # `X | None` only says what an absent option becomes.
    if get_origin(kind) in (Union, types.UnionType):
        [kind] = [part for part in get_args(kind) if part is not type(None)]
    if dataclasses.is_dataclass(kind):
        return read_section(kind, section.section(key))  # type: ignore[arg-type]
    origin = get_origin(kind)
    # The rule is about the option as a whole. The items of an array and the members of a map have none.
    if origin is tuple:
        items = value
        # An array that app settings define alone, element by element, arrives as an object of indexes, because the
        # names of such settings (a__0, a__1) do not say that `a` is an array. .NET configuration makes no difference
        # either.
        if isinstance(value, Mapping) and all(name.isdecimal() and len(name) < 10 for name in value):
            items = [value[name] for name in sorted(value, key=int)]
        if not isinstance(items, list):
            raise section.error(key, value, "an array")
        return tuple(_scalar(get_args(kind)[0], section, key, item, NO_RULE) for item in items)
    if origin is not None and issubclass(origin, Mapping):
        below = section.section(key)
        return {name: _scalar(get_args(kind)[1], below, name, item, NO_RULE) for name, item in below.members.items()}
    return _scalar(kind, section, key, value, rule)


def _scalar(kind: Any, section: Section, key: str, value: Any, rule: Rule) -> Any:
    # .NET configuration contains only texts, so `"8"` and `8` mean the same number, in host.json as in app settings.
    allowed = _allowed_values(kind, rule)
    if isinstance(value, (dict, list)):
        raise section.error(key, value, allowed)
    try:
        parsed = _parse_scalar(kind, value, rule)
    except _PARSE_ERRORS:
        raise section.error(key, value, allowed) from None
    # Wrong values are refused, not corrected: .NET option classes throw in their setters, and the host does not start.
    low, high = rule.at_least, rule.at_most
    if (low is not None and parsed < low) or (high is not None and parsed > high):
        if rule.wording is not None:
            where = section.origin((*section.path, key))
            raise ConfigurationError(f"{where}: {rule.wording} Found: {_shortened(value)}.")
        raise section.error(key, value, allowed)
    return parsed


def _parse_scalar(kind: Any, value: Any, rule: Rule) -> Any:
    """Return the value as `kind`. Raises one of _PARSE_ERRORS."""
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return {str(member.value).lower(): member for member in kind}[str(value).strip().lower()]
    if kind is str:
        return str(value)  # A boolean becomes True or False, as .NET writes it.
    if kind is bool:
        return value if isinstance(value, bool) else {"true": True, "false": False}[value.strip().lower()]
    # In Python true is the number 1. In host.json it is a mistake.
    if isinstance(value, bool):
        raise TypeError
    if kind is float:
        return float(value)
    if not isinstance(value, (int, str)):
        raise TypeError
    if kind is timedelta and rule.unit is None:
        return parse_timespan(str(value))
    return int(value) if rule.unit is None else int(value) * rule.unit


def _allowed_values(kind: Any, rule: Rule) -> str:
    if kind is bool:
        return "true or false"
    if kind is str:
        return "a text"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return ", ".join(str(member.value) for member in kind)
    if kind is timedelta and rule.unit is None:
        words = "a time span hh:mm:ss"
    else:
        words = "a number" if kind is float else "a whole number"
    low, high = _bound_text(rule.at_least, rule), _bound_text(rule.at_most, rule)
    if low is not None and high is not None:
        return f"{words} from {low} to {high}"
    if low is not None:
        return f"{words} of at least {low}"
    return words if high is None else f"{words} of at most {high}"


def _bound_text(bound: Bound | None, rule: Rule) -> str | None:
    if bound is None:
        return None
    if not isinstance(bound, timedelta):
        return f"{bound:g}"
    return format_timespan(bound) if rule.unit is None else f"{bound / rule.unit:g}"


def _shortened(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    # A whole section in a message would bury the sentence around it.
    return text if len(text) <= 80 else text[:77] + "…"
