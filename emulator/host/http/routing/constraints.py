"""Inline constraints of route templates, such as `int` and `min(1)` in `{id:int:min(1)}`.

Source: ASP.NET Core, src/Http/Routing/src/Constraints; docs/protocol/functions-host.md 4.1.
"""

from __future__ import annotations

import calendar
import math
import re
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Final

from emulator.logs import get_logger
from emulator.packages import require

Constraint = Callable[[str | None], bool]
"""Predicate over a route value; None means that the path has no such value."""

_log = get_logger(__name__)

_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)
REGEX_SECONDS: Final = 0.1
"""Processor time that a `regex()` constraint may take for one value. Usual ones take microseconds."""

# The exclusive limit of System.Decimal, whose mantissa has 96 bits.
_DECIMAL_LIMIT = Decimal(2**96)


def parse_constraint(text: str) -> Constraint:
    """Return the constraint `name` or `name(arguments)`. Raises ValueError if it is unknown or has wrong arguments."""
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
    """Return a constraint that an absent value violates."""
    return lambda value: value is not None and test(value)


# Constraints without arguments. A value is accepted if the TryParse of the .NET type accepts it in the invariant
# culture, which allows more than Python's int() and float() and sometimes less.


def _integer(text: str) -> int | None:
    """Parse like long.Parse. Python's int() would accept underscores and other digits too."""
    match = re.fullmatch(r"\s*([-+]?)0*([0-9]{1,20})\s*", text)  # The longest Int64 has 19 digits.
    return int(match[1] + match[2]) if match else None


def _integer_in(accepted: range) -> Constraint:
    def is_accepted(text: str) -> bool:
        number = _integer(text)
        return number is not None and number in accepted

    return _present(is_accepted)


def _is_decimal(text: str) -> bool:
    bare = text.strip()
    # NumberStyles.Number: group separators anywhere, and a sign at either end.
    if not re.fullmatch(r"[-+]?(\d[\d,]*(\.\d*)?|\.\d+)[-+]?", bare, re.ASCII):
        return False
    try:
        return abs(Decimal(bare.strip("+-").replace(",", ""))) < _DECIMAL_LIMIT
    except InvalidOperation:
        return False


def _is_float(text: str) -> bool:
    bare = text.strip()
    # .NET spells the symbols of the invariant culture out; Python's float() would accept "inf" too.
    if bare.lower() in ("nan", "-nan", "infinity", "-infinity", "+infinity", "∞", "-∞"):
        return True
    number = re.fullmatch(r"[-+]?(\d[\d,]*(\.\d*)?|\.\d+)([eE][-+]?\d+)?", bare, re.ASCII)
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
    """Return whether DateTime.TryParse accepts the text: ISO dates, month/day/year, dates with month names, times."""
    date = _DATE_TIMES.fullmatch(text.strip())
    if date is None:
        return False
    month, day = int(date["m"] or date["m2"] or 1), int(date["d"] or date["d2"] or 1)
    # A leap year for dates without a year, so that February 29 is accepted.
    year = int(date["y"] or date["y2"] or 2000)
    return year > 0 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


# The formats N, D, B, P and X of System.Guid.
_HEX = r"0x[0-9a-fA-F]"
_GUID = re.compile(
    r"[0-9a-f]{32}"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}"
    r"|\([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)"
    rf"|\{{{_HEX}{{1,8}},{_HEX}{{1,4}},{_HEX}{{1,4}},\{{{_HEX}{{1,2}}(,{_HEX}{{1,2}}){{7}}\}}\}}",
    re.IGNORECASE,
)


def _is_file(value: str | None) -> bool:
    """Return whether the last segment has a dot with something behind it."""
    _, dot, extension = (value or "").rpartition("/")[2].partition(".")
    return bool(dot and extension.strip("."))


_PLAIN: dict[str, Constraint] = {
    "int": _integer_in(_INT32),
    "long": _integer_in(_INT64),
    "bool": _present(lambda value: value.strip().lower() in ("true", "false")),
    "decimal": _present(_is_decimal),
    "double": _present(_is_float),
    "float": _present(_is_float),
    "datetime": _present(_is_datetime),
    "guid": _present(lambda value: _GUID.fullmatch(value.strip()) is not None),
    "alpha": _present(lambda value: re.fullmatch(r"[a-zA-Z]*", value) is not None),
    "required": bool,
    "file": _is_file,
    "nonfile": lambda value: not _is_file(value),
}


# Constraints with arguments.


def _integers(arguments: str, *counts: int) -> list[int]:
    """Parse arguments. Raises ValueError if one is not an integer or their number is none of `counts`."""
    parsed = [_integer(argument) for argument in arguments.split(",")]
    numbers = [number for number in parsed if number is not None]
    if len(numbers) != len(parsed) or len(parsed) not in counts:
        raise ValueError(f"'{arguments}' should be {' or '.join(str(count) for count in counts)} whole number(s)")
    return numbers


def _bounds(arguments: str, *counts: int) -> range:
    low, *rest = _integers(arguments, *counts)
    high = rest[0] if rest else low
    if low > high:
        raise ValueError(
            f"the value for argument 'min' ({low}) must be less than or equal to the value for 'max' ({high})"
        )
    return range(low, high + 1)


def _length_in(accepted: range) -> Constraint:
    return _present(lambda value: len(value) in accepted)


def _regex(expression: str) -> Constraint:
    # Loaded only for the routes that need it. The module `re` cannot limit the time of a match, during which no other
    # request would be served; see docs/decisions/0005-regex-with-a-time-limit.md.
    require("regex")
    import regex

    try:
        pattern = regex.compile(expression, regex.IGNORECASE)  # type: ignore[no-untyped-call]
    except regex.error as error:
        raise ValueError(f"'{expression}' is not a regular expression: {error}") from None

    def is_found(value: str) -> bool:
        try:
            # As in .NET the expression may match anywhere in the value, unless it has anchors.
            return pattern.search(value, timeout=REGEX_SECONDS) is not None
        except TimeoutError:
            # On Azure the request fails after ten seconds, during which it takes a whole processor.
            _log.warning(
                "A request is answered as if its route did not match: the constraint regex(%s) took longer than %s s "
                "on a value of %d characters. Write it so that no text can be matched in many ways: not (a+)+ but a+.",
                expression,
                REGEX_SECONDS,
                len(value),
            )
            return False

    return _present(is_found)


_WITH_ARGUMENTS: dict[str, Callable[[str], Constraint]] = {
    "length": lambda arguments: _length_in(_bounds(arguments, 1, 2)),
    "minlength": lambda arguments: _length_in(range(_integers(arguments, 1)[0], sys.maxsize)),
    "maxlength": lambda arguments: _length_in(range(_integers(arguments, 1)[0] + 1)),
    "min": lambda arguments: _integer_in(range(_integers(arguments, 1)[0], _INT64.stop)),
    "max": lambda arguments: _integer_in(range(_INT64.start, _integers(arguments, 1)[0] + 1)),
    "range": lambda arguments: _integer_in(_bounds(arguments, 2)),
    "regex": _regex,
}
