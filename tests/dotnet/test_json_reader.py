"""JSON as Newtonsoft.Json reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.dotnet.json_reader import MAX_DEPTH, JsonReaderError, lenient_value, read_first, read_whole
from emulator.dotnet.json_writer import newtonsoft_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, None),
        ("", ""),
        ("   ", ""),
        ("123 abc", 123),
        ("true story", True),
        ("'a' b", "a"),
        ('{"k": [1]} x', {"k": [1]}),
        ("because of it", "because of it"),
        ("  two blanks around  ", "two blanks around"),
        ("Orchestrator function 'o' failed: boom", "Orchestrator function 'o' failed: boom"),
        ("123abc", "123abc"),
        ("² is not a digit that JSON knows", "² is not a digit that JSON knows"),
        ("[٣]", "[٣]"),
        ("trueish", "trueish"),
        ("{'a': 1, /*c*/ b: [1,],}", {"a": 1, "b": [1]}),
        ("{ // to the end\n a: .5 }", {"a": 0.5}),
        ("0x1F", 31),
        ("[017]", [15]),
        ("[1,,2]", [1, None, 2]),
        ('"2020-01-01T00:00:00Z"', "2020-01-01T00:00:00Z"),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (r'"\ud83d\ude00 \u0041 \x"', r'"\ud83d\ude00 \u0041 \x"'),
        (r"'\ud83d\ude00 \u0041'", "\N{GRINNING FACE} A"),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_lenient_value_returns_first_json_value_or_text(text: str | None, shown: Any) -> None:
    assert lenient_value(text) == shown


@pytest.mark.parametrize(
    "text", ["{not json", "{oops", "[1", '{"a":1} tail', "", "  ", "'open", "1 2", "{a:1,,}", "/x", "²"]
)
def test_read_whole_raises_unless_text_is_one_value(text: str) -> None:
    with pytest.raises(JsonReaderError):
        read_whole(text)


def test_error_has_line_and_position() -> None:
    with pytest.raises(JsonReaderError, match=r"got: c\. Path '', line 2, position 5\.$"):
        read_whole('{"a": 1,\n "b" c}')


def test_read_whole_ignores_comments_and_spaces_after_value() -> None:
    assert read_whole('{"a": 1} /* end */ // really\n ') == {"a": 1}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_written_value_is_read_back(value: Any) -> None:
    assert read_whole(newtonsoft_text(value)) == value


@given(JSON_VALUES, st.sampled_from(["", " ", "\n/* c */"]))
def test_strict_json_is_read_as_by_python(value: Any, tail: str) -> None:
    for ascii_only in (True, False):
        assert read_first(json.dumps(value, ensure_ascii=ascii_only) + tail) == value
