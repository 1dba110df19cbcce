"""Inline constraints of route templates: `{id:int:min(1)}`.

A constraint is a predicate over the route value; None means that the path has no such value.
Source: ASP.NET Core, src/Http/Routing/src/Constraints; docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

Constraint = Callable[[str | None], bool]
"""Whether the value may stand for the parameter."""

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
_DECIMAL_LIMIT = Decimal(2**96)


def parse_constraint(text: str) -> Constraint:
    """The constraint that `name` or `name(arguments)` stands for. Raises ValueError: unknown, or wrong arguments."""
    name, parenthesis, arguments = text.partition("(")
    key = name.strip().lower()
    if not parenthesis:
        if key not in _PLAIN:
            raise ValueError(f"there is no constraint '{text}'")
        return _PLAIN[key]
    if key not in _WITH_ARGUMENTS or not arguments.endswith(")"):
        raise ValueError(f"there is no constraint '{text}'")
    return _WITH_ARGUMENTS[key](arguments[:-1])


def _present(test: Callable[[str], bool]) -> Constraint:
    return lambda value: value is not None and test(value)


# Values ------------------------------------------------------------------------------------------------------


def _integer(text: str) -> int | None:
    """As long.Parse in the invariant culture: blanks around it and a sign are allowed."""
    return int(text) if re.fullmatch(r"\s*[-+]?[0-9]+\s*", text) else None


def _is_int32(text: str) -> bool:
    number = _integer(text)
    return number is not None and number in _INT32


def _is_int64(text: str) -> bool:
    number = _integer(text)
    return number is not None and number in _INT64


def _is_bool(text: str) -> bool:
    return text.strip().lower() in ("true", "false")


def _is_decimal(text: str) -> bool:
    bare = text.strip()
    if not re.fullmatch(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)[-+]?", bare, re.ASCII):
        return False
    try:
        return abs(Decimal(bare.strip("+-").replace(",", ""))) < _DECIMAL_LIMIT
    except InvalidOperation:
        return False


def _is_float(text: str) -> bool:
    bare = text.strip()
    if bare.lower() in ("nan", "-nan", "infinity", "-infinity", "+infinity", "∞", "-∞"):
        return True
    number = re.fullmatch(r"[-+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-+]?\d+)?", bare, re.ASCII)
    return number is not None and not math.isnan(float(bare.replace(",", "")))


_TIME = r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,7})?)?(\s*[AaPp][Mm])?(\s*(Z|GMT|[-+]\d{1,2}(:?\d{2})?))?"
_MONTH = r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_DAY = r"((Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,?\s+)?"
_DATE_TIMES = re.compile(
    rf"(?:(?:(?P<y>\d{{4}})[-/](?P<m>\d{{1,2}})(?:[-/](?P<d>\d{{1,2}}))?"
    rf"|(?P<m2>\d{{1,2}})[-/](?P<d2>\d{{1,2}})(?:[-/](?P<y2>\d{{4}}|\d{{2}}))?"
    rf"|{_DAY}\d{{1,2}}[- ]{_MONTH}([- ,]+\d{{4}})?|{_DAY}{_MONTH}\s+\d{{1,4}}(,?\s+\d{{4}})?)"
    rf"(?:[T\s]\s*{_TIME})?|{_TIME})",
    re.IGNORECASE | re.ASCII,
)


def _is_datetime(text: str) -> bool:
    """As far as texts in a URL go: ISO dates, month/day/year, dates with month names, times."""
    found = _DATE_TIMES.fullmatch(text.strip())
    if found is None:
        return False
    month, day = int(found["m"] or found["m2"] or 1), int(found["d"] or found["d2"] or 1)
    year = int(found["y"] or found["y2"] or 2000)
    return year > 0 and 1 <= month <= 12 and 1 <= day <= _days_in(year, month)


def _days_in(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


_HEX = r"0x[0-9a-fA-F]"
_GUID = re.compile(
    r"[0-9a-f]{32}"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}"
    r"|\([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)"
    rf"|\{{{_HEX}{{1,8}},{_HEX}{{1,4}},{_HEX}{{1,4}},\{{{_HEX}{{1,2}}(,{_HEX}{{1,2}}){{7}}\}}\}}",
    re.IGNORECASE,
)


def _is_guid(text: str) -> bool:
    return _GUID.fullmatch(text.strip()) is not None


def _is_file(value: str | None) -> bool:
    """The last segment has a dot with something behind it."""
    _, dot, extension = (value or "").rpartition("/")[2].partition(".")
    return bool(dot and extension.strip("."))


_PLAIN: dict[str, Constraint] = {
    "int": _present(_is_int32),
    "long": _present(_is_int64),
    "bool": _present(_is_bool),
    "decimal": _present(_is_decimal),
    "double": _present(_is_float),
    "float": _present(_is_float),
    "datetime": _present(_is_datetime),
    "guid": _present(_is_guid),
    "alpha": _present(lambda value: re.fullmatch(r"[a-zA-Z]*", value) is not None),
    "required": bool,
    "file": _is_file,
    "nonfile": lambda value: not _is_file(value),
}


# Constraints with arguments ----------------------------------------------------------------------------------


def _numbers(arguments: str, *counts: int) -> list[int]:
    numbers = [_integer(argument) for argument in arguments.split(",")]
    known = [number for number in numbers if number is not None]
    if len(known) != len(numbers) or len(numbers) not in counts:
        raise ValueError(f"'{arguments}' should be {' or '.join(str(count) for count in counts)} whole number(s)")
    return known


def _in_order(low: int, high: int) -> None:
    if low > high:
        raise ValueError(
            f"the value for argument 'min' ({low}) must be less than or equal to the value for 'max' ({high})"
        )


def _length(arguments: str) -> Constraint:
    low, *rest = _numbers(arguments, 1, 2)
    high = rest[0] if rest else low
    _in_order(low, high)
    return _present(lambda value: low <= len(value) <= high)


def _minlength(arguments: str) -> Constraint:
    [low] = _numbers(arguments, 1)
    return _present(lambda value: len(value) >= low)


def _maxlength(arguments: str) -> Constraint:
    [high] = _numbers(arguments, 1)
    return _present(lambda value: len(value) <= high)


def _range(arguments: str) -> Constraint:
    low, high = _numbers(arguments, 2)
    _in_order(low, high)
    return _between(low, high)


def _min(arguments: str) -> Constraint:
    [low] = _numbers(arguments, 1)
    return _between(low, _INT64.stop - 1)


def _max(arguments: str) -> Constraint:
    [high] = _numbers(arguments, 1)
    return _between(_INT64.start, high)


def _between(low: int, high: int) -> Constraint:
    def holds(value: str) -> bool:
        number = _integer(value)
        return number is not None and low <= number <= high

    return _present(holds)


def _regex(expression: str) -> Constraint:
    # .NET writes named groups without the P; the rest of what routes use is the same in both worlds.
    try:
        pattern = re.compile(re.sub(r"\(\?<(?![=!])", "(?P<", expression), re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"'{expression}' is not a regular expression: {error}") from None
    return _present(lambda value: pattern.search(value) is not None)


_WITH_ARGUMENTS: dict[str, Callable[[str], Constraint]] = {
    "length": _length,
    "minlength": _minlength,
    "maxlength": _maxlength,
    "min": _min,
    "max": _max,
    "range": _range,
    "regex": _regex,
}
