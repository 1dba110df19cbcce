"""Table conditions as values: written once, rendered as OData for the network or evaluated by the built-in store.

(eq("PartitionKey", "i1") & (eq("RowKey", "sentinel") | eq("ExecutionId", "42"))).odata()
→ (PartitionKey eq 'i1') and ((RowKey eq 'sentinel') or (ExecutionId eq '42'))
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from emulator.instant import Instant
from emulator.storage.edm import Int64

Comparable = str | int | Int64 | float | bool | Instant | uuid.UUID | bytes
Operator = Literal["eq", "ne", "gt", "ge", "lt", "le"]


class Condition:
    """A test of one row. Combine with & and |."""

    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return Both(self, other)

    def __or__(self, other: Condition) -> Condition:
        return Either(self, other)

    def odata(self) -> str:
        """The $filter text."""
        match self:
            case Compare(name, operator, value):
                return f"{name} {operator} {_literal(value)}"
            case Both(left, right):
                return f"({left.odata()}) and ({right.odata()})"
            case Either(left, right):
                return f"({left.odata()}) or ({right.odata()})"
            case _:
                raise TypeError(f"unknown condition: {self!r}")

    def matches(self, properties: Mapping[str, object]) -> bool:
        """Evaluate on a row's properties, PartitionKey and RowKey among them.

        As the service does: a missing property, or one of another type, fulfils no comparison. Strings compare
        ordinally by UTF-16 unit.
        """
        match self:
            case Compare(name, operator, value):
                return _compare(properties.get(name), operator, value)
            case Both(left, right):
                return left.matches(properties) and right.matches(properties)
            case Either(left, right):
                return left.matches(properties) or right.matches(properties)
            case _:
                raise TypeError(f"unknown condition: {self!r}")


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    name: str
    operator: Operator
    value: Comparable


@dataclass(frozen=True, slots=True)
class Both(Condition):
    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Either(Condition):
    left: Condition
    right: Condition


def eq(name: str, value: Comparable) -> Condition:
    return Compare(name, "eq", value)


def ne(name: str, value: Comparable) -> Condition:
    return Compare(name, "ne", value)


def ge(name: str, value: Comparable) -> Condition:
    return Compare(name, "ge", value)


def gt(name: str, value: Comparable) -> Condition:
    return Compare(name, "gt", value)


def le(name: str, value: Comparable) -> Condition:
    return Compare(name, "le", value)


def lt(name: str, value: Comparable) -> Condition:
    return Compare(name, "lt", value)


def _literal(value: Comparable) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
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
            return repr(value)


def _compare(found: object, operator: Operator, wanted: Comparable) -> bool:
    if type(found) is not type(wanted):
        return False
    left, right = _sortable(found), _sortable(wanted)
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


def _sortable(value: object) -> Any:
    match value:
        case str():
            # UTF-16 order differs from code point order for characters beyond U+FFFF.
            return value.encode("utf-16-be", "surrogatepass")
        case Int64():
            return value.value
        case _:
            return value
