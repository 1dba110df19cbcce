"""Dates and GUIDs by .NET format string."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from emulator.dotnet.format_strings import format_date, format_guid

NOON = datetime(2024, 1, 31, 9, 5, 0, 123456, tzinfo=UTC)

DATES = [
    ("yyyy-MM-ddTHH-mm-ssK", "2024-01-31T09-05-00Z"),
    ("yy MMM MMMM d ddd dddd", "24 Jan January 31 Wed Wednesday"),
    ("h:m:s tt t", "9:5:0 AM A"),
    ("ss.fff FFFFFF", "00.123 123456"),
    ("zzz zz z", "+00:00 +00 +0"),
    ("'day' dd \\d \"q\"", "day 31 d q"),
    ("o", "2024-01-31T09:05:00.1234560Z"),
    ("R", "Wed, 31 Jan 2024 09:05:00 GMT"),
    ("s", "2024-01-31T09:05:00"),
    ("u", "2024-01-31 09:05:00Z"),
    ("%d", "31"),
]


@pytest.mark.parametrize(("form", "text"), DATES)
def test_format_date(form: str, text: str) -> None:
    assert format_date(NOON, form) == text


GUIDS = [
    ("", "12345678-1234-5678-1234-567812345678"),
    ("d", "12345678-1234-5678-1234-567812345678"),
    ("N", "12345678123456781234567812345678"),
    ("b", "{12345678-1234-5678-1234-567812345678}"),
    ("P", "(12345678-1234-5678-1234-567812345678)"),
    ("X", "{0x12345678,0x1234,0x5678,{0x12,0x34,0x56,0x78,0x12,0x34,0x56,0x78}}"),
]


@pytest.mark.parametrize(("form", "text"), GUIDS)
def test_format_guid(form: str, text: str) -> None:
    assert format_guid(UUID("12345678123456781234567812345678"), form) == text
