"""Whole accounts, or chosen queues, tables and containers of them, to a file and back: what both ways have in common.

`exporting.export_account`, `importing.import_account`; the file: docs/storage-file-format.md.
Not carried over: leases, ETags, time stamps, the order of messages; all blobs become block blobs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol, runtime_checkable

from emulator.errors import EmulatorError
from emulator.storage.port import ZERO, QueueMessage, StorageAccount
from emulator.storage.transfer.file import Item

# The target of an import remembers in this table how far it came, so that it can be taken up after a crash.
LEDGER = "AzemuTransfer"


class TransferRefused(EmulatorError):
    """Something would be overwritten. The message names it and says how to allow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`item`: what is being carried, `records` so far of it. `done` of `total`: items (export) or bytes (import)."""

    item: Item
    records: int
    done: int
    total: int


@dataclass(slots=True)
class Transferred:
    """What was carried in this run. `unreadable`: hidden messages that only time could have shown, by queue.

    `went_on`: an earlier run was interrupted, and had carried the rest.
    """

    items: int = 0
    messages: int = 0
    rows: int = 0
    blobs: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)
    went_on: bool = False


@runtime_checkable
class WholeQueue(Protocol):
    """What a store that is ours can do beyond the port: show hidden messages, and put one as it was."""

    async def every(self) -> list[QueueMessage]:
        """All messages, hidden ones included, without receipts."""

    async def put_as(
        self,
        message_id: str,
        body: str,
        *,
        visible_in: timedelta = ZERO,
        lives_for: timedelta | None = None,
        dequeue_count: int = 0,
    ) -> QueueMessage: ...


def blobs_url(account: StorageAccount) -> str:
    """The URL below which the account's containers lie."""
    return account.container("any").url("").removesuffix("/any/")
