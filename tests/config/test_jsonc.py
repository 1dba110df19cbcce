"""JSON with the liberties that Newtonsoft.Json takes."""

from __future__ import annotations

import json

import pytest

from emulator.config.jsonc import parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2,\n]", [1, 2]),
        ('{"a": [1,], "b": {"c": 2,},}', {"a": [1], "b": {"c": 2}}),
        ('// top\n{"a": 1} // end', {"a": 1}),
        ('{/* one\ntwo */ "a": 1, // two\n}', {"a": 1}),
        ('{"a": "http://x/*no comment*/,]"}', {"a": "http://x/*no comment*/,]"}),
        ('{"a": "quote \\" // still text"}', {"a": 'quote " // still text'}),
        ('{"a": "\\\\", /* c */ "b": 2}', {"a": "\\", "b": 2}),
    ],
)
def test_comments_and_trailing_commas_are_fine(text: str, value: object) -> None:
    assert parse_json(text) == value


def test_an_error_is_found_where_the_file_has_it() -> None:
    with pytest.raises(json.JSONDecodeError) as raised:
        parse_json('// a comment\n{\n  /* and\n another */ "a": nothing\n}')
    assert (raised.value.lineno, raised.value.colno) == (4, 18)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,,2]", "{,}", "// only a comment", '"no end', "{'a': 1}", pytest.param("[" * 100_000, id="deep")],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        parse_json(text)
