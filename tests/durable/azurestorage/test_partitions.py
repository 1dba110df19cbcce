"""Partition managers on one hub: every host gets its share, and no queue has two owners."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from emulator.clock import Clock
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.partitioning.blob_partitions import LegacyPartitions, SafePartitions
from emulator.durable.azurestorage.partitioning.partition_manager import PartitionManager
from emulator.durable.azurestorage.partitioning.table_partitions import (
    LEASE,
    Partition,
    PartitionPlan,
    TablePartitions,
    partition_row,
    partitions_to_steal,
    plan_partition,
    read_partition,
)
from emulator.ids import new_id
from emulator.instant import Instant
from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock, VirtualTimeLoop
from tests.recordings import GOLDEN, rows_of
from tests.storage.bench import Bench, unique
from tests.storage_calls import StorageCalls
from tests.waiting import eventually

from .crashing import CrashPoint

NOON = Instant.parse("2026-03-01T12:00:00Z")


# Rules -------------------------------------------------------------------------------------------------------


def row(
    owner: str | None = None, *, next_owner: str | None = None, left: float = 20, drains: bool = False
) -> Partition:
    """`left`: seconds until the lease ends."""
    expires = None if owner is None else NOON + timedelta(seconds=left)
    return Partition(
        queue_name="q",
        owner=owner,
        next_owner=next_owner,
        expires_at=expires,
        last_renewal=None if expires is None else expires + -LEASE,
        is_draining=drains,
    )


@pytest.mark.parametrize(
    ("before", "owner", "next_owner", "future_owner", "must_drain"),
    [
        pytest.param(row(), "me", None, "me", False, id="a free row is claimed"),
        pytest.param(row("you", left=0), "me", None, "me", False, id="what ran out is taken"),
        pytest.param(row("you", next_owner="her", left=-1), "me", None, "me", False, id="ran out while being stolen"),
        pytest.param(row(None, next_owner="me"), "me", None, "me", False, id="released to me"),
        pytest.param(row("you"), "you", None, "you", False, id="others' queues are left alone"),
        pytest.param(row("you", next_owner="her"), "you", "her", "her", False, id="stolen by a third"),
        pytest.param(row("you", next_owner="me"), "you", "me", "me", False, id="waiting for the release"),
        pytest.param(row("you", drains=True), "you", "me", "me", False, id="a stopping host's queue is asked for"),
        pytest.param(row("me", next_owner="you"), "me", "you", "you", True, id="mine, and wanted"),
        pytest.param(row("me"), "me", None, "me", False, id="mine"),
    ],
)
def test_plan_of_a_row(
    before: Partition, owner: str, next_owner: str | None, future_owner: str, must_drain: bool
) -> None:
    after = plan_partition(before, "me", NOON, stopping=False)
    assert (after.partition.owner, after.partition.next_owner) == (owner, next_owner)
    assert (after.future_owner, after.must_drain) == (future_owner, must_drain)


def test_a_released_queue_that_its_next_owner_does_not_claim_is_free_when_the_old_lease_ends() -> None:
    released = Partition(queue_name="q", next_owner="you", expires_at=NOON + timedelta(seconds=5))
    assert plan_partition(released, "me", NOON, stopping=False).partition == released
    assert plan_partition(released, "me", NOON + timedelta(seconds=5), stopping=False).partition.owner == "me"


def test_a_lease_is_renewed_after_ten_seconds_and_not_in_every_pass() -> None:
    fresh = row("me", left=29)
    assert plan_partition(fresh, "me", NOON, stopping=False).partition == fresh
    old = plan_partition(row("me", left=20), "me", NOON, stopping=False).partition
    assert old.expires_at == NOON + LEASE


def test_a_stopping_host_claims_nothing_and_drains_all_its_queues() -> None:
    assert plan_partition(row(), "me", NOON, stopping=True).partition == row()
    assert plan_partition(row("me"), "me", NOON, stopping=True).must_drain


def shares(**counts: int) -> list[PartitionPlan]:
    return [
        PartitionPlan(partition=Partition(queue_name=f"{owner}{number}", owner=owner), future_owner=owner)
        for owner, count in counts.items()
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("counts", "stolen"),
    [
        ({"you": 4}, 2),
        ({"you": 1}, 0),
        ({"you": 3, "me": 1}, 1),
        ({"you": 2, "me": 2}, 0),
        ({"you": 3, "me": 2}, 0),
        ({"you": 8, "her": 8}, 5),
        ({"you": 6, "her": 5, "me": 5}, 0),
        ({"you": 7, "her": 4, "me": 5}, 1),
        ({"me": 4}, 0),
    ],
)
def test_number_of_queues_to_steal(counts: dict[str, int], stolen: int) -> None:
    assert len(partitions_to_steal(shares(**counts), "me")) == stolen


@pytest.mark.parametrize("scenario", ["two_hosts", "chain"])
def test_recorded_rows_survive_reading_and_writing(scenario: str) -> None:
    for found in rows_of(GOLDEN.hub(scenario), "Partitions"):
        assert partition_row(read_partition(found)) == found
    for write in GOLDEN.writes(scenario):
        if write.table.endswith("Partitions"):
            ours = partition_row(read_partition(write.row))
            assert list(ours.properties.items()) == list(write.columns.items())


# Managers ----------------------------------------------------------------------------------------------------


@dataclass
class Readers:
    """Who reads which queue, over all hosts. `doubled`: queues that ever had two readers at a time."""

    reading: dict[str, set[str]] = field(default_factory=dict)
    doubled: set[str] = field(default_factory=set)

    def share(self, host: str) -> int:
        return sum(host in hosts for hosts in self.reading.values())


@dataclass
class Host:
    """A `Listener` that reads nothing, but says so. `episodes`: queues with an episode under way."""

    name: str
    readers: Readers
    manager: PartitionManager
    clock: Clock
    episodes: dict[str, asyncio.Event] = field(default_factory=dict)
    is_dead: bool = False

    async def open(self, queue_name: str) -> None:
        if self.is_dead:
            return
        hosts = self.readers.reading.setdefault(queue_name, set())
        hosts.add(self.name)
        if len(hosts) > 1:
            self.readers.doubled.add(queue_name)

    async def close(self, queue_name: str) -> None:
        self.readers.reading.get(queue_name, set()).discard(self.name)

    def is_active(self, queue_name: str) -> bool:
        return queue_name in self.episodes

    async def wait_until_inactive(self, queue_name: str) -> None:
        while queue_name in self.episodes:
            await self.episodes[queue_name].wait()

    def die(self) -> None:
        self.is_dead = True
        for hosts in self.readers.reading.values():
            hosts.discard(self.name)

    def begin(self, queue_name: str) -> None:
        self.episodes[queue_name] = asyncio.Event()

    def end(self, queue_name: str) -> None:
        self.episodes.pop(queue_name).set()


NewManager = Callable[[StorageAccount, HubNames, str, Clock], PartitionManager]


def table_manager(account: StorageAccount, names: HubNames, me: str, clock: Clock) -> PartitionManager:
    table = account.table(names.partitions_table)
    return TablePartitions(table, names.control_queues, me, clock, timeout=timedelta(seconds=2))


def safe_manager(account: StorageAccount, names: HubNames, me: str, clock: Clock) -> PartitionManager:
    return SafePartitions(account.container(names.lease_container), names, me, clock, new_id)


def legacy_manager(account: StorageAccount, names: HubNames, me: str, clock: Clock) -> PartitionManager:
    return LegacyPartitions(account.container(names.lease_container), names, me, clock, new_id)


@dataclass
class Hub:
    account: StorageAccount
    clock: Clock
    new_manager: NewManager
    names: HubNames
    readers: Readers = field(default_factory=Readers)

    @asynccontextmanager
    async def host(self, name: str, account: StorageAccount | None = None) -> AsyncIterator[Host]:
        manager = self.new_manager(account or self.account, self.names, name, self.clock)
        await manager.create()
        host = Host(name, self.readers, manager, self.clock)
        async with manager.owning(host):
            yield host

    async def until(self, fact: Callable[[], bool], *, seconds: float = 120) -> float:
        """Wait for it; how many seconds it took."""
        began = self.clock.now()
        await eventually(fact, "state of the partitions", within=seconds, clock=self.clock, every=0.1)
        return (self.clock.now() - began).total_seconds()

    async def settled(self, *hosts: str, seconds: float = 120) -> float:
        """All queues are read, and no host has two more than another."""

        def fact() -> bool:
            counts = [self.readers.share(host) for host in hosts]
            return sum(counts) == self.names.partition_count and max(counts) - min(counts) <= 1

        return await self.until(fact, seconds=seconds)


@pytest.fixture
async def upkeep_clock() -> AsyncIterator[VirtualClock]:
    """Time that stops at every renewal, too."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    with loop.clock.running(upkeep=True):
        yield loop.clock


