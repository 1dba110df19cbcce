"""Messages that a host has received: renewal, return and deletion with changing pop receipts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import pytest

from emulator.polling.lock_renewal import LockRenewer
from emulator.polling.locked_message import LockedMessage
from emulator.storage.builtin import open_builtin
from emulator.storage.port import Queue
from emulator.storage.wrapped import WrappedAccount
from emulator.virtual_time import VirtualClock
from tests.storage.bench import take, unique

T = TypeVar("T")

LOCK = timedelta(seconds=30)


@pytest.fixture
async def queue(clock: VirtualClock) -> AsyncIterator[Queue]:
    async with open_builtin(None, clock) as account:
        queue = account.queue(unique("queue"))
        await queue.create()
        await queue.put("hello")
        yield queue


async def receive(queue: Queue, clock: VirtualClock) -> LockedMessage:
    locked_until = clock.now() + LOCK
    [message] = await take(queue, hide_for=LOCK.total_seconds())
    return LockedMessage(queue, message, clock, locked_until=locked_until, locked_for=LOCK, lock_for=2 * LOCK)


async def test_a_renewed_message_stays_hidden(queue: Queue, clock: VirtualClock) -> None:
    message = await receive(queue, clock)
    assert not message.needs_renewal(clock.now() + timedelta(seconds=14))
    assert message.needs_renewal(clock.now() + timedelta(seconds=16))
    assert await message.renew()
    assert not message.needs_renewal(clock.now() + timedelta(seconds=29))
    await clock.sleep(45)
    assert await take(queue) == []


async def test_a_returned_message_is_visible_again(queue: Queue, clock: VirtualClock) -> None:
    assert await (await receive(queue, clock)).hide(timedelta(0))
    [again] = await take(queue)
    assert again.dequeue_count == 2


async def test_a_message_that_another_host_has_is_left_alone(queue: Queue, clock: VirtualClock) -> None:
    message = await receive(queue, clock)
    await clock.sleep(31)
    other = await receive(queue, clock)
    assert [await message.renew(), await message.hide(timedelta(0)), await message.delete()] == [False] * 3
    assert await other.delete()
    assert not await other.delete()


async def test_a_receipt_of_the_same_host_is_adopted(queue: Queue, clock: VirtualClock) -> None:
    message = await receive(queue, clock)
    await clock.sleep(31)
    message.adopt_receipt(await receive(queue, clock))
    assert await message.renew()


@pytest.mark.parametrize("change", ["renew", "hide", "delete"])
async def test_a_message_that_is_received_again_during_a_request_is_not_lost(clock: VirtualClock, change: str) -> None:
    """After a suspension, the renewal with the old receipt and the next poll are under way at the same time."""
    is_received_again = asyncio.Event()

    async def late(operation: str, target: str, work: Callable[[], Awaitable[T]]) -> T:
        if operation in ("queue.hide", "queue.delete"):
            await is_received_again.wait()
        return await work()

    async with open_builtin(None, clock) as account:
        queue = WrappedAccount(account, late).queue(unique("queue"))
        await queue.create()
        await queue.put("hello")
        message = await receive(queue, clock)
        await clock.sleep(31)
        changes = {"renew": message.renew, "hide": lambda: message.hide(timedelta(0)), "delete": message.delete}
        changing = asyncio.create_task(changes[change]())
        message.adopt_receipt(await receive(queue, clock))
        is_received_again.set()
        assert await changing
        await clock.sleep(45)
        assert [again.dequeue_count for again in await take(queue)] == ([3] if change == "hide" else [])
        assert await queue.count() == (0 if change == "delete" else 1)


async def test_requests_with_the_receipt_do_not_overlap(queue: Queue, clock: VirtualClock) -> None:
    message = await receive(queue, clock)
    assert all(await asyncio.gather(message.renew(), message.renew(), message.delete()))


async def test_a_renewal_that_waits_for_a_return_does_not_lock_the_message_again(
    queue: Queue, clock: VirtualClock
) -> None:
    message = await receive(queue, clock)
    is_returned, is_renewed = await asyncio.gather(message.hide(timedelta(0)), message.renew())
    assert is_returned
    assert not is_renewed
    assert len(await take(queue)) == 1


async def test_a_message_that_was_received_again_stays_locked_when_its_first_delivery_ends(
    queue: Queue, clock: VirtualClock
) -> None:
    """The first one was lost while the host was suspended; what is left of it is given up later."""
    renewer: LockRenewer[LockedMessage] = LockRenewer(clock, shortest_lock=LOCK, on_lost=lambda message: None)
    first = await receive(queue, clock)
    renewer.add(first)
    assert renewer.remove(first)
    await clock.sleep(LOCK.total_seconds() + 1)
    second = await receive(queue, clock)
    assert second.id == first.id
    renewer.add(second)
    assert not renewer.remove(first)
    assert renewer.items() == (second,)
