"""Durations as .NET reads and writes them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from emulator.dotnet.timespan import format_timespan, parse_timespan


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("00:00:05", timedelta(seconds=5)),
        ("01:30", timedelta(hours=1, minutes=30)),
        ("1.02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("1:02:03:04", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("00:00:00.5", timedelta(milliseconds=500)),
        ("00:00:00.0000010", timedelta(microseconds=1)),
        ("7", timedelta(days=7)),
        ("-1", timedelta(days=-1)),
        ("-00:00:01", timedelta(seconds=-1)),
        (" 00:10:00 ", timedelta(minutes=10)),
        # From 24 on, the first part is read as days.
        ("24:00:00", timedelta(days=24)),
        ("25:10:30", timedelta(days=25, hours=10, minutes=30)),
    ],
)
def test_parse_timespan(text: str, span: timedelta) -> None:
    assert parse_timespan(text) == span


@pytest.mark.parametrize("text", ["", "five", "1:60:00", "00:00:60", "1.24:00:00", "00:00:00.12345678", "1:2:3:4:5"])
def test_parse_timespan_raises_for_other_texts(text: str) -> None:
    with pytest.raises(ValueError, match="not a time span"):
        parse_timespan(text)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(minutes=30), "00:30:00"),
        (timedelta(days=2, seconds=1), "2.00:00:01"),
        (timedelta(milliseconds=1500), "00:00:01.5000000"),
        (timedelta(seconds=-5), "-00:00:05"),
        (timedelta(0), "00:00:00"),
    ],
)
def test_format_timespan(span: timedelta, text: str) -> None:
    assert format_timespan(span) == text
