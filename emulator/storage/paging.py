"""A query from its first page to its last: the same on every storage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from emulator.storage.filters import Condition
from emulator.storage.port import Row, Table


async def every_row(table: Table, where: Condition | None, select: Sequence[str]) -> AsyncIterator[Row]:
    continuation: str | None = None
    while True:
        page = await table.page(where, select=select, continuation=continuation)
        for row in page.rows:
            yield row
        continuation = page.continuation
        if continuation is None:
            return
