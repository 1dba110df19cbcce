"""Rewind: changed rows and woken instances, compared with recordings."""

from __future__ import annotations

from itertools import takewhile

import pytest

from emulator.clock import Clock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.tracking.rows import UnreadableRow
from emulator.durable.core.events import GenericEvent
from emulator.durable.hub import InstanceNotFound
from emulator.durable.options import DurableTaskOptions
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import Operation, Row, StorageAccount, Table, TableOperation, Value
from emulator.virtual_time import VirtualClock
from tests.recordings import GOLDEN, Write

HUBS = {"rewind": "GRewind", "rewind_with_child": "KRewindWithChild"}


def is_surgery(write: Write) -> bool:
    return write.table.endswith("History") and write.operation == "replace"


async def as_before_the_rewind(account: StorageAccount, clock: Clock, scenario: str) -> AzureStorageTaskHub:
    """The hub as the recorded writes had made it."""
    hub = AzureStorageTaskHub(DurableTaskOptions(hub_name=HUBS[scenario]), account, clock=clock, new_id=new_id)
    await hub.create()
    for write in takewhile(lambda write: not is_surgery(write), GOLDEN.writes(scenario)):
        kind = Operation.INSERT_OR_REPLACE if write.operation == "insert or replace" else Operation.INSERT_OR_MERGE
        if not write.table.endswith("Partitions"):
            await account.table(write.table).submit([TableOperation(kind, write.row)])
    return hub


async def stored(account: StorageAccount, write: Write) -> dict[str, Value]:
    row = await account.table(write.table).read(write.partition_key, write.row_key)
    return dict(row.properties)


@pytest.mark.parametrize("scenario", sorted(HUBS))
async def test_rewound_rows_equal_the_recording(scenario: str, account: StorageAccount, clock: VirtualClock) -> None:
    hub = await as_before_the_rewind(account, clock, scenario)
    before = {name: [row async for row in query_rows(account.table(name))] for name in (f"{hub.name}History",)}
    await hub.rewind("i1", "fixed")
    changed = [write for write in GOLDEN.writes(scenario) if is_surgery(write)]
    assert changed
    for write in changed:
        assert await stored(account, write) == write.columns
    keys = {(write.partition_key, write.row_key) for write in changed}
    for row in before[f"{hub.name}History"]:
        if (row.partition_key, row.row_key) not in keys:
            assert await account.table(f"{hub.name}History").read(row.partition_key, row.row_key) == row
    assert {await status_of(hub, write.partition_key) for write in changed} == {"Pending"}


async def status_of(hub: AzureStorageTaskHub, instance_id: str) -> str:
    found = await hub.status(instance_id)
    assert found is not None
    assert found.runtime_status is not None
    return found.runtime_status.wire_name


@pytest.mark.parametrize("scenario", sorted(HUBS))
async def test_instances_without_failed_children_are_woken(
    scenario: str, account: StorageAccount, clock: VirtualClock
) -> None:
    hub = await as_before_the_rewind(account, clock, scenario)
    await hub.rewind("i1", "fixed")
    recorded = [wire.decode(text) for _, text in GOLDEN.messages(scenario)]
    [expected] = [each.message for each in recorded if each.message and isinstance(each.message.event, GenericEvent)]
    queue = account.queue(HubNames(hub=hub.name, partition_count=4).control_queue_of(expected.target.instance_id))
    [sent] = await queue.peek(limit=32)
    message = wire.decode(sent.body).message
    assert message is not None
    assert message.target == expected.target
    assert message.event == GenericEvent(timestamp=Instant.of(clock.now()), data="fixed")


async def test_rewind_can_be_repeated(account: StorageAccount, clock: VirtualClock) -> None:
    hub = await as_before_the_rewind(account, clock, "rewind_with_child")
    await hub.rewind("i1", "fixed")
    before = [row async for row in query_rows(account.table(f"{hub.name}History"))]
    await hub.rewind("i1", "fixed")
    assert [row async for row in query_rows(account.table(f"{hub.name}History"))] == before


@pytest.mark.parametrize(
    ("scenario", "event_type", "column", "value"),
    [
        ("rewind", "TaskFailed", "TaskScheduledId", "3"),
        ("rewind_with_child", "SubOrchestrationInstanceCreated", "InstanceId", None),
        ("rewind_with_child", "SubOrchestrationInstanceCreated", "InstanceId", 5),
        ("rewind", None, "ExecutionId", None),
    ],
)
async def test_a_damaged_row_is_named(
    scenario: str,
    event_type: str | None,
    column: str,
    value: Value | None,
    account: StorageAccount,
    clock: VirtualClock,
) -> None:
    hub = await as_before_the_rewind(account, clock, scenario)
    row = await damaged(account.table(f"{hub.name}History"), event_type, column, value)
    with pytest.raises(UnreadableRow, match=f"History row {row.row_key} of partition i1 .*column {column}"):
        await hub.rewind("i1", "fixed")


async def test_a_row_that_names_its_own_instance_as_child_is_harmless(
    account: StorageAccount, clock: VirtualClock
) -> None:
    hub = await as_before_the_rewind(account, clock, "rewind_with_child")
    table = account.table(f"{hub.name}History")
    await damaged(table, "SubOrchestrationInstanceCreated", "InstanceId", "i1")
    await hub.rewind("i1", "fixed")
    assert await status_of(hub, "i1") == "Pending"


async def damaged(table: Table, event_type: str | None, column: str, value: Value | None) -> Row:
    """Change a column of the row of i1 with this type, None: of its sentinel, and return it. None: no column."""
    rows = [row async for row in query_rows(table) if row.partition_key == "i1"]
    row = next(row for row in rows if row.properties.get("EventType") == event_type)
    properties = {name: old for name, old in row.properties.items() if name != column}
    changed = Row(row.partition_key, row.row_key, properties if value is None else {**properties, column: value})
    await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, changed)])
    return changed


async def test_unstarted_instance_cannot_be_rewound(account: StorageAccount, clock: VirtualClock) -> None:
    hub = AzureStorageTaskHub(DurableTaskOptions(hub_name="Empty"), account, clock=clock, new_id=new_id)
    with pytest.raises(InstanceNotFound, match='no instance with the id "i9"'):
        await hub.rewind("i9", None)
