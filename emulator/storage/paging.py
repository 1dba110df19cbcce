"""Table queries over all pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from emulator.storage.filters import Condition
from emulator.storage.port import Row, Table


async def query_rows(table: Table, where: Condition | None = None, *, select: Sequence[str] = ()) -> AsyncIterator[Row]:
    """Yield all rows that fulfil `where`, ordered by partition key, then row key (ordinal).

    `select`: only these properties; keys and ETag always come. Each page is one request, so rows that others write
    meanwhile may or may not be among them. Raises NotFound (the table), InvalidRequest.
    """
    # A generator: callers that need a few rows do not request the other pages.
    continuation: str | None = None
    while True:
        page = await table.page(where, select=select, continuation=continuation)
        for row in page.rows:
            yield row
        # A page may be short, even empty, and still not be the last one; only the continuation token shows it.
        continuation = page.continuation
        if continuation is None:
            return
