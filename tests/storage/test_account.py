"""Listing the queues, tables and containers of an account."""

from __future__ import annotations

from tests.storage.bench import Bench, collected, unique


async def test_queues_tables_and_containers_are_listed_by_prefix(bench: Bench) -> None:
    word = unique("listed")
    for ending in ("b", "a"):
        await bench.account.queue(word + ending).create()
        await bench.account.table(word + ending).create()
        await bench.account.container(word + ending).create()
    assert await collected(bench.account.queues(word)) == [word + "a", word + "b"]
    assert await collected(bench.account.tables(word)) == [word + "a", word + "b"]
    assert await collected(bench.account.containers(word)) == [word + "a", word + "b"]
    assert await collected(bench.account.queues(word + "x")) == []
    assert word + "a" in await collected(bench.account.tables())


async def test_a_description_tells_the_place_and_no_key(bench: Bench) -> None:
    assert bench.account.description
    assert "Key" not in bench.account.description
