"""Names in table bindings. Source: Extensions.Tables, TableAttribute; docs/protocol/functions-host.md 8.5."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from emulator.errors import EmulatorError
from emulator.worker.port import member_of

_TABLE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{2,62}")


class InvalidTableName(EmulatorError):
    """The name of a table is not valid. The message is that of the extension."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Validation failed for property 'TableName', value '{name}'. The field TableName must match the regular "
            "expression '^[A-Za-z][A-Za-z0-9]{2,62}$'."
        )


def check_table_name(name: str) -> None:
    """Raise InvalidTableName if the table service allows no such name."""
    if not _TABLE_NAME.fullmatch(name):
        raise InvalidTableName(name)


def text_member(properties: Mapping[str, object], name: str) -> str:
    """Return a member of a binding as text; "" if it has none."""
    value = member_of(properties, name)
    return "" if value is None else str(value)
