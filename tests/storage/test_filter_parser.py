"""Filters that users write: parsed, and evaluated as by the service."""

from __future__ import annotations

import uuid

import pytest

from emulator.instant import Instant
from emulator.storage.filter_parser import InvalidFilter, parse_filter
from emulator.storage.paging import query_rows
from emulator.storage.port import Int64
from tests.storage.bench import Bench, fill, keys, row

ROW = {
    "PartitionKey": "p",
    "RowKey": "it's",
    "Age": Int64(20),
    "Small": 7,
    "Ratio": 2.5,
    "Active": True,
    "When": Instant.parse("2026-01-02T03:04:05Z"),
    "Id": uuid.UUID(int=1),
    "Data": b"\x0a\xff",
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("PartitionKey eq 'p'", True),
        ("PartitionKey eq 'P'", False),
        ("RowKey eq 'it''s'", True),
        ("Age ge 20", True),
        ("Age gt 20L", False),
        ("Age lt 20.5", True),
        ("20 le Age", True),
        ("19 gt Age", False),
        ("Small eq 7 and Ratio eq 2.5", True),
        ("Small ne 7", False),
        ("Ratio gt -1e3", True),
        ("Active", True),
        ("Active eq true", True),
        ("not Active", False),
        ("not (Active and Age lt 0)", True),
        ("Active eq 1", False),
        ("When ge datetime'2026-01-02T03:04:05.000Z'", True),
        ("Id eq guid'00000000-0000-0000-0000-000000000001'", True),
        ("Data eq X'0aff'", True),
        ("Data eq binary'0AFF'", True),
        ("Missing eq 'x'", False),
        ("Missing ne 'x'", False),
        ("Age eq '20'", False),
        # `and` binds closer than `or`.
        ("Active or Age lt 0 and Small lt 0", True),
        ("(Active or Age lt 0) and Small lt 0", False),
        ("PartitionKey eq 'x' and Age lt 0 or Active", True),
        ("  Age  eq  20  ", True),
    ],
)
def test_a_filter_holds_or_not(text: str, holds: bool) -> None:
    condition = parse_filter(text)
    assert condition.matches(ROW) is holds
    assert condition.odata() == text
    # What the parser understood can be written again, and means the same.
    assert parse_filter(condition.parsed.odata()).matches(ROW) is holds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a property or a constant at the end"),
        ("Age", None),
        ("Age >> 1", "expected `and`, `or` or the end before '>> 1'"),
        ("Age eq", "expected a property or a constant at the end"),
        ("Age eq 1 or", "expected a property or a constant at the end"),
        ("(Age eq 1", "expected `)` at the end"),
        ("Age eq 1)", "expected `and`, `or` or the end before ')'"),
        ("Age eq Small", "expected a constant on one side of the comparison"),
        ("1 eq 1", "expected a property on one side of the comparison"),
        ("Name eq 'open", 'expected a property or a constant before "\'open"'),
        ("When eq datetime'yesterday'", "expected a valid constant before"),
        ("startswith(Name, 'a')", "expected `and`, `or` or the end before"),
    ],
)
def test_what_cannot_be_parsed_is_shown_with_its_place(text: str, expected: str | None) -> None:
    if expected is None:
        assert parse_filter(text).matches(ROW) is False
        return
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(text)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "row_keys"),
    [
        ("PartitionKey eq 'p' and RowKey ge '2'", "23"),
        ("Age ge 20", "12"),
        ("Age ge 20 and Name ne 'it''s'", "1"),
        ("Age lt 20 or RowKey eq '1'", "13"),
        ("(RowKey eq '2' or RowKey eq '3') and not (Age eq 5)", "2"),
        ("Active eq true", "3"),
        ("When gt datetime'2026-01-01T00:00:00Z'", "3"),
    ],
)
async def test_all_stores_select_the_same_rows(bench: Bench, text: str, row_keys: str) -> None:
    table = await bench.new_table()
    rows = [
        row("p", "1", Age=Int64(30), Name="a"),
        row("p", "2", Age=20, Name="it's"),
        row("p", "3", Age=5.0, Name="c", Active=True, When=Instant.parse("2026-01-02T03:04:05Z")),
    ]
    await fill(table, rows)
    assert "".join(row_key for _, row_key in await keys(query_rows(table, parse_filter(text)))) == row_keys
