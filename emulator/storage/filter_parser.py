"""Parser of $filter texts of table queries: comparisons of properties with constants, `and`, `or`, `not`, parentheses.

parse_filter("PartitionKey eq 'p' and (Age ge 20 or not Active)")

Source: Azure Storage REST reference, "Querying tables and entities".
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.storage.filters import (
    Both,
    Compare,
    CompareNumber,
    Condition,
    Either,
    FilterText,
    Not,
    Operator,
    Value,
)

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<parenthesis>[()])
      | (?P<typed>(?:datetime|guid|binary|X)'(?:[^']|'')*')
      | (?P<text>'(?:[^']|'')*')
      | (?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?[Ll]?(?![\w.]))
      | (?P<name>[^\W\d]\w*)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_OPERATORS: Final[Mapping[str, Operator]] = {name: name for name in ("eq", "ne", "gt", "ge", "lt", "le")}
# The operator that gives the same result with exchanged sides: `20 lt Age` is `Age gt 20`.
_EXCHANGED: Final[Mapping[Operator, Operator]] = {
    "eq": "eq",
    "ne": "ne",
    "gt": "lt",
    "lt": "gt",
    "ge": "le",
    "le": "ge",
}
MOST_NESTED: Final = 100
"""How many parentheses and `not` may be inside each other. The table service allows 15 comparisons in a filter."""
# How much of a filter an error message shows.
_SHOWN: Final = 1000

_TYPED: Final[Mapping[str, Callable[[str], Value]]] = {
    "datetime": Instant.parse,
    "guid": uuid.UUID,
    "binary": bytes.fromhex,
    "x": bytes.fromhex,
}


class InvalidFilter(EmulatorError):
    """A filter of a table query that cannot be parsed. The message has the text, and the position of the mistake."""


def parse_filter(text: str) -> FilterText:
    """Parse a filter. Numbers are compared with properties of any numeric type. Raises InvalidFilter."""
    return FilterText(text, _Parser(text).whole())


class _Parser:
    """Recursive descent: `or` binds weaker than `and`, which binds weaker than `not`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def whole(self) -> Condition:
        condition = self._any_of()
        if self._text[self._position :].strip():
            raise self._invalid("`and`, `or` or the end")
        return condition

    def _any_of(self) -> Condition:
        conditions = [self._all_of()]
        while self._accept("name", "or"):
            conditions.append(self._all_of())
        return _joined(Either, conditions)

    def _all_of(self) -> Condition:
        conditions = [self._single()]
        while self._accept("name", "and"):
            conditions.append(self._single())
        return _joined(Both, conditions)

    def _single(self) -> Condition:
        negated = self._accept("name", "not")
        if not negated and not self._accept("parenthesis", "("):
            return self._comparison()
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise self._invalid(f"at most {MOST_NESTED} parentheses and `not` inside each other")
        if negated:
            condition: Condition = Not(self._single())
        else:
            condition = self._any_of()
            if not self._accept("parenthesis", ")"):
                raise self._invalid("`)`")
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        left = self._operand()
        operator = self._operator()
        if operator is None:
            # A property alone stands for `eq true`.
            if isinstance(left, _Name):
                return Compare(left, "eq", True)
            raise self._invalid("eq, ne, gt, ge, lt or le")
        right = self._operand()
        match left, right:
            case _Name(), _Name():
                raise self._invalid("a constant on one side of the comparison")
            case _Name(), _:
                return _compare(left, operator, right)
            case _, _Name():
                return _compare(right, _EXCHANGED[operator], left)
            case _:
                raise self._invalid("a property on one side of the comparison")

    def _operator(self) -> Operator | None:
        match = self._next()
        operator = _OPERATORS.get(match["name"] or "") if match else None
        if match and operator:
            self._position = match.end()
        return operator

    def _operand(self) -> Value:
        match = self._next()
        if match is None or match["parenthesis"]:
            raise self._invalid("a property or a constant")
        try:
            value = _operand(match)
        except ValueError:
            raise self._invalid("a valid constant") from None
        self._position = match.end()
        return value

    def _accept(self, kind: str, token: str) -> bool:
        match = self._next()
        if match is None or match[kind] != token:
            return False
        self._position = match.end()
        return True

    def _next(self) -> re.Match[str] | None:
        return _TOKEN.match(self._text, self._position)

    def _invalid(self, expected: str) -> InvalidFilter:
        rest = self._text[self._position :].strip()
        shown = self._text if len(self._text) <= _SHOWN else self._text[:_SHOWN] + "…"
        return InvalidFilter(
            f"The table filter {shown!r} is invalid: expected {expected} "
            f"{f'before {rest[:40]!r}' if rest else 'at the end'}. A filter compares properties with constants, such "
            "as: Name eq 'x' and Age ge 20"
        )


def _joined(kind: type[Both | Either], conditions: Sequence[Condition]) -> Condition:
    """Join conditions to a tree of small depth, because they are evaluated recursively."""
    if len(conditions) == 1:
        return conditions[0]
    middle = len(conditions) // 2
    return kind(_joined(kind, conditions[:middle]), _joined(kind, conditions[middle:]))


class _Name(str):
    """A property name; a plain text is a constant."""

    __slots__ = ()


def _operand(match: re.Match[str]) -> Value:
    """Return a name or a constant. Raises ValueError for a constant that its type does not allow."""
    if match["text"]:
        return _unquoted(match["text"])
    if match["typed"]:
        kind, _, rest = match["typed"].partition("'")
        return _TYPED[kind.lower()](_unquoted("'" + rest))
    if match["number"]:
        digits = match["number"].rstrip("Ll")
        return int(digits) if digits.lstrip("+-").isdigit() else float(digits)
    match match["name"]:
        case "true":
            return True
        case "false":
            return False
        case name:
            return _Name(name)


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _compare(name: _Name, operator: Operator, constant: Value) -> Condition:
    # As plain strings, so that equal conditions compare equal.
    if isinstance(constant, int | float) and not isinstance(constant, bool):
        return CompareNumber(str(name), operator, constant)
    return Compare(str(name), operator, constant)
