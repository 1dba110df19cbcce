"""Filter conditions: their OData text, and their evaluation."""

from __future__ import annotations

import uuid

import pytest

from emulator.instant import Instant
from emulator.storage.filters import Compare, Condition, Operator, eq, ge, gt, le, lt, ne
from emulator.storage.port import Int64, Value

NOON = Instant.parse("2026-11-24T12:00:00.1234567Z")


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (eq("PartitionKey", "in^2st'ance"), "PartitionKey eq 'in^2st''ance'"),
        (ge("CreatedTime", NOON), "CreatedTime ge datetime'2026-11-24T12:00:00.1234567Z'"),
        (lt("n", -5), "n lt -5"),
        (le("n", Int64(5)), "n le 5L"),
        (gt("x", 0.5), "x gt 0.5"),
        (gt("x", 5.0), "x gt 5.0"),
        (ne("flag", True), "flag ne true"),
        (eq("id", uuid.UUID(int=1)), "id eq guid'00000000-0000-0000-0000-000000000001'"),
        (eq("data", b"\x00\xff"), "data eq X'00ff'"),
        (eq("a", "1") & (eq("b", "2") | eq("c", "3")), "(a eq '1') and ((b eq '2') or (c eq '3'))"),
    ],
)
def test_conditions_are_written_as_odata(condition: Condition, text: str) -> None:
    assert condition.odata() == text


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("a", "b"),
        ("A", "a"),
        ("", "a"),
        ("😀", "\uff5e"),
        (-1, 1),
        (Int64(1), Int64(2)),
        (0.5, 1.0),
        (NOON, NOON.plus_ticks(1)),
        (b"a", b"b"),
    ],
)
def test_values_of_one_type_are_ordered(small: Value, large: Value) -> None:
    expected: list[tuple[Operator, bool, bool]] = [
        ("eq", False, True),
        ("ne", True, False),
        ("lt", True, False),
        ("le", True, True),
        ("gt", False, False),
        ("ge", False, True),
    ]
    for operator, with_large, with_itself in expected:
        assert Compare("v", operator, large).matches({"v": small}) is with_large
        assert Compare("v", operator, small).matches({"v": small}) is with_itself


@pytest.mark.parametrize("value", [1, Int64(1), 1.0, True, "1", NOON, b"1", uuid.UUID(int=1)])
@pytest.mark.parametrize("other", [1, Int64(1), 1.0, True, "1", NOON, b"1", uuid.UUID(int=1)])
def test_values_of_two_types_fulfil_no_comparison(value: Value, other: Value) -> None:
    if type(value) is type(other):
        return
    for make in (eq, ne, gt, ge, lt, le):
        assert not make("v", other).matches({"v": value})
        assert not make("v", other).matches({})
