"""The table of decorators in docs/compatibility.md beside the installed azure-functions."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from pathlib import Path

import azure.functions as func
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"
# Public methods of an app that are not decorators.
OTHER_METHODS = frozenset(("get_functions", "register_functions", "register_blueprint", "validate_function_names"))
MAJOR = int(version("azure-functions").partition(".")[0])
# The releases that the page describes. Older ones lack decorators and parameters.
DESCRIBED = {1: (1, 26), 2: (2, 3)}
INSTALLED = tuple(int(part) for part in version("azure-functions").split(".")[:2])

pytestmark = pytest.mark.skipif(
    DESCRIBED.get(MAJOR) != INSTALLED, reason=f"the page describes the releases {DESCRIBED}, not {INSTALLED}"
)


def documented() -> dict[str, set[str]]:
    """Parameters by decorator that the page lists for the installed major version."""
    section = PAGE.read_text(encoding="utf-8").partition("## Decorators\n")[2].partition("\n## ")[0]
    table: dict[str, set[str]] = {}
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        decorator, *cells = line.strip("| ").split(" | ")
        listed = [parameter for cell in cells for parameter in names(cell)]
        # No name: the decorator is not in this major version.
        for name in names(decorator):
            assert len(listed) == len(set(listed)), f"{name}: a parameter is listed twice"
            table[name] = set(listed)
    return table


def names(cell: str) -> list[str]:
    """The names in a cell, without those that are marked as of the other major version."""
    return [match[1] for match in re.finditer(r"`(\w+)`(?: \((\d)\.x\))?", cell) if match[2] in (None, str(MAJOR))]


def installed() -> dict[str, set[str]]:
    return {
        name: set(inspect.signature(method).parameters) - {"self"}
        for owner in (func.FunctionApp, func.Blueprint)
        for name, method in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and name not in OTHER_METHODS
    }


def test_the_page_lists_the_decorators_and_parameters_of_the_library() -> None:
    expected, listed = installed(), documented()
    assert sorted(listed) == sorted(expected)
    assert {name: sorted(listed[name]) for name in listed} == {name: sorted(expected[name]) for name in expected}
