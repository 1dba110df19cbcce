"""The index of instances, on a built-in store in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

import pytest

from emulator.dashboard.durable.instance_index import InstanceIndex, Selection
from emulator.dashboard.durable.payload_search import search_payloads
from emulator.instant import Instant
from emulator.storage.builtin import open_builtin
from emulator.storage.port import ANY_ETAG, Operation, Row, Table, TableOperation
from emulator.virtual_time import VirtualClock

ENOUGH = timedelta(minutes=1)
ALL = Selection()


@pytest.fixture
async def table(clock: VirtualClock) -> AsyncIterator[Table]:
    async with open_builtin(None, clock) as account:
        instances = account.table("HubInstances")
        await instances.create()
        yield instances


async def put(table: Table, clock: VirtualClock, instance_id: str, **columns: str) -> None:
    now = Instant.of(clock.now())
    row = Row(
        instance_id,
        "",
        {
            "Name": "order",
            "RuntimeStatus": "Running",
            "CreatedTime": now,
            "LastUpdatedTime": now,
            "ParentInstanceId": "",
            **columns,
        },
    )
    await table.submit([TableOperation(Operation.INSERT_OR_MERGE, row)])


def ids(index: InstanceIndex, selection: Selection = ALL, sort: str = "created") -> list[str]:
    page = index.page(selection, sort=sort, descending=True, skip=0, limit=100)
    return [entry.instance_id for entry in page.entries]


async def test_lists_are_filtered_and_sorted(table: Table, clock: VirtualClock) -> None:
    for number, columns in enumerate(
        (
            {"Name": "order", "RuntimeStatus": "Failed"},
            {"Name": "ship", "ParentInstanceId": "i0"},
            {"Name": "order", "RuntimeStatus": "Completed"},
        )
    ):
        await put(table, clock, f"i{number}", **columns)
        await clock.sleep(60)
    await put(table, clock, "@counter@k")
    index = InstanceIndex(table, clock)
    await index.refresh(at_most=ENOUGH)
    assert index.is_complete
    assert ids(index) == ["i2", "i1", "i0"]
    assert ids(index, Selection(statuses=frozenset({"Failed", "Completed"}))) == ["i2", "i0"]
    assert ids(index, Selection(names=frozenset({"ship"}))) == ["i1"]
    assert ids(index, Selection(roots_only=True)) == ["i2", "i0"]
    assert ids(index, Selection(text="SHI")) == ["i1"]
    assert ids(index, Selection(prefix="i2")) == ["i2"]
    assert ids(index, Selection(created_from=Instant.of(clock.now() - timedelta(seconds=90)))) == ["i2"]
    assert ids(index, sort="name") == ["i1", "i2", "i0"]
    page = index.page(Selection(), sort="created", descending=True, skip=1, limit=1)
    assert ([entry.instance_id for entry in page.entries], page.total) == (["i1"], 3)
    assert page.counts == {"Failed": 1, "Running": 1, "Completed": 1}
    assert page.names == ["order", "ship"]
    # Of what the other filters select, so that a status can be chosen by its number.
    chosen = Selection(names=frozenset({"order"}), statuses=frozenset({"Failed"}))
    page = index.page(chosen, sort="created", descending=True, skip=0, limit=9)
    assert (page.total, page.counts) == (1, {"Failed": 1, "Completed": 1})


async def test_changes_are_read_without_reading_the_table_again(table: Table, clock: VirtualClock) -> None:
    for number in range(20):
        await put(table, clock, f"i{number:02}")
        await clock.sleep(1)
    counted = CountingTable(table)
    index = InstanceIndex(cast(Table, counted), clock)
    await index.refresh(at_most=ENOUGH)
    version, counted.rows = index.version, 0
    await index.refresh(at_most=ENOUGH)
    assert index.version == version
    await clock.sleep(1)
    await put(table, clock, "i07", RuntimeStatus="Completed")
    await put(table, clock, "new")
    counted.rows = 0
    await index.refresh(at_most=ENOUGH)
    assert index.version > version
    # The newest row that was known, and the two that are new.
    assert counted.rows == 3
    assert ids(index, Selection(statuses=frozenset({"Completed"}))) == ["i07"]
    assert "new" in ids(index)


async def test_a_large_table_is_read_in_parts(table: Table, clock: VirtualClock) -> None:
    for number in range(2500):
        await put(table, clock, f"i{number:05}")
    index = InstanceIndex(table, clock)
    await index.refresh(at_most=timedelta(0))
    assert (len(index), index.is_complete) == (1000, False)
    assert len(ids(index)) == 100
    await index.refresh(at_most=timedelta(0))
    await index.refresh(at_most=timedelta(0))
    assert (len(index), index.is_complete, index.is_cut) == (2500, True, False)
    small = InstanceIndex(table, clock, limit=1500)
    await small.refresh(at_most=ENOUGH)
    assert (len(small), small.is_complete, small.is_cut) == (1500, True, True)


async def test_deleted_instances_disappear(table: Table, clock: VirtualClock) -> None:
    await put(table, clock, "kept")
    await put(table, clock, "purged")
    index = InstanceIndex(table, clock)
    await index.refresh(at_most=ENOUGH)
    await table.submit([TableOperation(Operation.DELETE, Row("purged", "", {}), ANY_ETAG)])
    await clock.sleep(1)
    index.read_again()
    await index.refresh(at_most=ENOUGH)
    assert ids(index) == ["kept"]
    await table.submit([TableOperation(Operation.DELETE, Row("kept", "", {}), ANY_ETAG)])
    # Without a hint, the next regular reading finds it.
    await clock.sleep(11)
    await index.refresh(at_most=ENOUGH)
    await index.refresh(at_most=ENOUGH)
    assert ids(index) == []


async def test_a_hub_that_does_not_exist_is_empty(clock: VirtualClock) -> None:
    async with open_builtin(None, clock) as account:
        index = InstanceIndex(account.table("NoInstances"), clock)
        await index.refresh(at_most=ENOUGH)
        assert (index.is_complete, ids(index)) == (True, [])
        found = [found async for found in search_payloads(account.table("NoInstances"), "x", Selection())]
        assert [page.ended for page in found] == ["end"]


async def test_payloads_are_searched_in_their_stored_form(table: Table, clock: VirtualClock) -> None:
    await put(table, clock, "a", Input='"{\\"customer\\": \\"Ada\\"}"')
    await put(table, clock, "b", Output='{"customer":"Bob"}')
    await put(table, clock, "c", CustomStatus='"asking ada"', RuntimeStatus="Failed")

    async def places(text: str, selection: Selection = ALL) -> list[tuple[str, str]]:
        pages = [found async for found in search_payloads(table, text, selection)]
        return [(entry.instance_id, place) for page in pages for entry, place in page.matches]

    assert await places("ada") == [("a", "Input"), ("c", "CustomStatus")]
    assert await places('"customer": "ADA"') == [("a", "Input")]
    assert await places("ada", Selection(statuses=frozenset({"Failed"}))) == [("c", "CustomStatus")]
    assert await places("nobody") == []


class CountingTable:
    """A table that counts the rows that it returns."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.rows = 0
        self.name = table.name

    async def page(self, *arguments: object, **options: object) -> object:
        page = await self._table.page(*arguments, **options)  # type: ignore[arg-type]
        self.rows += len(page.rows)
        return page
