"""Translation of table filters into SQL, as far as SQL can evaluate them.

`prefilter` never loses a row that fulfils the condition, but may return others. The rows are therefore tested again
with `Condition.matches`, which alone implements Azure's rules on types.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache

from emulator.instant import Instant
from emulator.storage.builtin.names import is_identifier
from emulator.storage.builtin.schema import ordinal_key
from emulator.storage.filters import Both, Compare, Condition, Either, FilterText

_Sql = tuple[str, Sequence[object]]
"""An SQL expression and its arguments."""

_KEY_COLUMNS = {"PartitionKey": "partition_key", "RowKey": "row_key"}
_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def prefilter(condition: Condition | None) -> _Sql:
    """Return an expression over the columns of `entities` that is true for all rows that fulfil the condition."""
    # "1" is true for all rows.
    sql = None if condition is None else _sql(condition)
    return ("1", ()) if sql is None else sql


def is_exact(condition: Condition | None) -> bool:
    """Return whether the prefilter selects exactly the rows that fulfil the condition. No row is tested again then."""
    match condition:
        case None:
            return True
        case Compare(name, _, value):
            # Keys are always strings, and their columns compare as Azure does.
            return name in _KEY_COLUMNS and isinstance(value, str)
        case Both(left, right) | Either(left, right):
            return is_exact(left) and is_exact(right)
        case _:
            return False


def _sql(condition: Condition) -> _Sql | None:
    """Translate a condition; None if SQL cannot tell which rows fulfil it."""
    match condition:
        case Compare():
            return _comparison(condition)
        case Both(left, right):
            # One part alone returns too many rows, which is allowed.
            parts = [sql for sql in (_sql(left), _sql(right)) if sql is not None]
            return _join(" AND ", parts) if parts else None
        case Either(left, right):
            # One part alone would lose rows.
            left_sql, right_sql = _sql(left), _sql(right)
            return None if left_sql is None or right_sql is None else _join(" OR ", [left_sql, right_sql])
        case FilterText(_, parsed):
            return _sql(parsed)
        case _:
            return None


def _join(operator: str, parts: Sequence[_Sql]) -> _Sql:
    return (
        "(" + operator.join(sql for sql, _ in parts) + ")",
        [argument for _, arguments in parts for argument in arguments],
    )


def _comparison(condition: Compare) -> _Sql | None:
    name, operator, value = condition.name, condition.operator, condition.value
    column = _KEY_COLUMNS.get(name)
    if column is not None:
        return (f"{column} {_OPERATORS[operator]} ?", [ordinal_key(value)]) if isinstance(value, str) else None
    if name == "Timestamp":
        return (f"timestamp {_OPERATORS[operator]} ?", [value.ticks]) if isinstance(value, Instant) else None
    # The name becomes a part of the SQL text, so it must not contain quotes.
    if not _has_json() or not is_identifier(name):
        return None
    match value:
        # SQLite orders strings by UTF-8 bytes, not by UTF-16 unit, and it cannot store a lone surrogate. Equality of
        # ASCII texts is the same for both.
        case str() if operator == "eq" and value.isascii():
            return f"json_extract(properties, '$.\"{name}\"') = ?", [value]
        # A DateTime is stored as a pair of "t" and ticks, see `rows`.
        case Instant():
            return f"json_extract(properties, '$.\"{name}\"[1]') {_OPERATORS[operator]} ?", [value.ticks]
        case _:
            return None


@cache
def _has_json() -> bool:
    """Return whether this SQLite has JSON functions. Before 3.38 it could be built without them."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("SELECT json_extract('[]', '$')")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True
