"""Several host processes on one hub: sharing, hand-over, and takeover after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.config.connections import StorageConnection
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.core.events import ExecutionCompleted, ExecutionStarted
from emulator.durable.core.identity import RuntimeStatus
from emulator.ids import new_id
from emulator.storage.paging import query_rows
from emulator.storage.port import LeaseState, StorageAccount
from emulator.storage.rest import open_account
from tests.storage.bench import unique
from tests.waiting import eventually

from .host_process import options
from .world import World, messages_left

pytestmark = pytest.mark.azurite
ROOT = Path(__file__).parents[3]
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="stopping a process needs POSIX signals")


@dataclass
class Hosts:
    """The processes, and what the leases say of them. `leases`: where those are."""

    connection_string: str
    hub: str
    leases: str
    account: StorageAccount
    clock: SystemClock
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names:
            arguments = [self.connection_string, self.hub, name, self.leases]
            command = [sys.executable, "-m", "tests.durable.azurestorage.host_process", *arguments]
            self.running[name] = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        for name in names:
            assert self._told(name) == "ready"

    def stop(self, name: str) -> None:
        """Orderly; returns when it has said so."""
        process = self.running[name]
        assert process.stdin is not None
        process.stdin.close()
        assert self._told(name) == "stopped"
        self._gone(name)

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self._gone(name)

    def pause(self, name: str) -> None:
        if sys.platform == "win32":
            raise OSError("Windows cannot pause processes")
        os.kill(self.running[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        if sys.platform == "win32":
            raise OSError("Windows cannot pause processes")
        os.kill(self.running[name].pid, signal.SIGCONT)

    def _told(self, name: str) -> str:
        output = self.running[name].stdout
        assert output is not None
        return output.readline().strip()

    def _gone(self, name: str) -> None:
        process = self.running.pop(name)
        process.wait(30)
        for stream in (process.stdin, process.stdout):
            if stream is not None and not stream.closed:
                stream.close()

    def end(self) -> None:
        for name in tuple(self.running):
            self.kill(name)

    async def shares(self) -> Counter[str]:
        """How many control queues each host reads."""
        return Counter([owner async for owner in self._owners()])

    async def _owners(self) -> AsyncIterator[str]:
        if self.leases == "tables":
            async for row in query_rows(self.account.table(f"{self.hub}Partitions")):
                if "CurrentOwner" in row.properties:
                    yield str(row.properties["CurrentOwner"])
            return
        leases = self.account.container(f"{self.hub.lower()}-leases")
        async for blob in leases.list("ownership/"):
            owner = json.loads(await leases.read(blob.name))["Owner"]
            if owner and (await leases.properties(blob.name)).lease_state is LeaseState.LEASED:
                yield owner

    async def share(self, *counts: tuple[str, int], seconds: float = 30) -> float:
        """Wait until the queues are shared like this; how long it took."""
        return await self._until(lambda shares: shares == Counter(dict(counts)), seconds)

    async def share_evenly(self, *names: str, seconds: float = 90) -> None:
        """Wait until these hosts have all four queues, and none has two more than another."""

        def evenly(shares: Counter[str]) -> bool:
            counts = [shares[name] for name in names]
            return sum(counts) == 4 and max(counts) - min(counts) <= 1

        await self._until(evenly, seconds)

    async def _until(self, fact: Callable[[Counter[str]], bool], seconds: float) -> float:
        began = self.clock.now()

        async def is_so() -> bool:
            return fact(await self.shares())

        await eventually(is_so, "shares of the hosts", within=seconds, clock=self.clock, every=0.05)
        return (self.clock.now() - began).total_seconds()


@contextmanager
def processes(hosts: Hosts) -> Iterator[Hosts]:
    try:
        yield hosts
    finally:
        hosts.end()


# With blob leases hosts take their time: every ten seconds each looks whether it has its share.
@pytest.fixture(params=["tables", pytest.param("blobs", marks=pytest.mark.soak)])
async def hosts(
    request: pytest.FixtureRequest, azurite: str, azurite_connection: StorageConnection
) -> AsyncIterator[Hosts]:
    clock = SystemClock()
    async with open_account(azurite_connection, clock) as account:
        with processes(Hosts(azurite, unique("Hub"), request.param, account, clock)) as hosts:
            yield hosts


@pytest.fixture
def client(hosts: Hosts) -> World:
    hub = AzureStorageTaskHub(options(hosts.hub, hosts.leases), hosts.account, clock=hosts.clock, new_id=new_id)
    return World(hub, hosts.clock)


async def start_tours(client: World, ids: Sequence[str]) -> None:
    for id in ids:
        await client.start("tours", 4, id=id)


async def all_ended_once(client: World, hosts: Hosts, ids: Sequence[str], *, seconds: float = 60) -> Counter[str]:
    """Where their activities ran."""
    ran: Counter[str] = Counter()
    for id in ids:
        status = await client.ended(id, within_seconds=seconds)
        assert status.runtime_status is RuntimeStatus.COMPLETED
        where = json.loads(status.output or "{}")
        assert sum(where.values()) == 8
        ran += Counter(where)
        history = await client.hub.history(id)
        assert sum(isinstance(each, ExecutionCompleted) for each in history) == 1
        assert sum(isinstance(each, ExecutionStarted) for each in history) == 1
    return ran


async def nothing_is_left(hosts: Hosts, *, seconds: float) -> None:
    async def is_empty() -> bool:
        return not await messages_left(hosts.account, hosts.hub.lower())

    await eventually(is_empty, "empty queues", within=seconds, every=0.5)


def ids(word: str, count: int) -> list[str]:
    return [f"{word}{number}" for number in range(count)]


@pytest.mark.soak
async def test_two_hosts_share_the_work_and_one_hands_over(hosts: Hosts, client: World) -> None:
    hosts.start("a", "b")
    await hosts.share(("a", 2), ("b", 2))
    first = ids("first", 12)
    await start_tours(client, first)
    ran = await all_ended_once(client, hosts, first)
    assert set(ran) == {"a", "b"}
    hosts.stop("b")
    # Sooner than any lease runs out; test_partitions has the exact times, by a clock that nothing slows down.
    await hosts.share(("a", 4), seconds=15)
    second = ids("second", 6)
    await start_tours(client, second)
    assert set(await all_ended_once(client, hosts, second)) == {"a"}
    await nothing_is_left(hosts, seconds=10)


@pytest.mark.soak
async def test_a_killed_hosts_work_is_done_by_the_other(hosts: Hosts, client: World) -> None:
    hosts.start("a", "b")
    await hosts.share(("a", 2), ("b", 2))
    names = ids("i", 20)
    await start_tours(client, names)
    hosts.kill("b")
    # The lease, and the time between two looks.
    assert await hosts.share(("a", 4), seconds=60) < 42
    await all_ended_once(client, hosts, names, seconds=120)
    await nothing_is_left(hosts, seconds=120)


@pytest.mark.soak
@needs_signals
async def test_a_host_that_was_stopped_longer_than_its_lease_does_no_damage(hosts: Hosts, client: World) -> None:
    hosts.start("a", "b")
    await hosts.share(("a", 2), ("b", 2))
    first, second = ids("first", 12), ids("second", 12)
    await start_tours(client, first)
    hosts.pause("b")
    await hosts.share(("a", 4), seconds=60)
    await start_tours(client, second)
    hosts.resume("b")
    await all_ended_once(client, hosts, [*first, *second], seconds=120)
    await nothing_is_left(hosts, seconds=120)
    await hosts.share(("a", 2), ("b", 2))


@pytest.mark.soak
async def test_three_hosts_come_and_go_under_load(hosts: Hosts, client: World) -> None:
    hosts.start("a", "b", "c")
    await hosts.share_evenly("a", "b", "c")
    first = ids("first", 12)
    await start_tours(client, first)
    assert set(await all_ended_once(client, hosts, first)) == {"a", "b", "c"}
    names = ids("i", 30)
    await start_tours(client, names)
    hosts.kill("c")
    hosts.start("d")
    more = ids("more", 30)
    await start_tours(client, more)
    hosts.stop("a")
    ran = await all_ended_once(client, hosts, [*names, *more], seconds=180)
    assert set(ran) >= {"b", "d"}
    await nothing_is_left(hosts, seconds=120)
    await hosts.share(("b", 2), ("d", 2), seconds=90)
