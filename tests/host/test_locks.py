"""Host locks: who holds them, how they change hands, and what happens to a holder that loses one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest

from emulator.background import background
from emulator.clock import Clock, within
from emulator.host.locks import BlobHostLocks, HostLockLost
from emulator.ids import new_id
from emulator.storage.port import BlobContainer, Lease, LeaseState, StorageAccount, StorageUnreachable
from emulator.virtual_time import VirtualClock
from tests.storage.bench import LONG_ON_AZURITE, Bench, unique
from tests.storage_calls import StorageCalls

LISTENER = "locks/app-1/Host.Functions.Tick.Listener"
OTHER_LEASE = "0f8fad5b-d9cb-469f-a165-70867728950e"
MINUTE = timedelta(seconds=60)
# For minutes and days, which would pass in real time on Azurite.
IN_VIRTUAL_TIME = pytest.mark.parametrize("bench", ["memory", "file"], indirect=True)


@pytest.fixture
async def container(bench: Bench) -> AsyncIterator[BlobContainer]:
    """The container of the locks; it does not exist yet."""
    container = bench.account.container(unique("hosts"))
    yield container
    await container.drop()


def host(container: BlobContainer, clock: Clock, **options: Any) -> BlobHostLocks:
    return BlobHostLocks(container, "app-1", clock=clock, new_id=new_id, **options)


def primary_of(*hosts: BlobHostLocks) -> BlobHostLocks | None:
    """Return the primary host. Fails if there are several."""
    primaries = [host for host in hosts if host.is_primary]
    assert len(primaries) <= 1
    return primaries[0] if primaries else None


async def passes(clock: Clock, seconds: float) -> None:
    """Let time pass in small steps: virtual time jumps over renewals, which are upkeep."""
    for _ in range(round(seconds * 2)):
        await clock.sleep(0.5)


class Holder:
    """A task that holds a lock until it is told to release it."""

    def __init__(self, lock: AbstractAsyncContextManager[None]) -> None:
        self._lock = lock
        self._release = asyncio.Event()
        self.holds = asyncio.Event()
        self.ended = asyncio.Event()
        self.lost: HostLockLost | None = None

    async def run(self) -> None:
        try:
            async with self._lock:
                self.holds.set()
                await self._release.wait()
        except HostLockLost as lost:
            self.lost = lost
        self.ended.set()

    async def release(self) -> None:
        self._release.set()
        await self.ended.wait()


@asynccontextmanager
async def holder(lock: AbstractAsyncContextManager[None]) -> AsyncIterator[Holder]:
    held = Holder(lock)
    async with background(held.run()):
        yield held


async def test_the_first_lock_creates_container_and_blob(bench: Bench, container: BlobContainer) -> None:
    locks = host(container, bench.clock)
    async with locks.listener("Tick"):
        properties = await container.properties(LISTENER)
        assert (properties.size, properties.lease_state) == (0, LeaseState.LEASED)
        assert properties.metadata == {}
    assert (await container.properties(LISTENER)).lease_state is LeaseState.AVAILABLE


async def test_a_singleton_names_its_owner_and_the_name_stays_after_the_release(
    bench: Bench, container: BlobContainer
) -> None:
    instance_id = new_id()
    async with host(container, bench.clock, instance_id=instance_id).singleton("Host.Functions.F.key"):
        pass
    properties = await container.properties("locks/app-1/Host.Functions.F.key")
    assert {name.lower(): value for name, value in properties.metadata.items()} == {"functioninstance": instance_id}
    assert properties.lease_state is LeaseState.AVAILABLE


async def test_a_lock_whose_owner_cannot_be_written_is_free_for_other_hosts(
    bench: Bench, container: BlobContainer
) -> None:
    with pytest.raises(StorageUnreachable):
        async with host(cast(BlobContainer, NoMetadata(container)), bench.clock).singleton("key"):
            pytest.fail("the lock was not acquired")
    assert (await container.properties("locks/app-1/key")).lease_state is LeaseState.AVAILABLE


async def test_a_scope_of_a_listener_is_held_without_owner(bench: Bench, container: BlobContainer) -> None:
    async with host(container, bench.clock).singleton("WebJobs.Internal.Blobs.Listener"):
        properties = await container.properties("locks/app-1/WebJobs.Internal.Blobs.Listener")
        assert (properties.lease_state, properties.metadata) == (LeaseState.LEASED, {})


@LONG_ON_AZURITE
async def test_a_second_host_gets_the_lock_when_the_first_one_releases_it(
    bench: Bench, container: BlobContainer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one, two = host(container, bench.clock), host(container, bench.clock)
    async with holder(one.listener("Tick")) as first:
        await first.holds.wait()
        async with holder(two.listener("Tick")) as second:
            await passes(bench.clock, 1)
            assert not second.holds.is_set()
            await first.release()
            await passes(bench.clock, 5.5)
            assert second.holds.is_set()
            await second.release()
    [waiting] = [record.getMessage() for record in caplog.records if "waits for its lock" in record.getMessage()]
    assert waiting.startswith('The listener of function "Tick" waits for its lock, which another host holds')
    assert "at most 60 seconds" in waiting


async def test_locks_of_different_functions_and_apps_are_independent(bench: Bench, container: BlobContainer) -> None:
    other_app = BlobHostLocks(container, "app-2", clock=bench.clock, new_id=new_id)
    locks = host(container, bench.clock)
    async with locks.listener("Tick"), locks.listener("Tock"), other_app.listener("Tick"):
        pass


@IN_VIRTUAL_TIME
async def test_the_lock_of_a_killed_host_is_free_when_its_lease_ends(bench: Bench, container: BlobContainer) -> None:
    async with host(container, bench.clock).listener("Tick"):
        pass
    await container.lease(LISTENER).acquire(OTHER_LEASE, duration=MINUTE)  # by a host that never renews it
    async with holder(host(container, bench.clock).listener("Tick")) as second:
        await passes(bench.clock, 59)
        assert not second.holds.is_set()
        await passes(bench.clock, 7)
        assert second.holds.is_set()
        await second.release()


@IN_VIRTUAL_TIME
async def test_a_held_lock_is_renewed(bench: Bench, container: BlobContainer) -> None:
    async with holder(host(container, bench.clock).listener("Tick")) as held:
        await held.holds.wait()
        await passes(bench.clock, 200)
        assert not held.ended.is_set()
        assert (await container.properties(LISTENER)).lease_state is LeaseState.LEASED
        await held.release()


@IN_VIRTUAL_TIME
async def test_a_jump_of_time_over_the_lease_does_not_lose_the_lock(bench: Bench, container: BlobContainer) -> None:
    async with holder(host(container, bench.clock).listener("Tick")) as held:
        await held.holds.wait()
        await bench.clock.sleep(3 * 24 * 3600)
        await passes(bench.clock, 5)
        assert not held.ended.is_set()
        assert (await container.properties(LISTENER)).lease_state is LeaseState.LEASED
        await held.release()


@LONG_ON_AZURITE
async def test_a_holder_whose_lease_was_taken_is_stopped_and_waits_again(
    bench: Bench, container: BlobContainer
) -> None:
    locks = host(container, bench.clock, listener_lease=timedelta(seconds=15))
    async with holder(locks.listener("Tick")) as held:
        await held.holds.wait()
        await container.lease(LISTENER).break_(after=timedelta(0))
        await container.lease(LISTENER).acquire(OTHER_LEASE, duration=MINUTE)
        await passes(bench.clock, 8.5)
        assert held.ended.is_set()
        assert str(held.lost).startswith(
            "Singleton lock renewal failed for blob 'app-1/Host.Functions.Tick.Listener' with error code 409: "
            "LeaseIdMismatchWithLeaseOperation. The last successful renewal completed at "
        )
        assert str(held.lost).endswith("The lease period was 15000 milliseconds.")
        await container.lease(LISTENER).release(OTHER_LEASE)
        async with locks.listener("Tick"):
            pass


@IN_VIRTUAL_TIME
async def test_a_holder_that_cannot_reach_storage_stops_when_its_lease_ends(
    bench: Bench, container: BlobContainer
) -> None:
    unreachable = Unreachable(container)
    async with holder(host(unreachable, bench.clock).listener("Tick")) as held:
        await held.holds.wait()
        unreachable.is_down = True
        await passes(bench.clock, 55)
        assert not held.ended.is_set()
        await passes(bench.clock, 7)
        assert held.lost is not None


@IN_VIRTUAL_TIME
async def test_a_short_outage_does_not_lose_the_lock(bench: Bench, container: BlobContainer) -> None:
    unreachable = Unreachable(container)
    async with holder(host(unreachable, bench.clock).listener("Tick")) as held:
        await held.holds.wait()
        unreachable.is_down = True
        await passes(bench.clock, 50)
        unreachable.is_down = False
        await passes(bench.clock, 100)
        assert not held.ended.is_set()
        await held.release()


async def test_a_wait_that_is_cancelled_leaves_no_lease_behind(bench: Bench, container: BlobContainer) -> None:
    locks = host(container, bench.clock)
    lock = locks.listener("Tick")
    entering = asyncio.ensure_future(lock.__aenter__())
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait({entering})
    async with locks.listener("Tick"):
        pass


@LONG_ON_AZURITE
async def test_a_second_host_becomes_primary_when_the_first_one_stops(bench: Bench, container: BlobContainer) -> None:
    first, second = host(container, bench.clock), host(container, bench.clock)
    async with AsyncExitStack() as first_runs:
        await first_runs.enter_async_context(first.running())
        assert primary_of(first, second) is None
        await passes(bench.clock, 6)
        assert primary_of(first, second) is first
        async with second.running():
            await passes(bench.clock, 6)
            assert primary_of(first, second) is first
            await first_runs.aclose()
            await passes(bench.clock, 6)
            assert primary_of(first, second) is second
    assert primary_of(first, second) is None
    assert (await container.properties("locks/app-1/host")).lease_state is LeaseState.AVAILABLE


@IN_VIRTUAL_TIME
async def test_two_hosts_with_the_same_instance_id_are_not_both_primary(bench: Bench, container: BlobContainer) -> None:
    same = new_id()
    first, second = (host(container, bench.clock, instance_id=same) for _ in range(2))
    async with first.running():
        await passes(bench.clock, 6)
        async with second.running():
            await passes(bench.clock, 30)
            assert primary_of(first, second) is first


@IN_VIRTUAL_TIME
async def test_a_primary_host_that_lost_its_lease_tries_again(bench: Bench, container: BlobContainer) -> None:
    locks = host(container, bench.clock)
    async with locks.running():
        await passes(bench.clock, 6)
        assert primary_of(locks) is locks
        await container.lease("locks/app-1/host").break_(after=timedelta(0))
        await container.lease("locks/app-1/host").acquire(OTHER_LEASE, duration=timedelta(seconds=15))
        await passes(bench.clock, 13)
        assert primary_of(locks) is None
        await within(bench.clock, 30, passes(bench.clock, 12))
        assert primary_of(locks) is locks


@pytest.mark.parametrize("operation", ["lease acquire", "lease renew"])
async def test_a_defect_beside_the_primary_lock_is_reported_once_and_ends_nothing(
    operation: str, account: StorageAccount, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    calls = StorageCalls()
    calls.failing[operation, ""] = ZeroDivisionError("a defect")
    locks = host(calls.around(account).container("hosts"), clock)
    async with locks.running():
        await passes(clock, 120)
        assert calls.failed > 2
        assert caplog.text.count("The primary host lock cannot be taken or renewed.") == 1
        calls.failing.clear()
        await passes(clock, 30)
        assert primary_of(locks) is locks


class NoMetadata:
    """A container that cannot be reached when metadata are set."""

    def __init__(self, container: BlobContainer) -> None:
        self._container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    async def set_metadata(self, *_: Any, **__: Any) -> None:
        raise StorageUnreachable("no answer")


class Unreachable:
    """A container whose lease calls fail while it `is_down`."""

    def __init__(self, container: BlobContainer) -> None:
        self._container = container
        self.is_down = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def lease(self, blob: str | None = None) -> Lease:
        if self.is_down:
            raise StorageUnreachable("no answer")
        return self._container.lease(blob)
