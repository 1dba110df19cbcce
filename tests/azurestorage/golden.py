"""The recordings of the real stack, as values of ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.instant import Instant
from emulator.storage.port import Int64, Row, Value

GOLDEN = Path(__file__).parents[2] / ".." / "shared" / "golden"
SCENARIOS = sorted(path.parent.name for path in GOLDEN.glob("*/requests.jsonl"))
MIDFLIGHT = sorted(path.stem for path in (GOLDEN / "midflight").glob("*.json"))


def requests(scenario: str) -> Iterator[dict[str, Any]]:
    """The storage operations in order, without the closing line that counts the idle ones."""
    with (GOLDEN / scenario / "requests.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            request = json.loads(line)
            if "service" in request:
                yield request


def hub(scenario: str) -> dict[str, Any]:
    """What was in the hub at the end: "tables", "queues", "blobs"."""
    found: dict[str, Any] = json.loads((GOLDEN / scenario / "hub.json").read_text(encoding="utf-8"))
    return found


def midflight(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / "midflight" / f"{name}.json").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Write:
    """A row that .NET sent: `columns` without keys and nulls, in the order sent."""

    operation: str
    table: str
    partition_key: str
    row_key: str
    columns: dict[str, Value]


def writes(scenario: str) -> Iterator[Write]:
    for request in requests(scenario):
        for part in request.get("rows", []) if request["op"] == "transaction" else [request]:
            if "entity" in part:
                yield _write(part)


def _write(part: Mapping[str, Any]) -> Write:
    entity = part["entity"]
    return Write(
        part["op"], part["row"].partition("(")[0], entity["PartitionKey"], entity["RowKey"], dict(_sent(entity))
    )


def _sent(entity: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for name, value in entity.items():
        if "@" in name or name in ("PartitionKey", "RowKey") or value is None:
            continue
        yield name, Instant.parse(value) if entity.get(f"{name}@odata.type") == "Edm.DateTime" else value


def as_row(write: Write) -> Row:
    return Row(write.partition_key, write.row_key, write.columns)


def rows(storage: Mapping[str, Any], table_suffix: str) -> list[Row]:
    """The rows of one table of a dump."""
    return [_row(row) for name, found in storage["tables"].items() if name.endswith(table_suffix) for row in found]


def _row(typed: Mapping[str, Mapping[str, Any]]) -> Row:
    columns = {name: _value(found) for name, found in typed.items() if name not in ("PartitionKey", "RowKey")}
    return Row(typed["PartitionKey"]["value"], typed["RowKey"]["value"], columns)


def _value(typed: Mapping[str, Any]) -> Value:
    value: Any = typed["value"]
    match typed["type"]:
        case "Edm.DateTime":
            return Instant.parse(value)
        case "Edm.Int64":
            return Int64(int(value))
        case "Edm.Binary":
            return base64.b64decode(value)
        case _:
            found: Value = value
            return found


def messages(scenario: str) -> Iterator[tuple[str, str]]:
    """Queue name and JSON text of every message that was sent."""
    for request in requests(scenario):
        if request["op"] == "put message":
            yield request["queue"], as_sent(request["message"])


def as_sent(message: Mapping[str, Any]) -> str:
    """The recording keeps messages parsed; .NET sends them without white space and with literal characters."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def message_blobs(storage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for container, blobs in storage["blobs"].items():
        if container.endswith("-largemessages"):
            for blob in blobs:
                if blob["name"].rpartition("/")[2].startswith("message-"):
                    yield blob["name"], blob["content"]
