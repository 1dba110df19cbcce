"""Values of a query string as .NET reads them."""

from __future__ import annotations

import pytest

from emulator.dotnet.query_values import form_encode, parse_bool, parse_datetime, parse_double, parse_int


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), (" TRUE ", True), ("False", False), ("1", None), ("yes", None), ("", None), (None, None)],
)
def test_parse_bool(text: str | None, value: bool | None) -> None:
    assert parse_bool(text) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        (" -5 ", -5),
        ("+5", 5),
        ("2.5", None),
        ("many", None),
        ("2147483648", None),
        ("", None),
        ("٣", None),
        ("9" * 5000, None),
        ("007", 7),
    ],
)
def test_parse_int(text: str, value: int | None) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.2", 0.2), (" 30 ", 30.0), ("1,000.5", 1000.5), ("1e2", 100.0), (".5", 0.5), ("5.", 5.0), ("abc", None)],
)
def test_parse_double(text: str, value: float | None) -> None:
    assert parse_double(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-11-24", "2026-11-24T00:00:00Z"),
        ("2026-11", "2026-11-01T00:00:00Z"),
        ("11/24/2026", "2026-11-24T00:00:00Z"),
        ("2026-11-24 10:00:00", "2026-11-24T10:00:00Z"),
        ("2026-11-24T10:00", "2026-11-24T10:00:00Z"),
        ("2026-11-24T10:00:00.1234567Z", "2026-11-24T10:00:00.1234567Z"),
        ("2026-11-24T10:00:00+02:00", "2026-11-24T08:00:00Z"),
        ("Tue, 24 Nov 2026 00:00:00 GMT", "2026-11-24T00:00:00Z"),
    ],
)
def test_parse_datetime(text: str, value: str) -> None:
    moment = parse_datetime(text)
    assert moment is not None
    assert moment.text == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026", "20261124", "24/11/2026", "2026-13-01", "2026-02-30", "soon", "2026-11-24T10:00:00 02:00"),
        *("0001-01-01T00:00:00Z", "1-01-01T00:00:00.000000Z", "Xxx, 99 Nov 2026 00:00:00 GMT"),
    ],
)
def test_parse_datetime_returns_none_for_other_texts(text: str) -> None:
    assert parse_datetime(text) is None


def test_form_encode_leaves_the_same_characters_as_dotnet() -> None:
    assert form_encode("a b@c:d/é~'-_.!*()") == "a+b%40c%3Ad%2F%C3%A9%7E%27-_.!*()"
