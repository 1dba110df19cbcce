"""JSON as Newtonsoft.Json writes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.durable.core.json_text import json_text

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
def test_texts(value: object, text: str) -> None:
    assert json_text(value) == text


@given(VALUES)
def test_whatever_is_written_can_be_sent_and_read(value: object) -> None:
    assert json.loads(json_text(value).encode()) == value
