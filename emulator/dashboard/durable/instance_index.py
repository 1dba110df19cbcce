"""Index of the instances of a task hub, in memory, for lists that are sorted and filtered by any column.

Tables are ordered by instance id only, so a list of the newest instances would read the whole table each time. The
index is read once, page by page: lists are served from the pages that have been read so far. Afterwards only rows are
read whose service timestamp is not older than the newest one seen, so watching costs one small request per look.
Deleted rows leave no trace in a table; a new reading from time to time finds them.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from heapq import nlargest, nsmallest
from typing import Any, Final

from emulator.clock import Clock
from emulator.durable.azurestorage.names import unescape_key
from emulator.instant import MIN_INSTANT, Instant
from emulator.storage.filters import Condition, ge, lt
from emulator.storage.port import FIRST_ROW_INSTANT, ZERO, NotFound, Row, Table

LIMIT: Final = 200_000
"""Most instances in an index; about 80 MB. Instances with greater ids are left out of lists of larger hubs."""

# Without input and output, which are most of a row.
COLUMNS: Final = (
    "Name",
    "RuntimeStatus",
    "CreatedTime",
    "LastUpdatedTime",
    "CompletedTime",
    "ParentInstanceId",
    "ScheduledStartTime",
)
# "A" is the character behind "@", with which the ids of entities begin.
ORCHESTRATIONS: Final[Condition] = lt("PartitionKey", "@") | ge("PartitionKey", "A")
"""Selects all rows but those of entities."""
# The clocks of the servers of an account may differ by that much.
CLOCK_DIFFERENCE: Final = timedelta(seconds=5)
# A reading of the whole table may take this part of the time, so that large hubs are read again less often.
_READING_SHARE: Final = 0.02
_LONGEST_HEAD: Final = 2_000
_SHORTEST_PAUSE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Entry:
    """What lists show of an instance. `status`: as stored. `parent`: empty if it is not a sub-orchestration."""

    instance_id: str
    name: str
    status: str
    created_at: Instant
    updated_at: Instant
    completed_at: Instant | None
    parent: str
    scheduled_at: Instant | None = None


SORT_KEYS: Final[dict[str, Callable[[Entry], Any]]] = {
    "created": lambda entry: entry.created_at.ticks,
    "updated": lambda entry: entry.updated_at.ticks,
    "name": lambda entry: entry.name,
    "status": lambda entry: entry.status,
    "id": lambda entry: entry.instance_id,
    "duration": lambda entry: (entry.completed_at or entry.updated_at).ticks - entry.created_at.ticks,
}
"""Values by which a list can be sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which instances a list shows. Empty collections and None: all.

    `text`: part of the id or the name, in any letter case. `roots_only`: no sub-orchestrations.
    """

    statuses: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    prefix: str = ""
    text: str = ""
    created_from: Instant | None = None
    created_to: Instant | None = None
    roots_only: bool = False

    def matches(self, entry: Entry) -> bool:
        """Return whether an instance belongs to the selection."""
        return (
            (not self.statuses or entry.status in self.statuses)
            and (not self.names or entry.name in self.names)
            and entry.instance_id.startswith(self.prefix)
            and (self.created_from is None or entry.created_at >= self.created_from)
            and (self.created_to is None or entry.created_at <= self.created_to)
            and not (self.roots_only and entry.parent)
            and (
                not self.text
                or self.text.lower() in entry.instance_id.lower()
                or self.text.lower() in entry.name.lower()
            )
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list. `total`: number of selected instances.

    `counts`: by status, of the instances that would be selected if the selection had no statuses.
    """

    entries: Sequence[Entry]
    total: int
    counts: dict[str, int]
    names: Sequence[str]


@dataclass(slots=True)
class _Reading:
    """A reading of the whole table that several calls share. `found`: ids that were read since it began."""

    continuation: str | None = None
    found: set[str] = field(default_factory=set)
    seconds: float = 0.0


