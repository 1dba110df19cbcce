"""Longest processor time for a text of 8 KB: python -m benchmarks.parsers

Prints a Markdown table for RESULTS.md: each kind of parser with the text that took it longest, the best of five runs.
The texts are those of tests/test_linear_time.py. The goal is 50 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from emulator.dotnet.json_reader import read_whole
from emulator.dotnet.query_values import parse_bool, parse_datetime, parse_double, parse_int
from emulator.dotnet.timespan import parse_timespan
from emulator.extensions.blobs.trigger_path import parse_trigger_path
from emulator.extensions.durable.management.routing import find_target
from emulator.extensions.timers.ncrontab import parse_ncrontab
from emulator.host.expressions import parse_template as parse_binding_template
from emulator.host.http.routing.constraints import parse_constraint
from emulator.host.http.routing.matching import match
from emulator.host.http.routing.paths import normalized_path, split_path
from emulator.host.http.routing.templates import parse_template
from emulator.storage.filter_parser import parse_filter
from tests.test_linear_time import CONSTRAINTS, EXPRESSIONS, FILTERS, ROUTES, TRIGGER_PATHS, slowest

RUNS = 5

Read = Callable[[str], object]


def matching(route: str) -> Read:
    template = parse_template(route)
    return lambda text: match(template, split_path(normalized_path("/" + text) or "/") or [])


def kinds() -> Iterator[tuple[str, list[Read], tuple[str, ...]]]:
    """Yield each kind with its parsers, and the beginnings of texts that mean something to them."""
    yield "routes", [matching(route) for route in ROUTES], ()
    yield "route templates", [parse_template], ("{a}", "{a:int}", "{a:regex(", "{*")
    yield "constraints", [parse_constraint(name) for name in CONSTRAINTS], ()
    yield "paths of blob triggers", [parse_trigger_path(path).match for path in TRIGGER_PATHS], ()
    yield "filters: parse", [parse_filter], FILTERS
    yield "filters: evaluate", [lambda text: parse_filter(text).matches({"a": 1})], FILTERS
    yield "NCRONTAB", [parse_ncrontab], EXPRESSIONS
    yield "binding expressions", [parse_binding_template, parse_trigger_path], EXPRESSIONS
    yield "query values", [parse_bool, parse_int, parse_double, parse_datetime, parse_timespan], EXPRESSIONS
    yield "paths of the management API", [find_target], EXPRESSIONS
    yield "JSON", [read_whole], EXPRESSIONS


def main() -> None:
    print("| kind | longest, ms | text |")
    print("|---|---|---|")
    for kind, parsers, beginnings in kinds():
        # The best of several runs, because other programs use the processor's caches, too.
        seconds, text = min(max(slowest(read, *beginnings) for read in parsers) for _ in range(RUNS))
        print(f"| {kind} | {seconds * 1000:.1f} | `{text}` |", flush=True)


if __name__ == "__main__":
    main()
