"""JSON files with comments, trailing commas and byte order marks."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from emulator.config.jsonc import NotText, read_json


def written(folder: Path, text: str) -> Path:
    path = folder / "a.json"
    path.write_text(text, encoding="utf-8", newline="")
    return path


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
def test_comments_and_trailing_commas_are_allowed(text: str, value: object, tmp_path: Path) -> None:
    assert read_json(written(tmp_path, text)).value == value


def test_error_has_line_and_column_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '// a comment\n{\n  /* and\n another */ "a": nothing\n}')
    with pytest.raises(json.JSONDecodeError) as raised:
        read_json(path)
    assert (raised.value.lineno, raised.value.colno) == (4, 18)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,,2]", "{,}", "// only a comment", '"no end', "{'a': 1}", pytest.param("[" * 100_000, id="deep")],
)
def test_invalid_json_is_an_error(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(json.JSONDecodeError):
        read_json(path)


@pytest.mark.parametrize(
    "content",
    [
        '{"a": "ü"}'.encode(),
        codecs.BOM_UTF8 + '{"a": "ü"}'.encode(),
        codecs.BOM_UTF16_LE + '{"a": "ü"}'.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + '{"a": "ü"}'.encode("utf-16-be"),
    ],
)
def test_encodings_with_byte_order_mark(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert read_json(tmp_path / "a.json").value == {"a": "ü"}


def test_other_encodings_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes('{"a": "ü"}'.encode("latin-1"))
    with pytest.raises(NotText, match=r"The file is not UTF-8 text \(byte 8\). Save it as UTF-8."):
        read_json(tmp_path / "a.json")


def test_duplicate_name_is_a_warning(tmp_path: Path) -> None:
    path = written(tmp_path, '{"a": {"b": 1, "c": 2, "b": 3}, "b": 4}')
    file = read_json(path)
    assert file.value == {"a": {"b": 3, "c": 2}, "b": 4}
    assert file.warnings == [f"'{path}' contains \"b\" twice in one object; the last value is used."]
