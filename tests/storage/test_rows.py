"""Single rows in tables of every storage: operations, ETags, values, sizes."""

from __future__ import annotations

import math
import uuid

import pytest

from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import (
    AlreadyExists,
    Int64,
    InvalidRequest,
    NotFound,
    Operation,
    PreconditionFailed,
    Row,
    TableOperation,
    Value,
)
from tests.storage.bench import Bench, all_of, azurite_differs, delete, insert, merge, replace, row, unique, upsert

VALUES: dict[str, Value] = {
    "text": "ä€😀 'quoted' \"double\" <&>\r\n\t",
    "empty": "",
    "zero": 0,
    "smallest": -(2**31),
    "largest": 2**31 - 1,
    "long": Int64(5),
    "longest": Int64(2**63 - 1),
    "deepest": Int64(-(2**63)),
    "whole": 3.0,
    "half": 0.5,
    "tiny": 5e-324,
    "huge": 1.7976931348623157e308,
    "infinite": math.inf,
    "negative_infinite": -math.inf,
    "yes": True,
    "no": False,
    "guid": uuid.UUID("c9da6455-213d-42c9-9a79-3e9149a57833"),
    "bytes": bytes(range(256)),
    "no_bytes": b"",
    "ticks": Instant.parse("2026-11-24T03:38:16.5454309Z"),
    "second": Instant.parse("2026-11-24T03:38:16Z"),
    "earliest": Instant.parse("1601-01-01T00:00:00Z"),
    "looks_like_a_date": "2026-11-24T03:38:16.5454309Z",
    "looks_like_a_number": "1",
}


async def test_values_keep_their_types(bench: Bench) -> None:
    table = await bench.new_table()
    await table.submit([insert(Row("p", "r", VALUES))])
    stored = await table.read("p", "r")
    assert dict(stored.properties) == VALUES
    assert {name: type(value) for name, value in stored.properties.items()} == {
        name: type(value) for name, value in VALUES.items()
    }


async def test_not_a_number_is_read_as_written(bench: Bench) -> None:
    table = await bench.new_table()
    await table.submit([insert(row("p", "r", nan=math.nan))])
    value = (await table.read("p", "r")).properties["nan"]
    assert isinstance(value, float)
    assert math.isnan(value)


async def test_properties_keep_their_order(bench: Bench) -> None:
    table = await bench.new_table()
    names = ["zeta", "alpha", "mid", "Alpha", "x1"]
    await table.submit([insert(Row("p", "r", dict.fromkeys(names, 1)))])
    assert list((await table.read("p", "r")).properties) == names


async def test_a_row_has_a_timestamp_and_an_etag(bench: Bench) -> None:
    table = await bench.new_table()
    before = Instant.of(bench.clock.now())
    [etag] = await table.submit([insert(row("p", "r", a=1))])
    stored = await table.read("p", "r")
    assert stored.etag == etag
    assert stored.timestamp is not None
    # Azurite adds digits of its own below the millisecond, so "before" is only as good as that.
    assert stored.timestamp.ticks >= before.ticks - 10_000
    assert "Timestamp" not in stored.properties


async def test_keys_may_be_empty_or_have_special_characters(bench: Bench) -> None:
    table = await bench.new_table()
    odd = ["", " ", "it's", "a b+c%20", "ä€😀", "@counter@k", "^0^^", "a=b&c;d,e(f)", "%", "100%25", "'", "''"]
    for key in odd:
        await table.submit([insert(row(key, key, key=key))])
        assert (await table.read(key, key)).properties == {"key": key}
    for key in odd:
        [etag] = await table.submit([merge(row(key, key, more=1))])
        await table.submit([delete(row(key, key), str(etag))])


@pytest.mark.parametrize("character", ["/", "\\", "#", "?", "\t", "\n", "\x00", "\x7f", "\x9f"])
async def test_invalid_characters_in_a_key_are_refused(bench: Bench, character: str) -> None:
    table = await bench.new_table()
    with pytest.raises(InvalidRequest):
        await table.submit([insert(row(f"a{character}b", "r"))])


async def test_insert_of_an_existing_row_is_refused(bench: Bench) -> None:
    table = await bench.new_table()
    await table.submit([insert(row("p", "r", a=1))])
    with pytest.raises(AlreadyExists) as refused:
        await table.submit([insert(row("p", "r", a=2))])
    assert (refused.value.status, refused.value.code) == (409, "EntityAlreadyExists")
    assert (await table.read("p", "r")).properties == {"a": 1}


