"""Queue.wait: back at once when something may be there, else when the time is over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.storage.bench import Bench, take

FOR_EVER = timedelta(hours=1)


async def test_wait_returns_when_a_message_is_put(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    waiting = asyncio.create_task(queue.wait(FOR_EVER))
    await asyncio.sleep(0)
    await bench.account.queue(queue.name).put("x")
    await waiting


async def test_wait_returns_at_once_when_a_message_came_since_the_last_look(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    await queue.put("x")
    await queue.wait(FOR_EVER)


async def test_wait_returns_when_a_message_is_given_back(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    [got] = await take(queue, limit=2)
    waiting = asyncio.create_task(queue.wait(FOR_EVER))
    await asyncio.sleep(0)
    await queue.hide(got, hide_for=timedelta(0))
    await waiting


async def test_wait_does_not_wait_while_a_look_may_have_left_some(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("one")
    await queue.put("two")
    await take(queue, limit=1)
    await queue.wait(FOR_EVER)


async def test_wait_ends_when_its_time_is_over(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    before = bench.clock.now()
    waiting = asyncio.create_task(queue.wait(timedelta(seconds=1)))
    await bench.passes(1.5)
    await waiting
    assert bench.clock.now() - before >= timedelta(seconds=1)


async def test_a_cancelled_wait_takes_nothing(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    waiting = asyncio.create_task(queue.wait(FOR_EVER))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await queue.put("x")
    assert [message.body for message in await take(queue)] == ["x"]


async def test_wait_sees_what_another_account_object_put_within_its_time(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    async with bench.reopen() as other:
        await other.queue(queue.name).put("x")
    waiting = asyncio.create_task(queue.wait(timedelta(seconds=1)))
    await bench.passes(1.5)
    await waiting
    assert [message.body for message in await take(queue)] == ["x"]
