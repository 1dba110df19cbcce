"""Query parameters as .NET parses them, and paths of the durable HTTP API."""

from __future__ import annotations

import pytest

from emulator.durable.core.identity import RuntimeStatus
from emulator.extensions.durable.management.api_request import Query
from emulator.extensions.durable.management.dotnet import (
    form_encode,
    parse_bool,
    parse_datetime,
    parse_double,
    parse_int,
)
from emulator.extensions.durable.management.list_query import StatusFilter, read_statuses
from emulator.extensions.durable.management.routing import (
    Entities,
    Event,
    Instance,
    Instances,
    MakePrimary,
    Operation,
    Orchestrators,
    Target,
    find_target,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), (" TRUE ", True), ("False", False), ("1", None), ("yes", None), ("", None), (None, None)],
)
def test_booleans(text: str | None, value: bool | None) -> None:
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
def test_integers(text: str, value: int | None) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.2", 0.2), (" 30 ", 30.0), ("1,000.5", 1000.5), ("1e2", 100.0), (".5", 0.5), ("5.", 5.0), ("abc", None)],
)
def test_seconds(text: str, value: float | None) -> None:
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
def test_dates(text: str, value: str) -> None:
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
def test_an_invalid_date_is_ignored(text: str) -> None:
    assert parse_datetime(text) is None


def test_form_encoding_keeps_the_same_characters_as_net() -> None:
    assert form_encode("a b@c:d/é~'-_.!*()") == "a+b%40c%3Ad%2F%C3%A9%7E%27-_.!*()"


def test_repeated_parameters_are_joined_ignoring_case() -> None:
    query = Query.parse("reason=one+1&REASON=two&blank=&blank=%20x")
    assert query.get("Reason") == "one 1,two"
    assert query.first_filled("blank") == " x"
    assert query.get("missing") is None


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], StatusFilter(frozenset(), has_unknown=False, has_other=False)),
        (
            ["Failed, Running", "3"],
            StatusFilter(frozenset({RuntimeStatus.FAILED, RuntimeStatus.RUNNING}), False, False),
        ),
        (["failed,Nope"], StatusFilter(frozenset(), has_unknown=False, has_other=False)),
        (["99"], StatusFilter(frozenset(), has_unknown=False, has_other=True)),
        (["-1"], StatusFilter(frozenset(), has_unknown=True, has_other=False)),
        (["Unknown"], StatusFilter(frozenset(), has_unknown=True, has_other=False)),
    ],
)
def test_statuses(values: list[str], found: StatusFilter) -> None:
    assert read_statuses(values) == found


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/orchestrators/f", Orchestrators("f", None)),
        ("/Orchestrators/F/", Orchestrators("F", None)),
        ("orchestrators/f/a%20b", Orchestrators("f", "a b")),
        ("/instances", Instances()),
        ("/INSTANCES/Id", Instance("Id")),
        ("/instances/a+b", Instance("a b")),
        ("/instances/a%2Bb", Instance("a b")),
        ("/instances/a%252Bb", Instance("a+b")),
        ("/instances/a%25b", Instance("a%b")),
        ("/instances/%C3%A9", Instance("é")),
        ("/instances/a/Terminate", Operation("a", "terminate")),
        ("/instances/a/RAISEEVENT/Go", Event("a", "Go")),
        ("/instances/a%2fterminate", Operation("a", "terminate")),
        ("/entities", Entities(None, None)),
        ("/entities/counter", Entities("counter", None)),
        ("/entities/counter/a@b", Entities("counter", "a@b")),
        ("/makeprimary", MakePrimary()),
        ("", None),
        ("/orchestrators", None),
        ("/orchestrators/f/a/b", None),
        ("/instances/a/b/c", None),
        ("/instances//terminate", None),
        ("/workflows", None),
    ],
)
def test_paths(path: str, target: Target | None) -> None:
    assert find_target(path) == target
