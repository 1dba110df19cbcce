"""Recordings of hosts rather than of work: two on one hub, and one that has nothing to do. Ours, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from emulator.background import background
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.engine.worker import engine
from emulator.durable.options import DurableTaskOptions
from emulator.ids import new_id
from emulator.storage.paging import query_rows
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock, VirtualTimeLoop
from tests.recordings import GOLDEN
from tests.waiting import eventually

from .apps import app
from .crashing import CrashPoint
from .world import World, with_provider

Owners = Mapping[str, Any]


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    """Time that stops at every poll and renewal, too."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    with loop.clock.running(upkeep=True):
        yield loop.clock


@dataclass
class Watch:
    """Looks who owns what, over and over. `seen`: per queue or blob, what was new at which time."""

    look: Callable[[], Awaitable[Owners]]
    clock: VirtualClock
    seen: dict[str, list[tuple[float, Any]]] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Watch]:
        async with background(self._watch()):
            yield self

    async def _watch(self) -> None:
        began = self.clock.now()
        while True:
            for name, owner in (await self.look()).items():
                changes = self.seen.setdefault(name, [])
                if not changes or changes[-1][1] != owner:
                    changes.append(((self.clock.now() - began).total_seconds(), owner))
            await self.clock.sleep(0.02)

    async def until(self, fact: Callable[[Owners], bool]) -> float:
        """How long it took."""
        began = self.clock.now()

        async def is_so() -> bool:
            return fact(await self.look())

        await eventually(is_so, "owners of the queues", within=300, clock=self.clock)
        return (self.clock.now() - began).total_seconds()


def recorded(scenario: str) -> Any:
    """The last line: what was seen over time, and when the first host was killed."""
    return GOLDEN.calls(scenario)[-1]


@asynccontextmanager
async def host(
    account: StorageAccount, clock: VirtualClock, options: DurableTaskOptions, name: str
) -> AsyncIterator[World]:
    hub = AzureStorageTaskHub(options, account, clock=clock, new_id=new_id, worker_id=name)
    async with hub.working(), engine(hub, app(), options, clock=clock):
        yield World(hub, clock)


async def play(
    account: StorageAccount, clock: VirtualClock, options: DurableTaskOptions, watch: Watch, shared: Owners
) -> float:
    """The second host joins, work is done, the first is killed. How long the second took to own all."""
    crash = CrashPoint()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(host(crash.account(account), clock, options, "vm"))
        await watch.until(lambda owners: bool(owners) and set(map(str, owners.values())) == {str(ALL_OF_ONE)})
        await stack.enter_async_context(watch.running())
        second = await stack.enter_async_context(host(account, clock, options, "second"))
        await watch.until(lambda owners: owners == shared)
        for number in range(8):
            await first.start("chain", 1, id=f"w{number}")
        for number in range(8):
            assert (await second.ended(f"w{number}")).output == "8"
        crash.happened.set()
        took = await watch.until(lambda owners: {str(owner[0]) for owner in owners.values()} == {"second"})
        await clock.sleep(1)
        return took


ALL_OF_ONE = ("vm", None, False)


async def test_two_hosts_go_through_the_recorded_states(account: StorageAccount, clock: VirtualClock) -> None:
    record = recorded("two_hosts")
    options = DurableTaskOptions(hub_name="GTwoHosts")

    async def look() -> Owners:
        rows = [row async for row in query_rows(account.table("GTwoHostsPartitions"))]
        names = ("CurrentOwner", "NextOwner", "IsDraining")
        return {row.row_key[-2:]: tuple(row.properties.get(name) for name in names) for row in rows}

    watch = Watch(look, clock)
    shared = {queue: tuple(owner) for queue, owner in record["seen"][-2]["owners"].items()}
    took = await play(account, clock, options, watch, shared)
    theirs: dict[str, list[tuple[float, Any]]] = {}
    for moment in record["seen"]:
        for queue, owner in moment["owners"].items():
            changes = theirs.setdefault(queue, [])
            if not changes or changes[-1][1] != tuple(owner):
                changes.append((moment["t"], tuple(owner)))
    for queue, changes in theirs.items():
        ours = [owner for _, owner in watch.seen[queue]]
        assert is_part_of(ours, [owner for _, owner in changes]), queue
        assert (ours[0], ours[-1]) == (changes[0][1], changes[-1][1])
    # The owner looks every ten seconds whether somebody asks, then .NET took another second and a half.
    (asked, _), *_, (given, _) = watch.seen["00"][1:]
    (noticed, _), *_, (taken, _) = theirs["00"][2:]
    assert given - asked <= 10 + taken - noticed
    assert took <= record["seen"][-1]["t"] - record["killed_first_at"]


def is_part_of(some: list[Any], whole: list[Any]) -> bool:
    """In order, with gaps: what lasts only for a moment may be missed."""
    left = iter(whole)
    return all(any(each == other for other in left) for each in some)


async def test_two_hosts_on_blob_leases_end_as_recorded(account: StorageAccount, clock: VirtualClock) -> None:
    record = recorded("two_hosts_blob_leases")
    options = with_provider(DurableTaskOptions(hub_name="LTwoHostsBlobLeases"), use_table_partition_management=False)
    container = account.container("ltwohostsblobleases-leases")

    async def look() -> Owners:
        if not await container.exists():
            return {}
        names = [blob.name async for blob in container.list() if blob.name != "taskhub.json"]
        found = {name: json.loads(await container.read(name)) for name in names}
        return {name: (lease["Owner"], None, False) for name, lease in found.items()}

    def owners(moment: Any) -> Owners:
        texts = {name: json.loads(blob["text"]) for name, blob in moment["blobs"].items() if name != "taskhub.json"}
        return {name: (lease["Owner"], None, False) for name, lease in texts.items()}

    watch = Watch(look, clock)
    took = await play(account, clock, options, watch, owners(record["seen"][-2]))
    for name in owners(record["seen"][0]):
        theirs, ours = (owners(moment)[name] for moment in record["seen"]), [owner for _, owner in watch.seen[name]]
        # Ours gives an ownership back when it has drained; theirs lets it expire.
        assert is_part_of(list(dict.fromkeys(theirs)), ours), name
        assert ours[-1] == ("second", None, False)
    assert took <= record["seen"][-1]["t"] - record["killed_first_at"]


async def test_an_idle_host_asks_no_more_than_the_recorded_one(account: StorageAccount, clock: VirtualClock) -> None:
    """Three minutes with the default settings."""
    allowed = GOLDEN.idle_requests("idle_three_minutes")["not listed"]
    counting = CrashPoint()
    async with host(counting.account(account), clock, DurableTaskOptions(hub_name="Idle"), "vm"):
        await clock.sleep(1)
        before = counting.calls
        await clock.sleep(timedelta(minutes=3).total_seconds())
        asked = Counter(map(kind, counting.log[before:]))
    assert 0 < asked["empty poll"] <= allowed["empty poll"]
    assert 0 < asked["partition upkeep"] <= allowed["partition upkeep"]
    assert 0 < asked["app lease"] <= allowed["app lease"]
    assert set(asked) == set(allowed)


def kind(call: str) -> str:
    verb, _, name = call.partition(" ")
    if verb == "get":
        return "empty poll"
    return "partition upkeep" if name == "IdlePartitions" else "app lease"
