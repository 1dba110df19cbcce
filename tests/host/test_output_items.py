"""Items of output values that several binding types share (docs/protocol/functions-host.md 7.5)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from emulator.host.output_items import UnreadableOutput, output_items
from emulator.worker.port import Datum


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host's zone, in which Newtonsoft writes dates again."""
    if sys.platform == "win32":
        pytest.skip("Windows has no tzset")
    with monkeypatch.context() as environment:
        environment.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("datum", "items"),
    [
        (Datum("string", "plain"), ["plain"]),
        (Datum("string", "[1,2]"), ["1", "2"]),
        (Datum("string", ' {"a":1} '), ['{\n  "a": 1\n}']),
        (
            Datum("string", '["x", {"a": [1]}, null, true, 1.50]'),
            ["x", '{\n  "a": [\n    1\n  ]\n}', "", "True", "1.5"],
        ),
        (Datum("string", "{'a':1,}"), ['{\n  "a": 1\n}']),
        (Datum("string", "[]"), []),
        (Datum("string", ""), [""]),
        (Datum("bytes", b"[1,2]"), [b"[1,2]"]),
        (Datum("json", '["one", "two"]'), ["one", "two"]),
        (
            Datum("json", '{"when": "2026-03-01T09:00:00.500+02:00"}'),
            ['{\n  "when": "2026-03-01T09:00:00.500+02:00"\n}'],
        ),
        (Datum("json", '["2026-03-01T09:00:00Z"]'), ["2026-03-01T09:00:00Z"]),
        (Datum("int", 5), ["5"]),
    ],
)
def test_items(datum: Datum, items: list[str | bytes]) -> None:
    assert output_items(datum) == items


@pytest.mark.usefixtures("utc")
def test_dates_in_parsed_texts_are_rewritten() -> None:
    assert output_items(Datum("string", '["2026-03-01T09:00:00"]')) == ["03/01/2026 09:00:00"]
    [item] = output_items(Datum("string", '{"when": "2026-03-01T09:00:00.500+02:00", "n": 1e3}'))
    assert item == '{\n  "when": "2026-03-01T07:00:00.5+00:00",\n  "n": 1000.0\n}'


def test_a_text_that_only_looks_like_json_is_refused() -> None:
    with pytest.raises(UnreadableOutput, match="The text begins and ends like JSON"):
        output_items(Datum("string", "[not json]"))
