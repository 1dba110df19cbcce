"""Queue.wait: it returns when a get may find a message, else after its time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from emulator.storage.port import NotFound
from tests.storage.bench import Bench, take

FOR_EVER = timedelta(hours=1)


async def test_wait_returns_when_a_message_is_put(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    waiting = asyncio.create_task(queue.wait(FOR_EVER))
    await asyncio.sleep(0)
    await bench.account.queue(queue.name).put("x")
    await waiting


async def test_wait_returns_at_once_when_a_message_was_put_since_the_last_get(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    await queue.put("x")
    await queue.wait(FOR_EVER)


async def test_wait_returns_when_a_message_is_made_visible(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    [got] = await take(queue, limit=2)
    waiting = asyncio.create_task(queue.wait(FOR_EVER))
    await asyncio.sleep(0)
    await queue.hide(got, hide_for=timedelta(0))
    await waiting


async def test_wait_returns_at_once_when_the_last_get_may_have_left_messages(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("one")
    await queue.put("two")
    await take(queue, limit=1)
    await queue.wait(FOR_EVER)


async def test_wait_ends_after_its_time(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    before = bench.clock.now()
    waiting = asyncio.create_task(queue.wait(timedelta(seconds=1)))
    await bench.passes(1.5)
    await waiting
    assert bench.clock.now() - before >= timedelta(seconds=1)


async def test_cancelled_wait_loses_no_message(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    waiting = asyncio.create_task(queue.wait(FOR_EVER))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await queue.put("x")
    assert [message.body for message in await take(queue)] == ["x"]


async def test_wait_notices_messages_of_another_account_object_within_its_time(bench: Bench) -> None:
    queue = await bench.new_queue()
    assert await take(queue) == []
    async with bench.reopen() as other:
        await other.queue(queue.name).put("x")
    waiting = asyncio.create_task(queue.wait(timedelta(seconds=1)))
    await bench.passes(1.5)
    await waiting
    assert [message.body for message in await take(queue)] == ["x"]


async def test_wait_at_a_missing_queue_goes_on_until_its_first_message(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.drop()
    with pytest.raises(NotFound):
        await take(queue)
    waiting = asyncio.create_task(queue.wait(FOR_EVER))
    with pytest.raises(NotFound):
        await queue.count()
    assert not waiting.done()
    await queue.create()
    await queue.put("x")
    await waiting