class InstanceIndex:
    """Index of the orchestrations in an Instances table. `version` changes whenever an entry changes.

    `overlap`: rows that are so much older than the newest one seen are read again (CLOCK_DIFFERENCE for an account in
    Azure). `is_complete`: the whole table has been read. `is_cut`: it has more instances than `limit`.
    """

    def __init__(self, table: Table, clock: Clock, *, overlap: timedelta = ZERO, limit: int = LIMIT) -> None:
        self._table = table
        self._clock = clock
        self._limit = limit
        self._overlap = overlap
        self._entries: dict[str, Entry] = {}
        self._seen_until: Instant | None = None
        self._reading: _Reading | None = _Reading()
        self._read_again_at = clock.now()
        # Requests of several viewers at the same time read once.
        self._refreshing = asyncio.Lock()
        # Version, counts and names of the last listing: all that a list shows of instances that it does not select.
        self._facts: tuple[int, dict[str, int], list[str]] | None = None
        self.version = 0
        self.is_complete = False
        self.is_cut = False

    def __len__(self) -> int:
        return len(self._entries)

    async def refresh(self, *, at_most: timedelta) -> None:
        """Bring the index up to date, and read on in the table for about `at_most`, if it has not been read to its end.

        Raises StorageError and StorageUnreachable.
        """
        async with self._refreshing:
            if self.is_complete:
                await self._read_changes()
                if self._reading is None and self._clock.now() >= self._read_again_at:
                    self._reading = _Reading()
            if self._reading is not None:
                await self._read_on(self._reading, at_most)

    def forget(self, instance_id: str) -> None:
        """Remove an instance that was found to be deleted."""
        if self._entries.pop(instance_id, None) is not None:
            self.version += 1

    def read_again(self) -> None:
        """Let the next `refresh` calls read the whole table, because instances were deleted."""
        if self.is_complete:
            self._reading = _Reading()

    def page(self, selection: Selection, *, sort: str, descending: bool, skip: int, limit: int) -> Listing:
        """Return a page of the selected instances. `sort`: a key of SORT_KEYS."""
        if self._facts is None or self._facts[0] != self.version:
            entries = self._entries.values()
            counts = dict(Counter(entry.status for entry in entries))
            self._facts = (self.version, counts, sorted({entry.name for entry in entries}))
        _, counts, names = self._facts
        of_any_status = replace(selection, statuses=frozenset())
        selected = self.select(of_any_status)
        if of_any_status != Selection():
            counts = dict(Counter(entry.status for entry in selected))
        if selection.statuses:
            selected = [entry for entry in selected if entry.status in selection.statuses]
        key = SORT_KEYS[sort]

        def order(entry: Entry) -> tuple[Any, str]:
            return key(entry), entry.instance_id

        last = skip + limit
        # Sorting only the head is cheaper than sorting all, unless a page far behind is asked for.
        if last > _LONGEST_HEAD:
            head = sorted(selected, key=order, reverse=descending)[:last]
        else:
            head = (nlargest if descending else nsmallest)(last, selected, key=order)
        return Listing(head[skip:], len(selected), counts, names)

    def select(self, selection: Selection) -> Sequence[Entry]:
        """Return all selected instances, in no particular order."""
        # The usual case, and the slowest one of a large hub.
        if selection == Selection():
            return list(self._entries.values())
        return [entry for entry in self._entries.values() if selection.matches(entry)]

    async def _read_changes(self) -> None:
        # Rows with exactly this time are read again, because some may have been written after the last look.
        since = FIRST_ROW_INSTANT if self._seen_until is None else self._seen_until + -self._overlap
        continuation: str | None = None
        while True:
            rows, continuation = await self._page(ORCHESTRATIONS & ge("Timestamp", since), continuation)
            for row in rows:
                self._put(row)
            if continuation is None:
                return

    async def _read_on(self, reading: _Reading, at_most: timedelta) -> None:
        started = self._clock.now()
        while True:
            rows, reading.continuation = await self._page(ORCHESTRATIONS, reading.continuation)
            for row in rows:
                self._put(row)
            spent = self._clock.now() - started
            if reading.continuation is None or len(reading.found) >= self._limit:
                reading.seconds += spent.total_seconds()
                self._finish(reading)
                return
            if spent >= at_most:
                reading.seconds += spent.total_seconds()
                return

    def _finish(self, reading: _Reading) -> None:
        self._reading = None
        self.is_cut = reading.continuation is not None
        for instance_id in self._entries.keys() - reading.found:
            self.forget(instance_id)
        # Lists say so while they are incomplete, so they change with the end of the first reading.
        self.version += not self.is_complete
        self.is_complete = True
        pause = max(_SHORTEST_PAUSE, timedelta(seconds=reading.seconds / _READING_SHARE))
        self._read_again_at = self._clock.now() + pause

    async def _page(self, where: Condition, continuation: str | None) -> tuple[Sequence[Row], str | None]:
        try:
            page = await self._table.page(where, select=COLUMNS, continuation=continuation)
        except NotFound:
            # The task hub has not been created yet.
            return (), None
        return page.rows, page.continuation

    def _put(self, row: Row) -> None:
        entry = entry_of(row)
        known = self._entries.get(entry.instance_id)
        if known != entry and (known is not None or len(self._entries) < self._limit):
            self._entries[entry.instance_id] = entry
            self.version += 1
        if self._reading is not None:
            # Also if it was read as a change: the reading may have passed the id of a new instance already.
            self._reading.found.add(entry.instance_id)
        if row.timestamp is not None and (self._seen_until is None or row.timestamp > self._seen_until):
            self._seen_until = row.timestamp


def entry_of(row: Row) -> Entry:
    """Read the columns COLUMNS of a status row."""
    columns = row.properties
    return Entry(
        instance_id=unescape_key(row.partition_key),
        name=_text(columns.get("Name")),
        status=_text(columns.get("RuntimeStatus")),
        created_at=_time(columns.get("CreatedTime")) or MIN_INSTANT,
        updated_at=_time(columns.get("LastUpdatedTime")) or MIN_INSTANT,
        completed_at=_time(columns.get("CompletedTime")),
        parent=_text(columns.get("ParentInstanceId")),
        scheduled_at=_time(columns.get("ScheduledStartTime")),
    )


# Other programs may have written the row, so a column of another type counts as missing.
def _text(value: object) -> str:
    # Many rows have the same name, status or parent. Interned texts are kept once.
    return sys.intern(value) if isinstance(value, str) else ""


def _time(value: object) -> Instant | None:
    return value if isinstance(value, Instant) else None