@pytest.fixture
async def store(upkeep_clock: VirtualClock) -> AsyncIterator[StorageAccount]:
    async with open_builtin(None, upkeep_clock) as account:
        yield account


SAFE_ONES = [pytest.param(table_manager, id="table"), pytest.param(safe_manager, id="safe")]
ALL = [*SAFE_ONES, pytest.param(legacy_manager, id="legacy")]


@pytest.mark.parametrize("new_manager", ALL)
async def test_a_single_host_reads_all_queues_at_once(
    new_manager: NewManager, store: StorageAccount, upkeep_clock: VirtualClock
) -> None:
    hub = Hub(store, upkeep_clock, new_manager, HubNames(hub="One", partition_count=4))
    async with hub.host("a"):
        assert await hub.settled("a") < 1
        await upkeep_clock.sleep(300)
        assert hub.readers.share("a") == 4
    assert hub.readers.share("a") == 0


@pytest.mark.parametrize("content", [b"", b"[]", b"not json"])
@pytest.mark.parametrize("new_manager", [safe_manager, legacy_manager])
async def test_a_damaged_lease_record_is_a_free_queue(
    new_manager: NewManager, content: bytes, store: StorageAccount, upkeep_clock: VirtualClock
) -> None:
    hub = Hub(store, upkeep_clock, new_manager, HubNames(hub="One", partition_count=4))
    await new_manager(store, hub.names, "a", upkeep_clock).create()
    leases = store.container(hub.names.lease_container)
    for name in [blob.name async for blob in leases.list() if blob.name.endswith("-control-02")]:
        await leases.write(name, content)
    async with hub.host("a"):
        assert await hub.settled("a") < 1


