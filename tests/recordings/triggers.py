"""Recordings of the .NET trigger and binding extensions: storage requests, values of functions, logs and answers.

README.md in this folder describes the scenarios and the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from tests.recordings.archive import Archive

_READING = frozenset(
    ("receive", "properties", "list blobs", "metadata", "get blob", "container properties", "service properties", "GET")
)


class TriggerRecordings:
    """The scenarios of the archive `golden-triggers`."""

    def __init__(self) -> None:
        self.archive = Archive(Path(__file__).parent / "golden-triggers.tar.gz")

    @cached_property
    def scenarios(self) -> Sequence[str]:
        """Sorted names of the scenarios."""
        return [path.partition("/")[0] for path in self.archive.contents if path.endswith("/requests.jsonl")]

    def requests(self, scenario: str) -> list[dict[str, Any]]:
        """Storage requests of the hosts and steps of the test (`test`), in order."""
        return self.archive.json_lines(f"{scenario}/requests.jsonl")

    def steps(self, scenario: str) -> list[dict[str, Any]]:
        """What the test did: starts, messages, blobs, signals, in order."""
        return [line for line in self.requests(scenario) if "test" in line]

    def changes(self, scenario: str, target: str | None = None) -> list[dict[str, Any]]:
        """Successful requests that change storage, in order. `target`: only those of this queue, blob or table."""
        return [
            line
            for line in self.requests(scenario)
            if line.get("op", "GET") not in _READING
            and line["status"] < 300
            and target in (None, line.get("queue"), line.get("blob"), line.get("table"))
        ]

    def received(self, scenario: str) -> list[dict[str, Any]]:
        """What functions got, returned and raised, in order; empty if none ran."""
        path = f"{scenario}/received.jsonl"
        return self.archive.json_lines(path) if path in self.archive.contents else []

    def storage(self, scenario: str) -> dict[str, Any]:
        """Contents of the storage at the end: "queues" and "blobs"."""
        return self.archive.json(f"{scenario}/storage.json")  # type: ignore[no-any-return]

    def log(self, scenario: str) -> str:
        """The log of the hosts from the level Debug up; the scenario `tables` has none."""
        path = f"{scenario}/log.txt"
        return self.archive.text(path) if path in self.archive.contents else ""

    def http(self, scenario: str) -> list[dict[str, Any]]:
        """Requests to webhooks and their answers."""
        return self.archive.json_lines(f"{scenario}/http.jsonl")


TRIGGERS: Final = TriggerRecordings()
