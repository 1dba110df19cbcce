"""Queues of every storage: visibility, receipts, counts, sizes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emulator.storage.port import (
    ZERO,
    InvalidRequest,
    NotFound,
    PopReceiptMismatch,
    StorageError,
)
from tests.storage.bench import Bench, all_of, bodies, take, take_all, unique


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


async def test_message_is_returned_as_it_was_put(bench: Bench) -> None:
    queue = await bench.new_queue()
    text = '{"$type":"X","a":"<b>&amp;\\u0001 ä€😀 \'q\'"}\n\tend '
    put = await queue.put(text)
    [got] = await take(queue)
    assert got.body == text
    assert got.id == put.id
    assert got.dequeue_count == 1
    assert got.expires_at is None


async def test_an_empty_message_is_a_message(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("")
    [got] = await take(queue)
    assert got.body == ""


async def test_dequeued_message_is_hidden_and_reappears(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("hello")
    [first] = await take(queue, hide_for=1)
    assert await take(queue) == []
    await bench.passes(2)
    [second] = await take(queue)
    assert (second.id, second.body, second.dequeue_count) == (first.id, "hello", 2)
    assert second.pop_receipt != first.pop_receipt


async def test_message_put_hidden_becomes_visible_in_time(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("later", visible_in=seconds(2))
    assert await take(queue) == []
    assert await queue.peek(limit=1) == []
    assert await queue.count() == 1
    await bench.passes(3)
    assert await bodies(queue) == ["later"]


async def test_visibility_is_in_whole_seconds(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("a little later", visible_in=seconds(0.9))
    assert await bodies(queue) == ["a little later"]


async def test_result_of_a_put_can_delete_the_message(bench: Bench) -> None:
    queue = await bench.new_queue()
    hidden = await queue.put("direct", visible_in=seconds(60))
    await queue.delete(hidden)
    assert await queue.count() == 0


async def test_receipt_of_a_put_is_invalid_after_the_message_was_dequeued(bench: Bench) -> None:
    queue = await bench.new_queue()
    put = await queue.put("x")
    await take(queue)
    with pytest.raises(PopReceiptMismatch) as refused:
        await queue.delete(put)
    assert refused.value.code == "PopReceiptMismatch"


async def test_a_stale_receipt_neither_deletes_nor_hides(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    [first] = await take(queue, hide_for=1)
    await bench.passes(2)
    [second] = await take(queue)
    with pytest.raises(PopReceiptMismatch):
        await queue.delete(first)
    with pytest.raises(PopReceiptMismatch):
        await queue.hide(first, hide_for=seconds(10))
    await queue.delete(second)
    assert await queue.count() == 0


async def test_receipt_is_valid_until_the_message_is_dequeued_again(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    [got] = await take(queue, hide_for=1)
    await bench.passes(2)
    await queue.delete(got)
    assert await queue.count() == 0


async def test_deleting_or_hiding_a_deleted_message_raises_not_found(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    [got] = await take(queue)
    await queue.delete(got)
    with pytest.raises(NotFound) as refused:
        await queue.delete(got)
    assert refused.value.code == "MessageNotFound"
    with pytest.raises(NotFound):
        await queue.hide(got, hide_for=ZERO)


async def test_hiding_changes_the_receipt_and_keeps_the_text(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("kept")
    [got] = await take(queue)
    hidden = await queue.hide(got, hide_for=ZERO)
    assert hidden.pop_receipt != got.pop_receipt
    [again] = await take(queue)
    assert (again.body, again.dequeue_count) == ("kept", 2)
    with pytest.raises(PopReceiptMismatch):
        await queue.delete(hidden)


async def test_hiding_again_extends_the_time(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    [got] = await take(queue, hide_for=1)
    renewed = await queue.hide(got, hide_for=seconds(30))
    await bench.passes(2)
    assert await take(queue) == []
    with pytest.raises(PopReceiptMismatch):
        await queue.delete(got)
    await queue.delete(renewed)


async def test_a_text_can_be_replaced_while_hiding(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("old")
    [got] = await take(queue)
    changed = await queue.hide(got, hide_for=ZERO, body="new <text>")
    assert changed.body == "new <text>"
    assert await bodies(queue) == ["new <text>"]


async def test_peeking_changes_nothing(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    [seen] = await queue.peek(limit=32)
    assert (seen.body, seen.dequeue_count, seen.pop_receipt) == ("x", 0, "")
    [got] = await take(queue)
    assert (got.id, got.dequeue_count) == (seen.id, 1)
    assert await queue.peek(limit=32) == []


async def test_get_takes_at_most_what_was_asked_for_and_at_most_32(bench: Bench) -> None:
    queue = await bench.new_queue()
    await all_of(*(queue.put(str(number)) for number in range(40)))
    first = await take(queue, limit=5)
    assert len(first) <= 5
    rest = await take_all(queue)
    assert sorted(int(message.body) for message in [*first, *rest]) == list(range(40))
    for limit in (0, 33):
        with pytest.raises(InvalidRequest):
            await take(queue, limit=limit)
        with pytest.raises(InvalidRequest):
            await queue.peek(limit=limit)


async def test_clear_removes_hidden_messages_too(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("seen")
    await queue.put("hidden", visible_in=seconds(60))
    await queue.clear()
    assert await queue.count() == 0
    assert await take(queue) == []


async def test_count_includes_what_is_hidden(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("one")
    await queue.put("two", visible_in=seconds(60))
    await take(queue)
    assert await queue.count() == 2


async def test_64_kib_fit_and_a_byte_more_does_not(bench: Bench) -> None:
    queue = await bench.new_queue()
    largest = "x" * (64 * 1024)
    await queue.put(largest)
    [got] = await take(queue)
    assert got.body == largest
    with pytest.raises(InvalidRequest) as refused:
        await queue.put(largest + "x")
    assert refused.value.code == "RequestBodyTooLarge"
    assert refused.value.status == 413
    with pytest.raises(InvalidRequest):
        await queue.hide(got, hide_for=ZERO, body=largest + "x")


async def test_seven_days_are_the_longest_to_hide(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x", visible_in=timedelta(days=7))
    with pytest.raises(InvalidRequest) as refused:
        await queue.put("x", visible_in=timedelta(days=7, seconds=1))
    assert refused.value.code == "OutOfRangeQueryParameterValue"
    await queue.put("y")
    with pytest.raises(InvalidRequest):
        await take(queue, hide_for=timedelta(days=7, seconds=1).total_seconds())
    [got] = await take(queue)
    await queue.hide(got, hide_for=timedelta(days=7))
    with pytest.raises(StorageError):
        await queue.hide(got, hide_for=timedelta(days=7, seconds=1))


async def test_message_disappears_after_its_time_to_live(bench: Bench) -> None:
    queue = await bench.new_queue()
    put = await queue.put("short", lives_for=seconds(2))
    assert put.expires_at is not None
    assert timedelta(0) <= put.expires_at - put.inserted_at - seconds(2) <= seconds(1)
    await queue.put("long", lives_for=timedelta(days=30))
    await bench.passes(3)
    assert await bodies(queue) == ["long"]


async def test_a_message_may_not_be_hidden_for_longer_than_it_lives(bench: Bench) -> None:
    queue = await bench.new_queue()
    with pytest.raises(InvalidRequest):
        await queue.put("x", visible_in=seconds(60), lives_for=seconds(30))
    with pytest.raises(InvalidRequest):
        await queue.put("x", lives_for=ZERO)


async def test_times_are_whole_seconds_of_the_clock(bench: Bench) -> None:
    queue = await bench.new_queue()
    before = bench.clock.now() - seconds(1)
    put = await queue.put("x", visible_in=seconds(5))
    after = bench.clock.now()
    assert before <= put.inserted_at <= after
    assert seconds(4) <= put.next_visible_at - put.inserted_at <= seconds(6)
    assert put.inserted_at.microsecond == 0
    assert put.dequeue_count == 0


async def test_a_queue_is_created_once_and_dropped_once(bench: Bench) -> None:
    queue = bench.account.queue(unique("queue"))
    assert await queue.create()
    assert not await queue.create()
    await queue.put("x")
    assert await queue.drop()
    assert not await queue.drop()


async def test_dropped_queue_is_empty_when_created_again(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    await queue.drop()
    assert await queue.create()
    assert await queue.count() == 0


async def test_missing_queue_raises_not_found(bench: Bench) -> None:
    queue = bench.account.queue(unique("absent"))
    other = await bench.new_queue()
    message = await other.put("x")
    for call in (
        queue.put("x"),
        queue.get(limit=1, hide_for=seconds(1)),
        queue.peek(limit=1),
        queue.delete(message),
        queue.hide(message, hide_for=ZERO),
        queue.clear(),
        queue.count(),
    ):
        with pytest.raises(NotFound) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (404, "QueueNotFound")
        assert queue.name in str(refused.value)


@pytest.mark.parametrize("name", ["ab", "a" * 64, "UPPER", "under_score", "-lead", "trail-", "two--dashes"])
async def test_invalid_queue_names_are_refused(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await bench.account.queue(name).create()


@pytest.mark.parametrize("name", ["abc", "a-b-c", "0queue", "a" * 63])
async def test_valid_queue_names_are_accepted(bench: Bench, name: str) -> None:
    queue = bench.account.queue(name)
    await queue.create()
    assert await queue.drop()


async def test_two_objects_of_one_name_are_the_same_queue(bench: Bench) -> None:
    queue = await bench.new_queue()
    await bench.account.queue(queue.name).put("x")
    assert await bodies(queue) == ["x"]


async def test_another_account_object_sees_the_same_messages(bench: Bench) -> None:
    queue = await bench.new_queue()
    await queue.put("x")
    async with bench.reopen() as other:
        [got] = await take(other.queue(queue.name))
        assert got.body == "x"
        assert await take(queue) == []
        await queue.delete(got)


async def test_concurrent_gets_never_return_the_same_message(bench: Bench) -> None:
    queue = await bench.new_queue()
    await all_of(*(queue.put(str(number)) for number in range(60)))
    async with bench.reopen() as other:
        same = other.queue(queue.name)
        batches = await all_of(*(take(handle, limit=7) for handle in (queue, same) * 6))
    got = [message.body for batch in batches if isinstance(batch, list) for message in batch]
    assert len(got) == len(set(got))
    rest = await bodies(queue)
    assert sorted(got + rest, key=int) == [str(number) for number in range(60)]
