"""The recorded calls, played again: what lies in the tables afterwards is what the real host left there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import SystemClock
from emulator.instant import Instant
from emulator.storage.builtin import open_builtin
from emulator.storage.paging import query_rows
from emulator.storage.port import Row, Value
from tests.extensions.durable.recorded_calls import recorded_calls
from tests.extensions.durable.test_golden_calls import Replay
from tests.recordings import RECORDED_APP, newest, rows_of
from tests.running_apps import OPTION, PROFILE, copy_app, run_app

# Scenarios in which it does not depend on the machine's speed which messages an episode finds.
SCENARIOS = [
    "activity_fail_uncaught",
    "approval_wins",
    "big_activity",
    "big_input",
    "chain_5",
    "counter_loop",
    "custom_status",
    "entity_calls",
    "hello_cities",
    "parent_child_fails",
    "parent_two",
    "raises_at_once",
    "rewind_with_child",
    "terminate",
]

_GUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|\+00:00)?")
_BLOB = re.compile(r"http://[^\"]+-largemessages|(?<=-)[0-9A-F]{8}(?=-\w+\.json\.gz)|(?<=/message-)\w{32}")
# Texts with the frames of a .NET stack: theirs are an imitation, ours another one.
_STACKS = ("Details", "Reason", "Output", "Result")


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_the_tables_are_those_of_the_real_host(scenario: str, tmp_path: Path) -> None:
    recorded = newest(scenario).hub(scenario)
    hub = next(name for name in recorded["tables"] if name.endswith("Instances")).removesuffix("Instances")
    store = tmp_path / "store.db"
    await play(scenario, hub, store, tmp_path)
    async with open_builtin(store, SystemClock()) as account:
        for table in ("History", "Instances"):
            ours = [row async for row in query_rows(account.table(hub + table))]
            theirs = rows_of(recorded, table)
            assert theirs
            assert shown(ours) == shown(theirs), table


async def play(scenario: str, hub: str, store: Path, workplace: Path) -> None:
    settings = {PROFILE: "e26", f"{OPTION}hubName": hub}
    async with run_app(copy_app(RECORDED_APP, workplace / "app"), storage=f"builtin:{store}", settings=settings) as app:
        replay = Replay(app, scenario, "127.0.0.1:1")
        for call in recorded_calls(scenario):
            await replay.play(call)


def shown(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Comparable: ids and times told apart by type and place only."""
    found = [(_plain(row.partition_key), row.row_key, _columns(row.properties)) for row in rows]
    return sorted(found, key=lambda row: row[:2])


def _columns(properties: Mapping[str, Value]) -> dict[str, object]:
    return {name: _comparable(name, value) for name, value in properties.items()}


def _comparable(name: str, value: Value) -> object:
    if isinstance(value, Instant):
        return "a time"
    if not isinstance(value, str):
        return value
    text = _plain(value)
    return text.partition("{")[0].partition("Stack")[0] if name in _STACKS and "Stack" in text else text


def _plain(text: str) -> str:
    for pattern, word in ((_BLOB, "BLOB"), (_GUID, "GUID"), (_TIME, "TIME")):
        text = pattern.sub(word, text)
    return text
