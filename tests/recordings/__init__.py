"""Recordings of the .NET Durable Task extension: what it received, stored and answered, as values for tests.

README.md in this folder describes the scenarios and the files.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from emulator.instant import Instant
from emulator.storage.port import Int64, Row, Value
from tests.recordings import profiles
from tests.recordings.archive import Archive

_FOLDER = Path(__file__).parent

RECORDED_APP: Final = _FOLDER / "app"
"""Folder of the app that the recordings ran. A test that writes files into an app has to copy it."""


@dataclass(frozen=True)
class Write:
    """A table row that the extension sent: `columns` without keys and nulls, in the order sent."""

    operation: str
    table: str
    partition_key: str
    row_key: str
    columns: dict[str, Value]

    @property
    def row(self) -> Row:
        return Row(self.partition_key, self.row_key, self.columns)


class RecordingSet:
    """Recordings of one version of the extension. `name`: that of the archive in this folder.

    `is_current`: whether azemu follows this version. The methods return what an older version recorded as the current
    one would have written it (`profiles`); `archive` has the original files.
    """

    def __init__(self, name: str, *, is_current: bool) -> None:
        self.name = name
        self.archive = Archive(_FOLDER / f"{name}.tar.gz")
        self._is_current = is_current

    def __str__(self) -> str:
        return self.name

    @cached_property
    def scenarios(self) -> Sequence[str]:
        """Sorted names of the scenarios. Each has calls, invocations, requests and a hub."""
        return [path.partition("/")[0] for path in self.archive.contents if path.endswith("/requests.jsonl")]

    @cached_property
    def midflight_names(self) -> Sequence[str]:
        """Sorted names of the hubs that a killed host left."""
        files = [path for path in self.archive.contents if path.startswith("midflight/")]
        return [path.removeprefix("midflight/").removesuffix(".json") for path in files]

    def calls(self, scenario: str) -> list[dict[str, Any]]:
        """Calls of the management API in order, and the recorder's own lines."""
        return self._json_lines(f"{scenario}/calls.jsonl")

    def invocations(self, scenario: str) -> list[dict[str, Any]]:
        """Function invocations in order."""
        calls = self._json_lines(f"{scenario}/invocations.jsonl")
        if self._is_current:
            return calls
        return [{**call, "in": profiles.current_context(call["in"])} for call in calls]

    def requests(self, scenario: str) -> list[dict[str, Any]]:
        """Storage operations in order, without the last line, which counts the idle ones."""
        lines = self._json_lines(f"{scenario}/requests.jsonl")
        return [line for line in lines if "service" in line]

    def idle_requests(self, scenario: str) -> dict[str, Any]:
        """Counts of the storage operations that the recording does not list."""
        [*_, counts] = self._json_lines(f"{scenario}/requests.jsonl")
        return counts  # type: ignore[no-any-return]

    def hub(self, scenario: str) -> dict[str, Any]:
        """Contents of the task hub at the end: "tables", "queues", "blobs"."""
        storage = json.loads(self._text(f"{scenario}/hub.json"))
        return storage if self._is_current else profiles.current_storage(storage)

    def midflight(self, name: str) -> dict[str, Any]:
        """Hub of a killed host: "storage" (as `hub`), "stopped", "then", "expect"."""
        document = json.loads(self._text(f"midflight/{name}.json"))
        if self._is_current:
            return document  # type: ignore[no-any-return]
        return {**document, "storage": profiles.current_storage(document["storage"])}

    def writes(self, scenario: str) -> Iterator[Write]:
        """Table rows in the order in which the extension sent them, those of transactions one by one."""
        for request in self.requests(scenario):
            for part in request.get("rows", []) if request["op"] == "transaction" else [request]:
                if "entity" in part:
                    yield write_of(part)

    def messages(self, scenario: str) -> Iterator[tuple[str, str]]:
        """Queue name and JSON text of every queue message that the extension sent."""
        for request in self.requests(scenario):
            if request["op"] == "put message":
                yield request["queue"], as_sent(request["message"])

    def _text(self, path: str) -> str:
        text = self.archive.text(path)
        return text if self._is_current else profiles.current_text(text)

    def _json_lines(self, path: str) -> list[Any]:
        return [json.loads(line) for line in self._text(path).splitlines()]


GOLDEN: Final = RecordingSet("golden", is_current=False)
GOLDEN_3_19: Final = RecordingSet("golden-3.19", is_current=True)

SCENARIOS: Final = [(recordings, scenario) for recordings in (GOLDEN, GOLDEN_3_19) for scenario in recordings.scenarios]
"""All recordings of all versions."""
MIDFLIGHT: Final = [(recordings, name) for recordings in (GOLDEN, GOLDEN_3_19) for name in recordings.midflight_names]
"""All hubs of killed hosts of all versions."""


def newest(scenario: str) -> RecordingSet:
    """Return the recordings of the newest version that has this scenario and that azemu follows in it."""
    # 3.19.0 hides the real error of an output that cannot be serialized (docs/compatibility.md).
    followed = scenario in GOLDEN_3_19.scenarios and scenario != "not_serializable"
    return GOLDEN_3_19 if followed else GOLDEN


def write_of(part: Mapping[str, Any]) -> Write:
    """Read a row of a storage operation."""
    entity = part["entity"]
    columns = dict(_sent_columns(entity))
    return Write(part["op"], part["row"].partition("(")[0], entity["PartitionKey"], entity["RowKey"], columns)


def _sent_columns(entity: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for name, value in entity.items():
        if "@" in name or name in ("PartitionKey", "RowKey") or value is None:
            continue
        yield name, Instant.parse(value) if entity.get(f"{name}@odata.type") == "Edm.DateTime" else value


def rows_of(storage: Mapping[str, Any], table_suffix: str) -> list[Row]:
    """Return the rows of a dump's tables whose names end with `table_suffix`."""
    return [row_of(row) for name, table in storage["tables"].items() if name.endswith(table_suffix) for row in table]


def row_of(typed: Mapping[str, Mapping[str, Any]]) -> Row:
    """Read a row of a dump: {column: {"type": "Edm.…", "value": …}}."""
    columns = {name: _value(column) for name, column in typed.items()}
    return Row(str(columns.pop("PartitionKey")), str(columns.pop("RowKey")), columns)


def _value(typed: Mapping[str, Any]) -> Value:
    value = typed["value"]
    match typed["type"]:
        case "Edm.DateTime":
            return Instant.parse(value)
        case "Edm.Int64":
            return Int64(int(value))
        case "Edm.Binary":
            return base64.b64decode(value)
        case "Edm.Guid":
            return uuid.UUID(value)
        case "Edm.Double":
            return float(value)
        case "Edm.Int32" | "Edm.Boolean" | "Edm.String":
            return value  # type: ignore[no-any-return]
        case unknown:
            raise ValueError(f"unknown type {unknown} in a recording")


def as_sent(message: Mapping[str, Any]) -> str:
    """Return a message's JSON text as .NET sends it: without white space, with literal non-ASCII characters."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def message_blobs(storage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield name and content of the blobs that hold messages which are too long for a queue."""
    for container, blobs in storage["blobs"].items():
        if container.endswith("-largemessages"):
            for blob in blobs:
                if blob["name"].rpartition("/")[2].startswith("message-"):
                    yield blob["name"], blob["content"]
