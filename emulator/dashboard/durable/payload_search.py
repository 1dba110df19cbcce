"""Search for a text in the inputs, outputs and custom statuses of the instances of a task hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from emulator.dashboard.durable.instance_index import COLUMNS, ORCHESTRATIONS, Entry, Selection, entry_of
from emulator.storage.port import NotFound, Row, Table

_PAYLOADS: Final = ("Input", "Output", "CustomStatus")
# Small pages: each is an answer that the viewer sees, and the search can be cancelled between two of them.
_ROWS_PER_PAGE: Final = 500
LIMIT: Final = 1000
"""Most instances that a search finds."""


@dataclass(frozen=True, slots=True)
class Found:
    """The matches in one page of the table, each with the name of the column. `searched`: rows so far.

    `ended`: None while the search continues, else "end" or "limit".
    """

    matches: Sequence[tuple[Entry, str]]
    searched: int
    ended: str | None


async def search_payloads(table: Table, text: str, selection: Selection) -> AsyncIterator[Found]:
    """Yield the selected instances that contain the text in any letter case, in the order of their ids.

    Payloads that are so large that they are stored as blobs are not searched.
    """
    searched = found = 0
    continuation: str | None = None
    wanted = _Wanted(text)
    while True:
        try:
            page = await table.page(
                ORCHESTRATIONS, select=[*COLUMNS, *_PAYLOADS], limit=_ROWS_PER_PAGE, continuation=continuation
            )
        except NotFound:
            yield Found((), searched, "end")
            return
        searched += len(page.rows)
        matches = []
        for row in page.rows:
            place = wanted.place_in(row)
            if place is not None and selection.matches(entry := entry_of(row)):
                matches.append((entry, place))
        found += len(matches)
        continuation = page.continuation
        ended = "limit" if found >= LIMIT else "end" if continuation is None else None
        yield Found(matches, searched, ended)
        if ended:
            return


class _Wanted:
    """A text that may be stored as it is, or escaped in a JSON text inside a JSON string."""

    def __init__(self, text: str) -> None:
        plain = text.lower()
        escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
        # Twice escaped is a JSON text in a JSON string, as the SDK stores inputs.
        self._forms = {plain, escaped, escaped.replace("\\", "\\\\").replace('"', '\\"')}

    def place_in(self, row: Row) -> str | None:
        """Return the column that contains the text; None if there is none."""
        for column in _PAYLOADS:
            value = row.properties.get(column)
            if isinstance(value, str) and any(form in value.lower() for form in self._forms):
                return column
        return None
