"""Messages, rows and blobs that cannot be read are set aside: logged once, while everything else continues."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstanceQuery
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.port import Operation, Row, TableOperation, Value
from tests.storage.bench import Bench

from . import poison
from .apps import app
from .world import World, messages_left, with_provider
from .world import open_world as open_world_of

pytestmark = pytest.mark.parametrize(
    "bench", ["memory", pytest.param("azurite", marks=[pytest.mark.azurite, pytest.mark.soak])], indirect=True
)

TEN_MINUTES = 600
# A limit of payloads that is quickly exceeded.
OPTIONS = replace(with_provider(max_queue_polling_interval=timedelta(seconds=30)), max_payload_bytes=1024 * 1024)


open_world = partial(open_world_of, options=OPTIONS)


@pytest.fixture
async def empty(bench: Bench) -> Bench:
    """The hub of this file. On Azurite, the tests before have left theirs."""
    await AzureStorageTaskHub(OPTIONS, bench.account, clock=bench.clock, new_id=new_id).delete()
    container = bench.account.container("testhub-largemessages")
    await container.create()
    for name, content in poison.BLOBS.items():
        await container.write(name, content)
    await container.write("poison/garbage-ExecutionStarted.json.gz", gzip.compress(b"garbage"))
    return bench


async def complete(world: World, ids: Sequence[str]) -> None:
    await asyncio.gather(*(world.start("chain", 1, id=id) for id in ids))
    for id in ids:
        assert (await world.ended(id)).output == "8"


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR", "CRITICAL")]


@pytest.mark.timeout(1500)  # Ten minutes on Azurite.
async def test_unreadable_messages_are_logged_once_and_stay(empty: Bench, caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, str] = {}
    async with open_world(empty.account, empty.clock, app()) as world:
        for queue, texts in (("testhub-control-00", poison.CONTROL), ("testhub-workitems", poison.WORK_ITEMS)):
            for name, text in texts.items():
                names[(await empty.account.queue(queue).put(text)).id] = name
        await complete(world, [f"before-{number}" for number in range(50)])
        await world.signal(poison.ENTITY, "add", 2)
        await empty.clock.sleep(TEN_MINUTES)
        await complete(world, [f"after-{number}" for number in range(50)])
        assert '"state": "2"' in str((await world.status(poison.ENTITY)).input).replace('":"', '": "')
        reported = Counter(names[found[1]] for line in lines_of(caplog) if (found := re.match(r"Message (\S+) ", line)))
        assert reported == Counter(names.values())
        assert len(lines_of(caplog)) == len(names)
        assert max(map(len, lines_of(caplog))) < 1500
    left = await messages_left(empty.account)
    assert left == {"testhub-control-00": len(poison.CONTROL), "testhub-workitems": len(poison.WORK_ITEMS)}


@pytest.mark.timeout(1500)  # Ten minutes on Azurite.
async def test_an_instance_with_an_unreadable_history_waits(empty: Bench, caplog: pytest.LogCaptureFixture) -> None:
    victims = poison.HISTORY
    await start_waiting(empty, victims)
    for id, (row_key, change) in victims.items():
        await apply(empty, "TestHubHistory", id, row_key, change)
    async with open_world(empty.account, empty.clock, app()) as world:
        for id in victims:
            await world.raise_event(id, "word", "hello")
        await complete(world, [f"before-{number}" for number in range(50)])
        await empty.clock.sleep(TEN_MINUTES)
        await complete(world, [f"after-{number}" for number in range(50)])
        for id in victims:
            assert (await world.status(id)).runtime_status is RuntimeStatus.RUNNING, id
        reported = Counter(found[1] for line in lines_of(caplog) if (found := re.match(r'Instance "(.*?)" ', line)))
        assert reported == Counter(victims.keys())
        assert len(lines_of(caplog)) == len(victims)
        assert max(map(len, lines_of(caplog))) < 1500
    assert sum((await messages_left(empty.account)).values()) == len(victims)


async def test_an_instance_runs_again_when_its_row_is_repaired(empty: Bench) -> None:
    await start_waiting(empty, ["victim"])
    history = empty.account.table("TestHubHistory")
    good = await history.read("victim", poison.STARTED)
    await apply(empty, "TestHubHistory", "victim", poison.STARTED, poison.column("EventId", "one"))
    async with open_world(empty.account, empty.clock, app()) as world:
        await world.raise_event("victim", "word", "hello")
        await empty.clock.sleep(5)
        await history.submit([TableOperation(Operation.INSERT_OR_REPLACE, good)])
        assert (await world.ended("victim")).output == '["hello"]'


async def test_unreadable_status_rows_do_not_fail_lists(empty: Bench, caplog: pytest.LogCaptureFixture) -> None:
    victims = poison.INSTANCES
    await start_waiting(empty, victims)
    for id, change in victims.items():
        await apply(empty, "TestHubInstances", id, "", change)
    async with open_world(empty.account, empty.clock, app()) as world:
        await complete(world, ["good"])
        for _ in range(3):
            page = await world.hub.query(InstanceQuery(limit=1000))
            assert {status.instance_id for status in page.instances} == {*victims, "good"}
            for id in victims:
                await world.status(id)
        lines = lines_of(caplog)
        assert len(lines) == len(set(lines))
        named = [id for id in victims if any(id in line for line in lines)]
        assert named == [
            "tags of words",
            "tags of a list",
            "tags nested deeply",
            "input in a start that cannot be read",
        ]
        for id in victims:
            await world.raise_event(id, "word", "hello")
        for id in victims:
            assert (await world.ended(id)).runtime_status is RuntimeStatus.COMPLETED


async def test_unreadable_partition_rows_do_not_keep_hosts_from_their_queues(
    empty: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(empty.account, empty.clock) as client:
        await client.hub.create()
    table = empty.account.table("TestHubPartitions")
    damaged: Sequence[Mapping[str, Value]] = [
        {"CurrentOwner": 5, "NextOwner": 5, "ExpiresAt": "soon", "IsDraining": "no"},
        {"CurrentOwner": "ghost", "ExpiresAt": Instant.parse("9999-12-31T23:59:59Z")},
        {"CurrentOwner": "ghost", "OwnedSince": 5, "LastRenewal": "x", "ExpiresAt": True},
        {},
    ]
    rows = [Row("", f"testhub-control-0{number}", columns) for number, columns in enumerate(damaged)]
    rows += [Row("", "nonsense", {}), Row("", "testhub-control-x", {}), Row("other", "testhub-control-00", {})]
    for row in rows:
        await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, row)])
    async with open_world(empty.account, empty.clock, app()) as world:
        await complete(world, [f"good-{number}" for number in range(20)])
    assert lines_of(caplog) == []


async def start_waiting(empty: Bench, ids: Iterable[str]) -> None:
    """Run orchestrations until they wait for an event; then the host stops."""
    async with open_world(empty.account, empty.clock, app()) as world:
        for id in ids:
            await world.start("listens", 1, id=id)
        for id in ids:
            await world.becomes(id, RuntimeStatus.RUNNING)


async def apply(empty: Bench, table_name: str, id: str, row_key: str, change: poison.RowChange) -> None:
    table = empty.account.table(table_name)
    before = await table.read(id, row_key)
    after = change(before)
    operation = (
        TableOperation(Operation.DELETE, before, before.etag)
        if after is None
        else TableOperation(Operation.REPLACE, after, before.etag)
    )
    await table.submit([operation])