@pytest.mark.parametrize("new_manager", [safe_manager, legacy_manager])
async def test_a_pass_that_fails_again_and_again_is_reported_once(
    new_manager: NewManager, store: StorageAccount, upkeep_clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = StorageCalls()
    hub = Hub(calls.around(store), upkeep_clock, new_manager, HubNames(hub="One", partition_count=4))
    async with hub.host("a"):
        await hub.settled("a")
        calls.failing["lease renew", ""] = ZeroDivisionError("a defect")
        await hub.until(lambda: calls.failed >= 5, seconds=600)
        calls.failing.clear()
        await hub.settled("a")
        await upkeep_clock.sleep(60)
    assert caplog.text.count("leases of the control queues failed and is retried") == 1
    assert caplog.text.count("leases of the control queues works again") == 1


@pytest.mark.parametrize("partitions", [4, 16])
@pytest.mark.parametrize("new_manager", ALL)
async def test_hosts_that_join_get_their_share(
    new_manager: NewManager, partitions: int, store: StorageAccount, upkeep_clock: VirtualClock
) -> None:
    hub = Hub(store, upkeep_clock, new_manager, HubNames(hub="Some", partition_count=partitions))
    async with hub.host("a"), hub.host("b"):
        await hub.settled("a", "b", seconds=600)
        async with hub.host("c"):
            await hub.settled("a", "b", "c", seconds=600)
        await hub.settled("a", "b", seconds=600)
    if new_manager is not legacy_manager:
        assert hub.readers.doubled == set()


async def test_a_stopped_host_hands_over_within_a_second(store: StorageAccount, upkeep_clock: VirtualClock) -> None:
    hub = Hub(store, upkeep_clock, table_manager, HubNames(hub="Some", partition_count=4))
    async with hub.host("a"):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(hub.host("b"))
            await hub.settled("a", "b")
            await hub.until(lambda: hub.readers.share("b") == 2)
            began = upkeep_clock.now()
            await stack.aclose()
            assert upkeep_clock.now() - began < timedelta(seconds=1)
        assert await hub.settled("a") < 1


@pytest.mark.parametrize("new_manager", SAFE_ONES)
async def test_a_dead_hosts_queues_are_taken_over_when_its_leases_end(
    new_manager: NewManager, store: StorageAccount, upkeep_clock: VirtualClock
) -> None:
    hub = Hub(store, upkeep_clock, new_manager, HubNames(hub="Some", partition_count=4))
    crash = CrashPoint()
    async with hub.host("a"):
        async with hub.host("b", crash.account(store)) as b:
            await hub.settled("a", "b")
            crash.happened.set()
            b.die()
            assert 15 < await hub.settled("a") < 42
        assert hub.readers.doubled == set()


@pytest.mark.parametrize("new_manager", ALL)
async def test_a_host_with_the_name_of_a_dead_one_owns_its_queues_at_once(
    new_manager: NewManager, store: StorageAccount, upkeep_clock: VirtualClock
) -> None:
    """It has the name of the dead one, which no other has: see succession/seats.py."""
    hub = Hub(store, upkeep_clock, new_manager, HubNames(hub="Some", partition_count=4))
    crash = CrashPoint()
    async with hub.host("a"):
        async with hub.host("b", crash.account(store)) as b:
            await hub.settled("a", "b")
            crash.happened.set()
            b.die()
        async with hub.host("b"):
            assert await hub.settled("a", "b") < 1
            await upkeep_clock.sleep(60)
            assert hub.readers.share("b") == 2
    if new_manager is not legacy_manager:
        assert hub.readers.doubled == set()


@pytest.mark.parametrize("new_manager", SAFE_ONES)
async def test_a_host_does_not_confirm_leases_that_ran_out(
    new_manager: NewManager, store: StorageAccount, upkeep_clock: VirtualClock
) -> None:
    hub = Hub(store, upkeep_clock, new_manager, HubNames(hub="Some", partition_count=4))
    crash = CrashPoint()
    async with hub.host("a", crash.account(store)) as host:
        await hub.settled("a")
        name = hub.names.control_queue(0)
        assert await host.manager.confirm(name)
        crash.happened.set()
        await upkeep_clock.sleep(31)
        assert not await host.manager.confirm(name)


async def test_a_host_that_was_stopped_renews_its_lease_before_it_continues(
    account: StorageAccount, clock: VirtualClock
) -> None:
    hub = Hub(account, clock, table_manager, HubNames(hub="Some", partition_count=4))
    async with hub.host("a") as host:
        await hub.settled("a")
        await clock.sleep(86_400)  # Upkeep does not make time stop: the leases ran out long ago.
        assert await host.manager.confirm(hub.names.control_queue(2))


@pytest.mark.parametrize("new_manager", SAFE_ONES)
async def test_a_queue_is_handed_over_after_its_running_episode(
    new_manager: NewManager, store: StorageAccount, upkeep_clock: VirtualClock
) -> None:
    hub = Hub(store, upkeep_clock, new_manager, HubNames(hub="Some", partition_count=2))
    first, second = hub.names.control_queues
    async with hub.host("a") as a:
        await hub.settled("a")
        a.begin(first)
        a.begin(second)
        async with hub.host("b"):
            await hub.until(lambda: hub.readers.share("a") == 1)
            await upkeep_clock.sleep(20)
            assert hub.readers.share("b") == 0
            assert all([await a.manager.confirm(name) for name in hub.names.control_queues])
            a.end(first)
            a.end(second)
            await hub.settled("a", "b")
    assert hub.readers.doubled == set()


async def test_queues_above_the_partition_count_are_read(
    store: StorageAccount, upkeep_clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    larger = Hub(store, upkeep_clock, table_manager, HubNames(hub="Some", partition_count=6))
    async with larger.host("a"):
        await larger.settled("a")
    smaller = Hub(store, upkeep_clock, table_manager, HubNames(hub="Some", partition_count=4))
    async with smaller.host("a"):
        await smaller.until(lambda: smaller.readers.share("a") == 6)
    assert "created with 6 control queues, but partitionCount in host.json is 4" in caplog.text


@pytest.mark.parametrize("new_manager", ALL)
async def test_two_hosts_share_a_hub_on_a_real_server(new_manager: NewManager, bench: Bench) -> None:
    names = HubNames(hub=unique("Hub"), partition_count=2)
    hub = Hub(bench.account, bench.clock, new_manager, names)
    async with hub.host("a"):
        await hub.settled("a")
    async with hub.host("b"):
        await hub.settled("b", seconds=20)  # Long before the leases would have run out.
