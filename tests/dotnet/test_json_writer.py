"""JSON as Newtonsoft.Json writes it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.dotnet.json_writer import json_text, newtonsoft_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True]}, '{"a":[1,null,true]}'),
        ("é🐍", '"é🐍"'),
        ("\u2028\u2029\x85", '"\\u2028\\u2029\\u0085"'),
        ("\ud800\uffff", '"\\ud800\\uffff"'),
    ],
)
def test_json_text(value: object, text: str) -> None:
    assert json_text(value) == text


@given(VALUES)
def test_json_text_is_valid_utf8_and_read_back(value: object) -> None:
    assert json.loads(json_text(value).encode()) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (1e14, "100000000000000.0"),
        (1e15, "1E+15"),
        (1234567890123456.8, "1.2345678901234568E+15"),
        (-9007199254740993.0, "-9.007199254740992E+15"),
        ({"1e+16": "1e-05, NaN", "n": [1e16, -1e-7]}, '{"1e+16":"1e-05, NaN","n":[1E+16,-1E-07]}'),
        ('"1e-05\\', '"\\"1e-05\\\\"'),
        (-1.25e15, "-1.25E+15"),
        (1e-5, "1E-05"),
        (0.0001, "0.0001"),
        (1.5e300, "1.5E+300"),
        (math.nan, '"NaN"'),
        (-math.inf, '"-Infinity"'),
        (12345678901234567890123, "12345678901234567890123"),
        (True, "true"),
        ([None, {"a": []}], '[null,{"a":[]}]'),
        ("é\u2028\x85\n\x01", '"é\\u2028\\u0085\\n\\u0001"'),
        ("\ud800\ufffe", '"\N{REPLACEMENT CHARACTER}\ufffe"'),
    ],
)
def test_newtonsoft_text(value: Any, text: str) -> None:
    assert newtonsoft_text(value) == text


def test_lone_surrogates_are_escaped_on_request() -> None:
    assert newtonsoft_text(["\ud800", 1e16], keep_surrogates=True) == '["\\ud800",1E+16]'


@given(VALUES)
def test_both_writers_agree_on_values_without_floats(value: Any) -> None:
    assert newtonsoft_text(value, keep_surrogates=True) == json_text(value)
