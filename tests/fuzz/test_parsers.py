"""Every parser with random input: only its documented errors, and within a second (`fuzz.targets`)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.inputs import inputs
from fuzz.targets import TARGETS

NAMES = sorted(TARGETS)
# Inputs that once raised another error, or took seconds.
FOUND = [
    ("blob-path", "https://a["),
    ("blob-path", "http://127.0.0.1:10000c/b"),
    ("connection-string", "AccountName=a;AccountKey=éé"),
    ("cookie-date", "2026-10-21T07:" + 4000 * "28"),
    ("payload-reference", "https://[::(1]/a"),
    ("query-value", 8000 * "9" + "x"),
    ("query-value", "Wed, 21 Oct 1013 8:44444444444400 GMT"),
    ("function-response", '{"body": 1, "status": "' + 5000 * "9" + '"}'),
    ("function-response", '{"body": 1, "status": " 40\x1d "}'),
    ("host-json", '{"version": "2.0", "watchFiles": {"' + 5000 * "9" + '": "x"}}'),
    ("recorded-history", 8000 * "["),
    ("recorded-history", "1"),
    ("recorded-history", '"recorded.json"'),
    ("recorded-history", '{"history": 1}'),
    ("storage-response", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-6\r\nabc\r\n"),
    ("source-scan", 8000 * "{"),
    ("source-scan", "import " + 5000 * "m"),
]
SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("name", NAMES)
def test_valid_input_is_read(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].check(seed)


@pytest.mark.parametrize(("name", "text"), FOUND)
def test_input_that_once_broke_it(name: str, text: str) -> None:
    TARGETS[name].check(text.encode())


def _search(name: str, examples: int) -> None:
    target = TARGETS[name]

    @settings(max_examples=examples, deadline=None, derandomize=examples < 1000, suppress_health_check=SLOW_IS_FINE)
    @given(st.data())
    def search(data: st.DataObject) -> None:
        target.check(data.draw(inputs(target.seeds)))

    search()


@pytest.mark.parametrize("name", NAMES)
def test_no_input_breaks_it(name: str) -> None:
    _search(name, 12)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_no_input_breaks_it_in_a_long_search(name: str) -> None:
    _search(name, 3000)
