"""Instance queries: filters, pages, entities, and purge by filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.azurestorage.tracking.instances import condition
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstanceQuery, InstanceStatus, PurgeFilter
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.recordings import GOLDEN
from tests.recordings.loading import load_hub

from .apps import app
from .world import OPTIONS, World, messages_left, open_world

NOON = Instant.parse("2026-03-01T12:00:00Z")


async def found(world: World, query: InstanceQuery) -> list[str]:
    """All pages."""
    ids: list[str] = []
    while True:
        page = await world.hub.query(query)
        ids += [each.instance_id for each in page.instances]
        if page.continuation is None:
            return ids
        query = replace(query, continuation=page.continuation)


@pytest.fixture
async def world(account: StorageAccount, clock: VirtualClock) -> World:
    """order1, order10, order2, a/b and b in five states, a minute apart, and two entities."""
    async with open_world(account, clock, app()) as world:
        await world.start("chain", 1, id="order1")
        await world.ended("order1")
        await clock.sleep(60)
        await world.start("fails", 1, id="order10")
        await world.ended("order10")
        await clock.sleep(60)
        await world.start("listens", 1, id="order2")
        await world.start("listens", 1, id="a/b")
        await world.becomes("a/b", RuntimeStatus.RUNNING)
        await world.terminate("a/b", "enough")
        await world.ended("a/b")
        await world.start("listens", 1, id="b")
        await world.becomes("b", RuntimeStatus.RUNNING)
        await world.suspend("b")
        await world.becomes("b", RuntimeStatus.SUSPENDED)
        for entity in ("@cart@a", "@counter@x"):
            await world.signal(entity, "add", 1)
            await world.becomes(entity, RuntimeStatus.RUNNING)
        return world


ALL = ["@cart@a", "@counter@x", "a/b", "b", "order1", "order10", "order2"]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        pytest.param(InstanceQuery(), ALL, id="all"),
        pytest.param(InstanceQuery(limit=1), ALL, id="one per page"),
        pytest.param(InstanceQuery(limit=3), ALL, id="three per page"),
        pytest.param(InstanceQuery(prefix="order1"), ["order1", "order10"], id="prefix"),
        pytest.param(InstanceQuery(prefix="a/"), ["a/b"], id="prefix with a character that is escaped"),
        pytest.param(InstanceQuery(prefix="nothing"), [], id="prefix without instances"),
        pytest.param(InstanceQuery(entities_only=True), ["@cart@a", "@counter@x"], id="entities"),
        pytest.param(InstanceQuery(entities_only=True, entity_name="cart"), ["@cart@a"], id="entities of a name"),
        pytest.param(InstanceQuery(entity_name="car"), [], id="no entities of half a name"),
        pytest.param(InstanceQuery(statuses=frozenset({RuntimeStatus.COMPLETED})), ["order1"], id="one status"),
        pytest.param(
            InstanceQuery(statuses=frozenset({RuntimeStatus.FAILED, RuntimeStatus.SUSPENDED})),
            ["b", "order10"],
            id="two statuses",
        ),
        pytest.param(
            InstanceQuery(prefix="order", statuses=frozenset({RuntimeStatus.RUNNING}), limit=1), ["order2"], id="both"
        ),
    ],
)
async def test_a_query_finds(query: InstanceQuery, ids: Sequence[str], world: World) -> None:
    assert await found(world, query) == ids


async def test_times_are_inclusive(world: World) -> None:
    second = (await status_of(world, "order10")).created_at
    assert await found(world, InstanceQuery(created_to=second, prefix="order")) == ["order1", "order10"]
    assert await found(world, InstanceQuery(created_from=second, prefix="order")) == ["order10", "order2"]
    assert await found(world, InstanceQuery(created_from=second, created_to=second)) == ["order10"]


async def test_inputs_and_outputs_are_returned_on_request(world: World) -> None:
    query = InstanceQuery(prefix="order1", limit=1)
    for with_input in (True, False):
        for with_output in (True, False):
            page = await world.hub.query(replace(query, with_input=with_input, with_output=with_output))
            [status] = page.instances
            assert (status.input, status.output) == ("1" if with_input else None, "8" if with_output else None)
            assert status.name == "chain"


async def status_of(world: World, id: str) -> InstanceStatus:
    status = await world.hub.status(id)
    assert status is not None
    return status


def test_filters_equal_those_of_dotnet() -> None:
    query = InstanceQuery(created_to=NOON, entities_only=True)
    assert rendered(query) == (
        "((CreatedTime le datetime'2026-03-01T12:00:00.0000000Z') and (PartitionKey ge '@')) and (PartitionKey lt 'A')"
    )
    assert (
        rendered(InstanceQuery(entity_name="counter"))
        == "(PartitionKey ge '@counter@') and (PartitionKey lt '@counterA')"
    )
    assert (
        rendered(InstanceQuery(prefix="O'Brien/"))
        == "(PartitionKey ge 'O''Brien^0') and (PartitionKey lt 'O''Brien^1')"
    )
    assert condition(InstanceQuery()) is None


def rendered(query: InstanceQuery) -> str:
    where = condition(query)
    assert where is not None
    return where.odata()


def test_prefix_may_end_with_any_character() -> None:
    for last in ("\ud7ff", "\uffff", "\U0010ffff", "🐍"):
        rendered(InstanceQuery(prefix=f"a{last}")).encode()


# Purge -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statuses", "purged"),
    [
        pytest.param({RuntimeStatus.COMPLETED}, ["order1"], id="completed"),
        pytest.param({RuntimeStatus.COMPLETED, RuntimeStatus.RUNNING}, ["order1"], id="running ones are not meant"),
        pytest.param(
            {RuntimeStatus.COMPLETED, RuntimeStatus.FAILED, RuntimeStatus.TERMINATED},
            ["a/b", "order1", "order10"],
            id="all that ended",
        ),
        pytest.param(set(), ALL, id="without a status everything goes, as in .NET"),
    ],
)
async def test_a_purge_by_filter(
    statuses: set[RuntimeStatus], purged: Sequence[str], world: World, account: StorageAccount
) -> None:
    early = world.now + timedelta(days=-1)
    result = await world.hub.purge_many(PurgeFilter(created_from=early, statuses=frozenset(statuses)))
    assert result.instances == len(purged)
    assert await found(world, InstanceQuery()) == [id for id in ALL if id not in purged]
    for id in purged:
        assert await world.hub.history(id) == ()


async def test_a_purge_respects_its_time_bounds(world: World) -> None:
    second = (await status_of(world, "order10")).created_at
    result = await world.hub.purge_many(PurgeFilter(created_from=second, created_to=second))
    assert result.instances == 1
    assert "order10" not in await found(world, InstanceQuery())


async def test_purged_instance_can_be_started_again(account: StorageAccount, clock: VirtualClock) -> None:
    script = app()
    async with open_world(account, clock, script) as world:
        for _ in range(3):
            await world.start("chain", 1)
            status = await world.ended()
            assert (status.output, status.generation) == ("8", 0)
            await world.hub.purge("i1")
        assert len(script.ran) == 9
    assert await messages_left(account) == {}


async def test_purged_running_instance_does_not_come_back(account: StorageAccount, clock: VirtualClock) -> None:
    async with open_world(account, clock) as client, open_world(account, clock, app()) as world:
        await world.start("listens", 1)
        await world.becomes("i1", RuntimeStatus.RUNNING)
        await client.hub.purge("i1")
        await client.raise_event("i1", "word", "hello?")
        await clock.sleep(60)
        assert await world.hub.status("i1") is None
        assert await messages_left(account) == {}


@pytest.mark.parametrize("scenario", ["chain", "entity_signals_python", "terminate", "custom_status", "purge"])
async def test_recorded_hubs_can_be_read(scenario: str, account: StorageAccount, clock: VirtualClock) -> None:
    await load_hub(account, GOLDEN.hub(scenario), "TestHub")
    hub = AzureStorageTaskHub(OPTIONS, account, clock=clock, new_id=new_id)
    page = await hub.query(InstanceQuery())
    for status in page.instances:
        assert status == await hub.status(status.instance_id)
        assert status.runtime_status is not None
        assert await hub.history(status.instance_id)
