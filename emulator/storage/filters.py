"""Filters of table queries as values: rendered as OData for a service, or evaluated by the built-in store.

(eq("PartitionKey", "i1") & (eq("RowKey", "sentinel") | eq("ExecutionId", "42"))).odata()
→ (PartitionKey eq 'i1') and ((RowKey eq 'sentinel') or (ExecutionId eq '42'))
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from emulator.instant import Instant


@dataclass(frozen=True, slots=True)
class Int64:
    """An Edm.Int64. A plain `int` is an Edm.Int32. Python has one type for both, the table service does not."""

    value: int


Value = str | int | Int64 | float | bool | Instant | uuid.UUID | bytes
"""Value of a table property: Edm.String, Int32, Int64, Double, Boolean, DateTime, Guid, Binary."""

Operator = Literal["eq", "ne", "gt", "ge", "lt", "le"]


class Condition:
    """A filter on the rows of a table. Combine conditions with & and |."""

    # The subclasses are dataclasses with slots, which need a base without a __dict__.
    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return Either(self, other)

    def odata(self) -> str:
        """Return the text of a $filter parameter."""
        match self:
            case Compare(name, operator, value):
                return f"{name} {operator} {_literal(value)}"
            # Always in parentheses, so that the text does not depend on the precedence of operators.
            case Both(left, right):
                return f"({left.odata()}) and ({right.odata()})"
            case Either(left, right):
                return f"({left.odata()}) or ({right.odata()})"
            case Not(inner):
                return f"not ({inner.odata()})"
            case CompareNumber(name, operator, number):
                return f"{name} {operator} {number!r}"
            case FilterText(text):
                return text
            case _:
                raise TypeError(f"unknown condition: {self!r}")

    def matches(self, properties: Mapping[str, object]) -> bool:
        """Evaluate the condition on a row's properties, which include PartitionKey and RowKey.

        Like the service: a missing property, or one of another type, fulfils no comparison, not even `ne`. Strings are
        compared ordinally by UTF-16 code unit.
        """
        match self:
            case Compare(name, operator, value):
                actual = properties.get(name)
                # Exact types: for isinstance, True would be an Edm.Int32.
                return type(actual) is type(value) and _holds(_sort_key(actual), operator, _sort_key(value))
            case Both(left, right):
                return left.matches(properties) and right.matches(properties)
            case Either(left, right):
                return left.matches(properties) or right.matches(properties)
            case Not(inner):
                return not inner.matches(properties)
            case CompareNumber(name, operator, number):
                found = properties.get(name)
                plain = found.value if isinstance(found, Int64) else found
                # A bool is an int in Python, but Edm.Boolean is not a number.
                is_number = isinstance(plain, int | float) and not isinstance(plain, bool)
                return is_number and _holds(plain, operator, number)
            case FilterText(_, parsed):
                return parsed.matches(properties)
            case _:
                raise TypeError(f"unknown condition: {self!r}")


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """Comparison of a property with a constant."""

    name: str
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Both(Condition):
    """Fulfilled if both parts are."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Either(Condition):
    """Fulfilled if one of the parts is."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """Fulfilled if the inner condition is not."""

    inner: Condition


@dataclass(frozen=True, slots=True)
class CompareNumber(Condition):
    """Comparison of a property of any numeric type (Int32, Int64, Double) with a number."""

    name: str
    operator: Operator
    number: int | float


@dataclass(frozen=True, slots=True)
class FilterText(Condition):
    """A filter that a user has written, and what it means. The text is sent to services unchanged."""

    text: str
    parsed: Condition


def eq(name: str, value: Value) -> Condition:
    return Compare(name, "eq", value)


def ne(name: str, value: Value) -> Condition:
    return Compare(name, "ne", value)


def ge(name: str, value: Value) -> Condition:
    return Compare(name, "ge", value)


def gt(name: str, value: Value) -> Condition:
    return Compare(name, "gt", value)


def le(name: str, value: Value) -> Condition:
    return Compare(name, "le", value)


def lt(name: str, value: Value) -> Condition:
    return Compare(name, "lt", value)


def _literal(value: Value) -> str:
    match value:
        # Before int, which bool is a subclass of.
        case bool():
            return "true" if value else "false"
        case str():
            # OData doubles a quote inside a text.
            return "'" + value.replace("'", "''") + "'"
        case Instant():
            return f"datetime'{value.text7}'"
        case uuid.UUID():
            return f"guid'{value}'"
        case Int64():
            return f"{value.value}L"
        case bytes():
            return f"X'{value.hex()}'"
        case _:
            # int and float. The shortest text that gives the same float again.
            return repr(value)


def _holds(left: Any, operator: Operator, right: Any) -> bool:
    match operator:
        case "eq":
            return bool(left == right)
        case "ne":
            return bool(left != right)
        case "gt":
            return bool(left > right)
        case "ge":
            return bool(left >= right)
        case "lt":
            return bool(left < right)
        case "le":
            return bool(left <= right)


def _sort_key(value: object) -> Any:
    match value:
        case str():
            # UTF-16 order differs from Python's code point order for characters beyond U+FFFF. "surrogatepass": a
            # .NET string may hold a lone surrogate.
            return value.encode("utf-16-be", "surrogatepass")
        case Int64():
            # A dataclass without an order of its own.
            return value.value
        case _:
            return value
