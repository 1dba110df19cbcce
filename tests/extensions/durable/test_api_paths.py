"""Query strings, status filters and paths of the management API."""

from __future__ import annotations

import pytest

from emulator.durable.core.identity import RuntimeStatus
from emulator.extensions.durable.management.api_request import Query
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


def test_repeated_parameters_are_joined_without_case() -> None:
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
