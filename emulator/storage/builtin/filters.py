"""Table conditions in SQL, as far as SQL can tell; the rest is decided in Python.

`prefilter` never loses a row that fulfils the condition, but may let others through: every row that comes out is
tested once more with `Condition.matches`, which alone knows Azure's rules on types. So speed is here and truth there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import cache

from emulator.instant import Instant
from emulator.storage.builtin.names import is_identifier
from emulator.storage.builtin.schema import ordinal_key
from emulator.storage.filters import Both, Compare, Condition, Either

# An SQL expression and its arguments; None: SQL cannot tell, any row may fulfil it.
_Sql = tuple[str, Sequence[object]]

_KEY_COLUMNS = {"PartitionKey": "partition_key", "RowKey": "row_key"}
_OPERATORS = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def prefilter(condition: Condition | None) -> _Sql:
    """An expression over the columns of `entities`."""
    found = None if condition is None else _sql(condition)
    return ("1", ()) if found is None else found


def decides(condition: Condition | None) -> bool:
    """Is the prefilter exact, so that testing again is not needed?"""
    match condition:
        case None:
            return True
        case Compare(name, _, value):
            return name in _KEY_COLUMNS and isinstance(value, str)
        case Both(left, right) | Either(left, right):
            return decides(left) and decides(right)
        case _:
            return False


def _sql(condition: Condition) -> _Sql | None:
    match condition:
        case Compare():
            return _comparison(condition)
        case Both(left, right):
            found = [sql for sql in (_sql(left), _sql(right)) if sql is not None]
            return _joined(" AND ", found) if found else None
        case Either(left, right):
            one, other = _sql(left), _sql(right)
            return None if one is None or other is None else _joined(" OR ", [one, other])
        case _:
            return None


def _joined(word: str, parts: Sequence[_Sql]) -> _Sql:
    return (
        "(" + word.join(sql for sql, _ in parts) + ")",
        [argument for _, arguments in parts for argument in arguments],
    )


def _comparison(condition: Compare) -> _Sql | None:
    name, operator, value = condition.name, condition.operator, condition.value
    column = _KEY_COLUMNS.get(name)
    if column is not None:
        return (f"{column} {_OPERATORS[operator]} ?", [ordinal_key(value)]) if isinstance(value, str) else None
    if name == "Timestamp":
        return (f"timestamp {_OPERATORS[operator]} ?", [value.ticks]) if isinstance(value, Instant) else None
    if not _has_json() or not is_identifier(name):
        return None
    match value:
        # Other comparisons of strings follow UTF-16 order, which SQL does not know; and a lone surrogate is no text
        # for SQLite.
        case str() if operator == "eq" and value.isascii():
            return f"json_extract(properties, '$.\"{name}\"') = ?", [value]
        case Instant():
            return f"json_extract(properties, '$.\"{name}\"[1]') {_OPERATORS[operator]} ?", [value.ticks]
        case _:
            return None


@cache
def _has_json() -> bool:
    """SQLite before 3.38 could be built without its JSON functions."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("SELECT json_extract('[]', '$')")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True
