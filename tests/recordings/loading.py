"""Loader that puts a recorded task hub into a storage account."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from emulator.storage.port import ZERO, Operation, Row, StorageAccount, TableOperation
from tests.recordings import row_of


@dataclass(frozen=True, slots=True)
class LoadedHub:
    """Task hub in an account. `then`: steps after the take-over; `expect`: status fields per instance."""

    hub: str
    then: Sequence[Mapping[str, Any]]
    expect: Mapping[str, Any]


async def load_hub(account: StorageAccount, document: Mapping[str, Any], hub: str) -> LoadedHub:
    """Write a recorded hub (`RecordingSet.hub` or `.midflight`) into the account under the name `hub`.

    A message becomes visible when the recorded one would have, counted from the moment the host was stopped. A message
    that the host was processing is visible at once.
    """
    storage = document.get("storage", document)
    old = document.get("hub") or next(name for name in storage["tables"] if name.endswith("Instances"))[:-9]
    stopped = datetime.fromisoformat(document["stopped"]) if "stopped" in document else datetime.now(UTC)
    loading = _Loading(account, old, hub, stopped)
    for name, rows in storage["tables"].items():
        await loading.table(name, rows)
    for name, messages in storage["queues"].items():
        await loading.queue(name, messages)
    for name, blobs in storage["blobs"].items():
        await loading.container(name, blobs)
    return LoadedHub(hub, document.get("then", ()), document.get("expect", {}))


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
        row = row_of(recorded)
        properties = {
            name: self.text(value, rename=all_texts or name == "TaskHubName") if isinstance(value, str) else value
            for name, value in row.properties.items()
        }
        partition_key = self.renamed(row.partition_key) if all_texts else row.partition_key
        return replace(row, partition_key=partition_key, row_key=self.renamed(row.row_key), properties=properties)

    def text(self, text: str, *, rename: bool) -> str:
        """Return a text column's value with the URL of a large payload's blob changed to that in this account."""
        match = re.fullmatch(rf"https?://.+/{re.escape(self.old.lower())}-largemessages/(.+)", text)
        if match is None:
            return self.renamed(text) if rename else text
        return self.account.container(f"{self.new.lower()}-largemessages").url(unquote(match.group(1)))

    async def queue(self, name: str, messages: Sequence[Any]) -> None:
        queue = self.account.queue(self.renamed(name))
        await queue.create()
        for message in messages:
            text = message if isinstance(message, str) else message["text"]
            await queue.put(self.renamed(text), visible_in=self.left(message))

    def left(self, message: Any) -> timedelta:
        """Return the whole seconds for which a message stays hidden after loading."""
        # A dequeue count means that the stopped host had the message: its lock ended with the host.
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