async def test_merge_keeps_and_replace_drops_other_properties(bench: Bench) -> None:
    table = await bench.new_table()
    await table.submit([insert(row("p", "r", a=1, b=1))])
    await table.submit([merge(row("p", "r", b=2, c=2))])
    assert (await table.read("p", "r")).properties == {"a": 1, "b": 2, "c": 2}
    await table.submit([replace(row("p", "r", c=3))])
    assert (await table.read("p", "r")).properties == {"c": 3}
    await table.submit([TableOperation(Operation.INSERT_OR_MERGE, row("p", "r", d=4))])
    assert (await table.read("p", "r")).properties == {"c": 3, "d": 4}
    await table.submit([upsert(row("p", "r", e=5))])
    assert (await table.read("p", "r")).properties == {"e": 5}


async def test_a_property_may_change_its_type(bench: Bench) -> None:
    table = await bench.new_table()
    await table.submit([insert(row("p", "r", a=1))])
    await table.submit([merge(row("p", "r", a=Int64(1)))])
    assert (await table.read("p", "r")).properties == {"a": Int64(1)}


async def test_upserts_insert_missing_rows(bench: Bench) -> None:
    table = await bench.new_table()
    await table.submit([upsert(row("p", "1", a=1))])
    await table.submit([TableOperation(Operation.INSERT_OR_MERGE, row("p", "2", a=2))])
    assert (await table.read("p", "1")).properties == {"a": 1}
    assert (await table.read("p", "2")).properties == {"a": 2}


async def test_merge_replace_and_delete_need_the_row(bench: Bench) -> None:
    table = await bench.new_table()
    for operation in (merge(row("p", "r", a=1)), replace(row("p", "r", a=1)), delete(row("p", "r"))):
        with pytest.raises(NotFound) as refused:
            await table.submit([operation])
        assert (refused.value.status, refused.value.code) == (404, "ResourceNotFound")
    with pytest.raises(NotFound) as unread:
        await table.read("p", "r")
    assert unread.value.code == "ResourceNotFound"


async def test_every_write_changes_the_etag_and_a_stale_one_is_refused(bench: Bench) -> None:
    table = await bench.new_table()
    [first] = await table.submit([insert(row("p", "r", a=1))])
    assert first is not None
    [second] = await table.submit([merge(row("p", "r", a=2), first)])
    assert second not in (None, first)
    for operation in (merge(row("p", "r", a=3), first), replace(row("p", "r"), first), delete(row("p", "r"), first)):
        with pytest.raises(PreconditionFailed) as refused:
            await table.submit([operation])
        assert (refused.value.status, refused.value.code) == (412, "UpdateConditionNotSatisfied")
    assert (await table.read("p", "r")).properties == {"a": 2}
    [gone] = await table.submit([delete(row("p", "r"), str(second))])
    assert gone is None


@pytest.mark.parametrize("kind", [Operation.REPLACE, Operation.MERGE, Operation.DELETE])
async def test_invalid_etag_is_refused(bench: Bench, kind: Operation) -> None:
    table = await bench.new_table()
    await table.submit([insert(row("p", "r"))])
    with pytest.raises(InvalidRequest) as refused:
        await table.submit([TableOperation(kind, row("p", "r"), "no etag")])
    assert refused.value.status == 400


async def test_write_of_the_same_values_changes_the_etag(bench: Bench) -> None:
    table = await bench.new_table()
    [first] = await table.submit([upsert(row("p", "r", a=1))])
    [second] = await table.submit([upsert(row("p", "r", a=1))])
    assert first != second


async def test_one_of_two_writers_with_the_same_etag_succeeds(bench: Bench) -> None:
    table = await bench.new_table()
    [etag] = await table.submit([insert(row("p", "r", a=0))])
    async with bench.reopen() as other:
        same = other.table(table.name)
        results = await all_of(
            *(
                handle.submit([replace(row("p", "r", a=number), str(etag))])
                for number, handle in enumerate((table, same) * 4, 1)
            )
        )
    won = [number for number, result in enumerate(results, 1) if isinstance(result, list)]
    assert len(won) == 1
    assert all(isinstance(result, list | PreconditionFailed) for result in results)
    assert (await table.read("p", "r")).properties == {"a": won[0]}


