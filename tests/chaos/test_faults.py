"""Plans of faults, and what a storage call with each fault does, on the built-in store in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from emulator.chaos.plan import CRASHES, AccessPoint, Fault, FaultPlan, Injected, Intensities, planned
from emulator.chaos.storage import Crash, around_account
from emulator.storage.builtin import open_builtin
from emulator.storage.port import (
    AlreadyExists,
    Operation,
    PopReceiptMismatch,
    PreconditionFailed,
    Row,
    StorageAccount,
    StorageUnreachable,
    TableOperation,
)
from emulator.virtual_time import VirtualClock

NEVER = Intensities(**{fault.name.lower(): 0.0 for fault in Fault})
MINUTE = timedelta(minutes=1)


def always(fault: Fault) -> FaultPlan:
    """A plan in which every call that can have this fault has it, twice at most."""
    others = {each.name.lower(): float(each is fault) for each in Fault}
    return FaultPlan(seed=1, intensities=Intensities(**others), budget=2)


@asynccontextmanager
async def faulty(
    plan: FaultPlan, clock: VirtualClock, is_spared: Callable[[], bool] = lambda: False
) -> AsyncIterator[tuple[StorageAccount, StorageAccount, Crash]]:
    """The account with faults, the account below it, which has a queue, a table and a container, and the crash."""
    async with open_builtin(None, clock) as real:
        await real.queue("jobs").create()
        await real.table("Rows").create()
        await real.container("files").create()
        crash = Crash()
        with clock.running():
            yield around_account(real, plan, clock=clock, crash=crash, is_spared=is_spared), real, crash


def test_a_fault_depends_on_seed_and_access_point_alone() -> None:
    points = [(operation, target) for operation in ("queue.put", "table.submit") for target in ("a", "b")] * 50
    in_order, reversed_ = FaultPlan(seed=7, budget=999), FaultPlan(seed=7, budget=999)
    for operation, target in points:
        in_order.fault_at(operation, target, set(Fault))
    for operation, target in reversed(points):
        reversed_.fault_at(operation, target, set(Fault))
    assert set(map(str, in_order.happened)) == set(map(str, reversed_.happened))
    assert len({str(each.fault) for each in in_order.happened}) > 3
    other = FaultPlan(seed=8, budget=999)
    for operation, target in points:
        other.fault_at(operation, target, set(Fault))
    assert set(map(str, other.happened)) != set(map(str, in_order.happened))


def test_the_faults_of_a_seed_stay_the_same_from_version_to_version() -> None:
    """Users note seeds."""
    possible = set(Fault) - {Fault.REORDER}
    found = [planned(17, Intensities(), AccessPoint("queue.put", "jobs", number), possible) for number in range(1, 21)]
    assert [str(each) for each in found if each] == [
        "queue.put jobs (call 3): the host crashed before it",
        "queue.put jobs (call 5): sent twice",
        "queue.put jobs (call 7): the lock was lost",
        "queue.put jobs (call 14): its response was lost",
        "queue.put jobs (call 17): its response was lost",
        "queue.put jobs (call 18): delayed",
        "queue.put jobs (call 20): sent twice",
    ]


def test_a_plan_ends_with_its_budget() -> None:
    plan = FaultPlan(seed=1, intensities=replace(NEVER, crash_before=0.5, fail_before=0.5), budget=10, crashes=2)
    for _ in range(100):
        plan.fault_at("queue.put", "jobs", set(Fault))
    assert len(plan.happened) == 10
    assert sum(each.fault in CRASHES for each in plan.happened) == 2


def test_another_run_of_the_host_has_other_faults() -> None:
    first, second = (
        [planned(17, Intensities(), AccessPoint("queue.put", "jobs", number, run), set(Fault)) for number in range(200)]
        for run in (1, 2)
    )
    assert [each.fault if each else None for each in first] != [each.fault if each else None for each in second]


async def test_a_call_that_fails_before_it_was_sent_changes_nothing(clock: VirtualClock) -> None:
    async with faulty(always(Fault.FAIL_BEFORE), clock) as (account, real, crash):
        with pytest.raises(StorageUnreachable, match=r"queue\.put jobs \(call 1\): failed"):
            await account.queue("jobs").put("x")
        assert await real.queue("jobs").count() == 0
        assert not crash.happened.is_set()


async def test_a_call_whose_answer_is_lost_has_been_done(clock: VirtualClock) -> None:
    async with faulty(always(Fault.FAIL_AFTER), clock) as (account, real, _):
        with pytest.raises(StorageUnreachable, match="its response was lost"):
            await account.queue("jobs").put("x")
        assert await real.queue("jobs").count() == 1


async def test_messages_whose_receipt_was_lost_stay_hidden_until_their_timeout(clock: VirtualClock) -> None:
    async with faulty(always(Fault.FAIL_AFTER), clock) as (account, real, _):
        await real.queue("jobs").put("x")
        with pytest.raises(StorageUnreachable):
            await account.queue("jobs").get(limit=1, hide_for=MINUTE)
        assert await real.queue("jobs").get(limit=1, hide_for=MINUTE) == []
        await clock.sleep(61)
        assert [each.body for each in await real.queue("jobs").get(limit=1, hide_for=MINUTE)] == ["x"]


async def test_a_delayed_message_becomes_visible_later_and_another_call_takes_time(clock: VirtualClock) -> None:
    async with faulty(always(Fault.DELAY), clock) as (account, real, _):
        await account.queue("jobs").put("x")
        assert await real.queue("jobs").get(limit=1, hide_for=MINUTE) == []
        await clock.sleep(5)
        assert len(await real.queue("jobs").get(limit=1, hide_for=MINUTE)) == 1
        began = clock.now()
        assert (await account.table("Rows").page()).rows == []
        assert timedelta(0) < clock.now() - began <= timedelta(seconds=3)


async def test_a_message_is_put_twice(clock: VirtualClock) -> None:
    async with faulty(always(Fault.DUPLICATE), clock) as (account, real, _):
        await account.queue("jobs").put("x")
        assert [each.body for each in await real.queue("jobs").peek(limit=9)] == ["x", "x"]


async def test_messages_come_in_another_order(clock: VirtualClock) -> None:
    async with faulty(always(Fault.REORDER), clock) as (account, real, _):
        for body in "abc":
            await real.queue("jobs").put(body)
        bodies = [each.body for each in await account.queue("jobs").get(limit=3, hide_for=MINUTE)]
        assert sorted(bodies) == ["a", "b", "c"]
        assert bodies != ["a", "b", "c"]


async def test_a_lock_is_lost_as_if_another_host_had_it(clock: VirtualClock) -> None:
    plan = always(Fault.LOSE_LOCK)
    plan.budget = 9
    async with faulty(plan, clock) as (account, real, _):
        await real.queue("jobs").put("x")
        [message] = await real.queue("jobs").get(limit=1, hide_for=MINUTE)
        with pytest.raises(PopReceiptMismatch):
            await account.queue("jobs").delete(message)
        assert len(await real.queue("jobs").get(limit=1, hide_for=MINUTE)) == 1  # Somebody else may have it now.

        row = Row("p", "r", {"n": 1})
        [etag] = await account.table("Rows").submit([TableOperation(Operation.INSERT, row)])
        with pytest.raises(PreconditionFailed):
            await account.table("Rows").submit([TableOperation(Operation.REPLACE, Row("p", "r", {"n": 2}), etag)])
        assert (await real.table("Rows").read("p", "r")).properties == {"n": 1}

        mine, other = str(uuid4()), str(uuid4())
        lease = account.container("files").lease()
        await lease.acquire(mine, duration=MINUTE)
        with pytest.raises(AlreadyExists):
            await lease.renew(mine)
        await real.container("files").lease().acquire(other, duration=MINUTE)


@pytest.mark.parametrize(("fault", "left"), [(Fault.CRASH_BEFORE, 0), (Fault.CRASH_AFTER, 1)])
async def test_after_a_crash_the_host_reaches_nothing_any_more(fault: Fault, left: int, clock: VirtualClock) -> None:
    async with faulty(always(fault), clock) as (account, real, crash):
        queue = account.queue("jobs")
        with pytest.raises(StorageUnreachable):
            await queue.put("x")
        assert crash.happened.is_set()
        assert isinstance(crash.fault, Injected)
        with pytest.raises(StorageUnreachable, match="has crashed"):
            await queue.put("y")
        with pytest.raises(StorageUnreachable, match="has crashed"):
            [each async for each in account.container("files").list()]
        assert await real.queue("jobs").count() == left


async def test_calls_that_are_spared_or_made_while_the_plan_is_not_active_are_not_counted(clock: VirtualClock) -> None:
    plan, spared = always(Fault.FAIL_BEFORE), True
    async with faulty(plan, clock, lambda: spared) as (account, _, _):
        await account.queue("jobs").put("x")
        spared, plan.active = False, False
        await account.queue("jobs").put("x")
        plan.active = True
        with pytest.raises(StorageUnreachable, match="call 1"):
            await account.queue("jobs").put("x")


async def test_without_faults_every_call_of_the_port_is_passed_on(clock: VirtualClock) -> None:
    async with faulty(FaultPlan(seed=1, intensities=NEVER), clock) as (account, real, _):
        files = account.container("files")
        written = await files.write("a/b", b"12345", metadata={"k": "v"})
        await files.set_metadata("a/b", {"k": "w"})
        assert [each.name async for each in files.list("a/")] == ["a/b"]
        assert (await files.read("a/b"), (await files.read_range("a/b", 1, 2)).content) == (b"12345", b"23")
        assert (await files.properties("a/b")).metadata == {"k": "w"}
        assert (await files.exists(), files.url("a/b")) == (True, real.container("files").url("a/b"))
        assert await files.delete("a/b")
        assert written.size == 5
        assert [each async for each in account.queues()] == ["jobs"]
        assert [each async for each in account.tables()] == ["Rows"]
        assert [each async for each in account.containers()] == ["files"]
        assert account.description == real.description
