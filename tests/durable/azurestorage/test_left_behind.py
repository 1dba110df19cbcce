"""A host is killed at the points where the .NET host was killed, and leaves the same storage contents."""

from __future__ import annotations

import asyncio
import re
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.hub_items import hub_items
from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin
from emulator.storage.transfer.exporting import export_account
from tests.processes import started
from tests.recordings import GOLDEN_3_19, MIDFLIGHT, RECORDED_APP, SCENARIOS, RecordingSet
from tests.running_apps import copy_app
from tests.waiting import eventually

from .dotnet_reader import Dump, as_dump, check_hub, read_export

OPTION = "AzureFunctionsJobHost__extensions__durableTask__"
PATIENCE_SECONDS = 60.0

# Their failed events were neutralised: they have columns of events that they no longer are.
REWOUND = {"rewind", "rewind_with_child"}
# In these it depends on the machine how far the work was.
SOMEWHERE_IN_BETWEEN = {"half_a_fan_out", "eternal_loop"}

# Each starts and kills a host process, which takes seconds.
EVERY_TIME = {"child_waiting", "entity_with_state", "large_payload_kept"}

# What differs from run to run: times, ids, names of machines and blobs, running numbers.
_VOLATILE = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?(Z|\+00:00)?"), "TIME"),
    (re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"), "GUID"),
    (re.compile(r"https?://[^\"]+-largemessages"), "CONTAINER"),
    (re.compile(r"(?<=-)[0-9A-F]{8}(?=-\w+\.json\.gz)"), "RANDOM"),
    (re.compile(r'(?<="SequenceNumber":)[1-9]\d*'), "NUMBER"),
)


@pytest.mark.parametrize(("recordings", "scenario"), MIDFLIGHT, ids=str)
def test_the_strict_reader_reads_what_dotnet_left(recordings: RecordingSet, scenario: str) -> None:
    recorded = recordings.midflight(scenario)
    check_hub(as_dump(recorded["storage"]), recorded["hub"])


@pytest.mark.parametrize(("recordings", "scenario"), [each for each in SCENARIOS if each[1] not in REWOUND], ids=str)
def test_the_strict_reader_reads_what_dotnet_finished(recordings: RecordingSet, scenario: str) -> None:
    recorded = recordings.hub(scenario)
    hub = next(name for name in recorded["tables"] if name.endswith("Instances")).removesuffix("Instances")
    check_hub(as_dump(recorded), hub)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=() if name in EVERY_TIME else pytest.mark.soak) for name in GOLDEN_3_19.midflight_names],
)
def test_a_killed_host_leaves_what_dotnet_left(scenario: str, tmp_path: Path, unused_tcp_port: int) -> None:
    recorded = GOLDEN_3_19.midflight(scenario)
    hub, theirs = recorded["hub"], as_dump(recorded["storage"])
    place = Place(tmp_path, hub, unused_tcp_port)
    own, from_elsewhere = by_their_host(recorded["calls"])
    if own:
        with killed_at_the_end(place, hub) as send:
            for call in own:
                send(call)
                place.until(lambda found: bool(history(found, hub)))
            place.until(reached(theirs, hub, scenario, still_to_come=len(from_elsewhere)))
    if from_elsewhere:
        with killed_at_the_end(place, f"{hub}Elsewhere") as send:
            for call in from_elsewhere:
                send(call)
    ours = asyncio.run(place.dump())
    check_hub(ours, hub)
    if scenario not in SOMEWHERE_IN_BETWEEN:
        assert messages(ours, hub) == messages(theirs, hub)
        assert history(ours, hub) == history(theirs, hub)
        assert statuses(ours, hub) == statuses(theirs, hub)


# The host that is killed --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where hosts work: the recordings' app on a file, which is looked at from outside by exporting it."""

    folder: Path
    hub: str
    port: int

    @property
    def _file(self) -> Path:
        return self.folder / "storage.db"

    @property
    def storage(self) -> str:
        return f"builtin:{self._file}"

    def app(self) -> Path:
        folder = self.folder / "app"
        return folder if folder.exists() else copy_app(RECORDED_APP, folder)

    async def dump(self) -> Dump:
        export = self.folder / "export.jsonl"
        async with open_builtin(self._file, SystemClock()) as account:
            await export_account(account, export, clock=SystemClock(), chosen=hub_items(self.hub), force=True)
        return read_export(export)

    def until(self, fact: Callable[[Dump], bool]) -> None:
        async def is_so() -> bool:
            return fact(await self.dump())

        asyncio.run(eventually(is_so, "state of the storage", every=0))


@contextmanager
def killed_at_the_end(place: Place, hub: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A host that works on `hub`; gives what sends it a recorded call."""
    # The real host had two slots for activities.
    settings = {f"{OPTION}hubName": hub, f"{OPTION}maxConcurrentActivityFunctions": "2"}
    options = ("--storage", place.storage, "--port", str(place.port))
    with started(place.app(), *options, env=settings) as azemu:
        azemu.wait_for("For detailed output")
        yield lambda call: send(f"http://127.0.0.1:{place.port}/runtime/webhooks/durabletask", call)
        azemu.process.kill()
        azemu.process.wait()


def send(base: str, call: Mapping[str, Any]) -> None:
    body = None if call["body"] is None else call["body"].encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(base + call["path"], data=body, method=call["method"], headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
        assert answer.status == call["status"]


def by_their_host(calls: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Those that the host of the hub got, and those that a host of another hub got for it afterwards."""
    return [call for call in calls if "taskHub=" not in call["path"]], [
        call for call in calls if "taskHub=" in call["path"]
    ]


def reached(theirs: Dump, hub: str, scenario: str, *, still_to_come: int) -> Callable[[Dump], bool]:
    """Whether our host is where theirs was killed."""

    def is_there(found: Dump) -> bool:
        if scenario == "half_a_fan_out":
            return any("TaskCompleted" in str(row) for row in history(found, hub))
        if [row[:2] for row in history(found, hub)] != [row[:2] for row in history(theirs, hub)]:
            return False
        return scenario in SOMEWHERE_IN_BETWEEN or count(found, hub) == count(theirs, hub) - still_to_come

    return is_there


# What is compared ---------------------------------------------------------------------------------------------------


def history(dump: Dump, hub: str) -> list[tuple[Any, ...]]:
    """Keys and columns of all events and sentinels."""
    return rows(dump, f"{hub}History")


def statuses(dump: Dump, hub: str) -> list[tuple[Any, ...]]:
    return rows(dump, f"{hub}Instances")


def rows(dump: Dump, table: str) -> list[tuple[Any, ...]]:
    found = [
        (
            stable(partition_key),
            row_key,
            {name: (edm, stable_value(edm, value)) for name, (edm, value) in columns.items()},
        )
        for partition_key, row_key, columns in dump.tables.get(table, ())
    ]
    return sorted(found, key=lambda row: row[:2])


def count(dump: Dump, hub: str) -> int:
    return sum(len(found) for queue, found in dump.queues.items() if is_of(queue, hub))


def messages(dump: Dump, hub: str) -> Counter[tuple[str, str]]:
    return Counter(
        (queue, stable(message.text)) for queue, found in dump.queues.items() if is_of(queue, hub) for message in found
    )


def is_of(queue: str, hub: str) -> bool:
    return queue.startswith((f"{hub.lower()}-control", f"{hub.lower()}-workitems"))


def stable_value(edm: str, value: Any) -> Any:
    return "TIME" if edm == "Edm.DateTime" else stable(value) if isinstance(value, str) else value


def stable(text: str) -> str:
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return "DETAILS" if text.startswith('{"$type":"System.Exception') else text
