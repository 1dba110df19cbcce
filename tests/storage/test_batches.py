"""Transactions: up to 100 operations of one partition, all or nothing."""

from __future__ import annotations

import pytest

from emulator.storage.paging import query_rows
from emulator.storage.port import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    Operation,
    PreconditionFailed,
    TableOperation,
)
from tests.storage.bench import Bench, all_of, delete, insert, keys, merge, replace, row, upsert


async def test_one_hundred_rows_at_once(bench: Bench) -> None:
    table = await bench.new_table()
    etags = await table.submit([insert(row("p", f"{number:03}", n=number)) for number in range(100)])
    rows = [row async for row in query_rows(table)]
    assert [row.properties["n"] for row in rows] == list(range(100))
    assert [row.etag for row in rows] == etags


async def test_one_hundred_and_one_are_refused(bench: Bench) -> None:
    table = await bench.new_table()
    with pytest.raises(InvalidRequest):
        await table.submit([insert(row("p", f"{number:03}")) for number in range(101)])
    assert await keys(query_rows(table)) == []


async def test_empty_transaction_does_nothing(bench: Bench) -> None:
    table = await bench.new_table()
    assert await table.submit([]) == []


async def test_every_kind_of_operation_in_one_transaction(bench: Bench) -> None:
    table = await bench.new_table()
    for key in "bcdef":
        await table.submit([insert(row("p", key, old=1))])
    etags = await table.submit(
        [
            insert(row("p", "a", new=1)),
            merge(row("p", "b", new=1)),
            replace(row("p", "c", new=1)),
            TableOperation(Operation.INSERT_OR_MERGE, row("p", "d", new=1)),
            upsert(row("p", "e", new=1)),
            delete(row("p", "f")),
        ]
    )
    stored = {row.row_key: row async for row in query_rows(table)}
    assert {key: dict(row.properties) for key, row in stored.items()} == {
        "a": {"new": 1},
        "b": {"old": 1, "new": 1},
        "c": {"new": 1},
        "d": {"old": 1, "new": 1},
        "e": {"new": 1},
    }
    assert etags == [*(stored[key].etag for key in "abcde"), None]


async def test_a_failing_operation_undoes_all_and_is_named(bench: Bench) -> None:
    table = await bench.new_table()
    await table.submit([insert(row("p", "there", a=1))])
    with pytest.raises(AlreadyExists) as refused:
        await table.submit(
            [upsert(row("p", "1")), upsert(row("p", "2")), insert(row("p", "there", a=2)), upsert(row("p", "3"))]
        )
    assert (refused.value.code, refused.value.failed_index) == ("EntityAlreadyExists", 2)
    assert await keys(query_rows(table)) == [("p", "there")]
    assert (await table.read("p", "there")).properties == {"a": 1}


async def test_a_stale_etag_undoes_all_and_is_named(bench: Bench) -> None:
    table = await bench.new_table()
    [stale] = await table.submit([insert(row("p", "sentinel", a=1))])
    await table.submit([merge(row("p", "sentinel", a=2))])
    with pytest.raises(PreconditionFailed) as refused:
        await table.submit([upsert(row("p", "0")), merge(row("p", "sentinel", a=3), str(stale))])
    assert (refused.value.code, refused.value.failed_index) == ("UpdateConditionNotSatisfied", 1)
    assert await keys(query_rows(table)) == [("p", "sentinel")]


async def test_a_missing_row_undoes_all_and_is_named(bench: Bench) -> None:
    table = await bench.new_table()
    for number, operation in enumerate((merge(row("p", "no")), replace(row("p", "no")), delete(row("p", "no")))):
        with pytest.raises(NotFound) as refused:
            await table.submit([upsert(row("p", str(number))), operation])
        assert (refused.value.code, refused.value.failed_index) == ("ResourceNotFound", 1)
    assert await keys(query_rows(table)) == []


async def test_one_row_may_appear_only_once(bench: Bench) -> None:
    table = await bench.new_table()
    with pytest.raises(InvalidRequest) as refused:
        await table.submit([upsert(row("p", "1")), upsert(row("p", "2")), upsert(row("p", "1"))])
    assert refused.value.code == "InvalidDuplicateRow"
    assert await keys(query_rows(table)) == []


async def test_all_rows_must_be_of_one_partition(bench: Bench) -> None:
    table = await bench.new_table()
    with pytest.raises(InvalidRequest) as refused:
        await table.submit([upsert(row("p", "1")), upsert(row("q", "2"))])
    assert (refused.value.code, refused.value.failed_index) == ("CommandsInBatchActOnDifferentPartitions", 1)
    assert await keys(query_rows(table)) == []


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_transaction_over_4_mib_is_refused(bench: Bench) -> None:
    table = await bench.new_table()
    block = "x" * (30 * 1024)
    await table.submit([upsert(row("p", f"{number:03}", a=block, b=block)) for number in range(60)])
    with pytest.raises(InvalidRequest):
        await table.submit([upsert(row("q", f"{number:03}", a=block, b=block)) for number in range(100)])
    assert len(await keys(query_rows(table))) == 60


async def test_special_characters_survive_a_transaction(bench: Bench) -> None:
    table = await bench.new_table()
    odd = ["it's", "a b", "ä€😀", "100%", "a=b&c", "^0"]
    await table.submit([insert(row("o'p ä", key, text=f"--{key}\r\n\r\n--")) for key in odd])
    await table.submit([merge(row("o'p ä", key, more=1)) for key in odd])
    for key in odd:
        assert (await table.read("o'p ä", key)).properties == {"text": f"--{key}\r\n\r\n--", "more": 1}
    await table.submit([delete(row("o'p ä", key)) for key in odd])
    assert await keys(query_rows(table)) == []


async def test_one_of_two_transactions_with_the_same_etag_succeeds(bench: Bench) -> None:
    table = await bench.new_table()
    [etag] = await table.submit([insert(row("p", "sentinel"))])
    results = await all_of(
        *(
            table.submit(
                [
                    *(upsert(row("p", str(line), writer=writer)) for line in range(10)),
                    merge(row("p", "sentinel", writer=writer), str(etag)),
                ]
            )
            for writer in range(4)
        )
    )
    [winner] = [writer for writer, result in enumerate(results) if isinstance(result, list)]
    assert all(isinstance(result, list | PreconditionFailed) for result in results)
    assert {row.properties["writer"] async for row in query_rows(table)} == {winner}
