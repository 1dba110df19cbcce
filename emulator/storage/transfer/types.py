"""Types shared by export and import: result, progress, error, and queue operations that only some stores have."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

from emulator.errors import EmulatorError
from emulator.storage.port import ZERO, ListableQueue, QueueMessage, StorageAccount
from emulator.storage.transfer.export_file import Item


class TransferRefused(EmulatorError):
    """The command would overwrite existing data. The message names it and says how to allow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """State of a running export or import.

    `item`: what is transferred now, `records`: how many records of this run. `done` of `total`: items (export) or
    bytes of the file (import).
    """

    item: Item
    records: int
    done: int
    total: int


@dataclass(slots=True)
class TransferResult:
    """How much was transferred. `unreadable`: hidden messages that could not be read, by queue."""

    items: int = 0
    messages: int = 0
    rows: int = 0
    blobs: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)


# A protocol, because transfers may not import a concrete store.
@runtime_checkable
class RestorableQueue(ListableQueue, Protocol):
    """A queue that also restores messages unchanged. Only the built-in store has such queues."""

    async def restore_message(
        self,
        message_id: str,
        body: str,
        *,
        visible_in: timedelta = ZERO,
        lives_for: timedelta | None = None,
        dequeue_count: int = 0,
    ) -> QueueMessage:
        """Add a message with a given id and dequeue count. A message with this id that exists stays as it is."""


def blobs_url(account: StorageAccount) -> str:
    """Return the URL that all container URLs of an account begin with."""
    # The port has no such method. The URL of a blob without a name ends with the name of its container.
    return account.container("any").url("").removesuffix("/any/")
