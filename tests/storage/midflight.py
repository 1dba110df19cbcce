"""Load recorded task hubs (shared/golden/midflight/*.json, */hub.json) into a storage account.

The format is described in shared/golden/README.md and hub_tool.py.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from emulator.instant import Instant
from emulator.storage.port import ZERO, Int64, Operation, Row, StorageAccount, TableOperation, Value

GOLDEN = Path(__file__).parents[2] / ".." / "shared" / "golden"
MIDFLIGHT = sorted((GOLDEN / "midflight").glob("*.json"))


@dataclass(frozen=True, slots=True)
class Midflight:
    """A hub as a killed host left it. `then`: steps after the take-over; `expect`: status fields per instance."""

    hub: str
    then: Sequence[Mapping[str, Any]]
    expect: Mapping[str, Any]


async def load_midflight(account: StorageAccount, file: Path, hub: str) -> Midflight:
    """Put the recorded hub into the account under the name `hub`.

    A message becomes visible when the recorded one would have, counted from the moment the host was stopped; work in
    progress at once, because its lease died with the host.
    """
    document = json.loads(file.read_text(encoding="utf-8"))
    storage = document.get("storage", document)
    old = document.get("hub") or next(name for name in storage["tables"] if name.endswith("Instances"))[:-9]
    loading = _Loading(account, old, hub, _moment(document.get("stopped")))
    for name, rows in storage["tables"].items():
        await loading.table(name, rows)
    for name, messages in storage["queues"].items():
        await loading.queue(name, messages)
    for name, blobs in storage["blobs"].items():
        await loading.container(name, blobs)
    return Midflight(hub, document.get("then", ()), document.get("expect", {}))


@dataclass(frozen=True, slots=True)
class _Loading:
    account: StorageAccount
    old: str
    new: str
    stopped: datetime

    def renamed(self, text: str) -> str:
        return text.replace(self.old, self.new).replace(self.old.lower(), self.new.lower())

    async def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        table = self.account.table(self.renamed(name))
        await table.create()
        for recorded in rows:
            row = self.row(recorded, all_texts=name.endswith("Partitions"))
            await table.submit([TableOperation(Operation.INSERT_OR_REPLACE, row)])

    def row(self, recorded: Mapping[str, Any], *, all_texts: bool) -> Row:
        properties: dict[str, Value] = {}
        for name, typed in recorded.items():
            value = _value(typed)
            if isinstance(value, str):
                value = self.moved(value)
                if all_texts or name in ("RowKey", "TaskHubName"):
                    value = self.renamed(value)
            properties[name] = value
        return Row(str(properties.pop("PartitionKey")), str(properties.pop("RowKey")), properties)

    def moved(self, text: str) -> str:
        """A property that is the URL of a large payload points to the new place."""
        match = re.fullmatch(rf"https?://.+/{re.escape(self.old.lower())}-largemessages/(.+)", text)
        if match is None:
            return text
        return self.account.container(f"{self.new.lower()}-largemessages").url(unquote(match.group(1)))

    async def queue(self, name: str, messages: Sequence[Any]) -> None:
        queue = self.account.queue(self.renamed(name))
        await queue.create()
        for message in messages:
            text = message if isinstance(message, str) else message["text"]
            await queue.put(self.renamed(text), visible_in=self.left(message))

    def left(self, message: Any) -> timedelta:
        """Whole seconds that a message stays hidden after loading."""
        if isinstance(message, str) or int(message["dequeue_count"]) or message["next_visible"] is None:
            return ZERO
        until = datetime.fromtimestamp(float(message["next_visible"]) / 1000, UTC)
        return timedelta(seconds=max(0, round((until - self.stopped).total_seconds())))

    async def container(self, name: str, blobs: Sequence[Mapping[str, Any]]) -> None:
        container = self.account.container(self.renamed(name))
        await container.create()
        for blob in blobs:
            content = blob["content"]
            data = base64.b64decode(content["base64"]) if isinstance(content, dict) else self.renamed(content).encode()
            await container.write(
                self.renamed(blob["name"]),
                gzip.compress(data) if blob["name"].endswith(".gz") else data,
                content_type=blob["content_type"],
                metadata=blob["metadata"],
            )


def _moment(text: str | None) -> datetime:
    return datetime.now(UTC) if text is None else datetime.fromisoformat(text)


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
