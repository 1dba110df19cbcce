"""The export file format: reading back what was written, and the lines in the documentation."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from emulator.storage.port import Row
from emulator.storage.transfer.export_file import (
    Begin,
    Blob,
    End,
    Item,
    Kind,
    Mark,
    Message,
    Record,
    header_line,
    read_header,
    read_records,
    record_line,
)
from tests.storage.test_comparison import TYPES

DOCUMENT = Path(__file__).parents[3] / "docs" / "storage-file-format.md"

texts = st.text()
moments = st.datetimes(timezones=st.just(UTC))
items = st.builds(Item, st.sampled_from(Kind), texts)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Begin, items),
    st.builds(
        Message,
        text=texts,
        id=texts,
        dequeue_count=st.integers(0, 9),
        visible_at=st.none() | moments,
        expires_at=st.none() | moments,
    ),
    st.builds(Row, texts, texts, st.dictionaries(texts, st.one_of(*TYPES.values()), max_size=4)),
    st.builds(
        Blob,
        name=texts,
        content_type=texts,
        metadata=st.dictionaries(texts, texts, max_size=2),
        content=st.binary(max_size=50),
    ),
    st.builds(Mark, items, st.integers(0, 5)),
    st.just(End()),
)


def read_back(content: bytes, file: Path) -> list[Record]:
    file.write_bytes(content)
    with file.open("rb") as opened:
        return [record for record, _ in read_records(opened, file)]


@given(written=st.lists(records, max_size=5))
def test_written_records_are_read(tmp_path_factory: object, written: list[Record]) -> None:
    file = tmp_path_factory.getbasetemp() / "records.jsonl"  # type: ignore[attr-defined]
    content = b"".join(record_line(record) for record in written)
    assert content.isascii()
    assert read_back(content, file) == written


def test_documented_lines_are_those_that_are_written(tmp_path: Path) -> None:
    lines = re.findall(r"^\| `(\{.*?\})` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    file = tmp_path / "documented.jsonl"
    file.write_text("\n".join(lines) + "\n")
    with file.open("rb") as opened:
        header = read_header(opened, file)
        read = [record for record, _ in read_records(opened, file)]
    assert [type(record) for record in read] == [Begin, Message, Row, Blob, Mark, End]
    again = [header_line(header), *(record_line(record) for record in read)]
    assert [line.decode().rstrip("\n") for line in again] == lines
    assert header.exported_at == datetime(2026, 11, 24, 8, tzinfo=UTC)