async def test_one_of_two_concurrent_inserts_succeeds(bench: Bench) -> None:
    table = await bench.new_table()
    results = await all_of(*(table.submit([insert(row("p", "r", a=number))]) for number in range(6)))
    assert sum(isinstance(result, list) for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 5


async def test_string_may_have_32_ki_utf16_units(bench: Bench) -> None:
    table = await bench.new_table()
    largest = "😀" * (16 * 1024)
    await table.submit([insert(row("p", "r", text=largest, bytes=bytes(64 * 1024)))])
    assert (await table.read("p", "r")).properties == {"text": largest, "bytes": bytes(64 * 1024)}
    for properties in ({"text": largest + "x"}, {"bytes": bytes(64 * 1024 + 1)}):
        with pytest.raises(InvalidRequest) as refused:
            await table.submit([insert(Row("p", "s", properties))])
        assert refused.value.code == "PropertyValueTooLarge"


async def test_row_may_have_1_mib(bench: Bench) -> None:
    azurite_differs(bench, "takes rows of any size")
    table = await bench.new_table()
    block = "x" * (32 * 1024)
    await table.submit([insert(Row("p", "r", {f"text{number}": block for number in range(15)}))])
    with pytest.raises(InvalidRequest) as refused:
        await table.submit([insert(Row("p", "s", {f"text{number}": block for number in range(17)}))])
    assert refused.value.code == "EntityTooLarge"


async def test_an_int_beyond_32_bits_is_refused_with_advice(bench: Bench) -> None:
    table = await bench.new_table()
    for value in (2**31, -(2**31) - 1):
        with pytest.raises(InvalidRequest, match="Int64"):
            await table.submit([insert(row("p", "r", number=value))])


async def test_a_row_has_at_most_252_properties_of_its_own(bench: Bench) -> None:
    azurite_differs(bench, "counts no properties")
    table = await bench.new_table()
    await table.submit([insert(Row("p", "r", {f"p{number}": number for number in range(252)}))])
    assert len((await table.read("p", "r")).properties) == 252
    with pytest.raises(InvalidRequest) as refused:
        await table.submit([insert(Row("p", "s", {f"p{number}": number for number in range(253)}))])
    assert refused.value.code == "TooManyProperties"


async def test_read_selects_properties(bench: Bench) -> None:
    table = await bench.new_table()
    [etag] = await table.submit([insert(row("p", "r", a=1, b="x", c=Int64(3)))])
    stored = await table.read("p", "r", select=["c", "missing"])
    assert (stored.partition_key, stored.row_key, stored.etag) == ("p", "r", etag)
    assert stored.properties == {"c": Int64(3)}


async def test_a_table_is_created_once_and_dropped_once(bench: Bench) -> None:
    table = bench.account.table(unique("Table"))
    assert await table.create()
    assert not await table.create()
    await table.submit([insert(row("p", "r"))])
    assert await table.drop()
    assert not await table.drop()
    assert await table.create()
    assert [row async for row in query_rows(table)] == []


async def test_table_names_ignore_case(bench: Bench) -> None:
    azurite_differs(bench, "distinguishes case")
    table = await bench.new_table()
    await table.submit([insert(row("p", "r", a=1))])
    other = bench.account.table(table.name.upper())
    assert not await other.create()
    assert (await other.read("p", "r")).properties == {"a": 1}


async def test_missing_table_raises_not_found(bench: Bench) -> None:
    table = bench.account.table(unique("Absent"))
    for call in (
        table.read("p", "r"),
        table.page(),
        table.submit([insert(row("p", "r"))]),
        table.submit([upsert(row("p", "r"))]),
        table.submit([upsert(row("p", "r")), upsert(row("p", "s"))]),
    ):
        with pytest.raises(NotFound) as refused:
            await call
        assert refused.value.code == "TableNotFound"


@pytest.mark.parametrize("name", ["ab", "a" * 64, "1table", "under_score", "da-sh"])
async def test_invalid_table_names_are_refused(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidRequest):
        await bench.account.table(name).create()


@pytest.mark.parametrize("name", ["abc", "Table1", "A" * 63])
async def test_valid_table_names_are_accepted(bench: Bench, name: str) -> None:
    table = bench.account.table(name)
    await table.create()
    assert await table.drop()
