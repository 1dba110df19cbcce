"""Receipt journal: a file of the pop receipts of all messages that a host has locked, for recovery after a kill.

A received message stays hidden until its lock ends, even if the host that received it was killed. Only its pop receipt
can make it visible sooner, so receipts are written to a file: a line when a message is locked, another one when it is
returned or deleted. A killed host had locked the messages that have only the first line.

The journal only speeds up recovery, so it needs neither transactions nor checksums: the service refuses a receipt that
is outdated, incomplete or of another account. See docs/decisions/0004-receipt-journal.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from emulator.logs import get_logger
from emulator.storage.port import ZERO, QueueMessage, StorageAccount, StorageError

_log = get_logger(__name__)

_LOCKED, _FORGOTTEN = "+", "-"
# When so many bytes have been appended, the file is rewritten with only the entries that are still valid.
_REWRITE_AFTER_BYTES = 1 << 20
# QueueMessage needs times. The journal does not contain them, and `hide` does not use them.
_NEVER = datetime.min.replace(tzinfo=UTC)


class ReceiptJournal(Protocol):
    """Record of the messages that a host has locked."""

    def record(self, queue_name: str, messages: Iterable[QueueMessage]) -> None:
        """Add messages that were received, or whose receipts have changed."""

    def forget(self, message: QueueMessage) -> None:
        """Remove a message that was deleted or returned to its queue."""


class NoReceiptJournal:
    """Records nothing, for hosts without an identity."""

    def record(self, queue_name: str, messages: Iterable[QueueMessage]) -> None:
        """See `ReceiptJournal`."""

    def forget(self, message: QueueMessage) -> None:
        """See `ReceiptJournal`."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Queue, id and pop receipt of a locked message."""

    queue_name: str
    message_id: str
    pop_receipt: str

    def line(self) -> str:
        """Return the line of the file, with its line feed."""
        return f"{_LOCKED}\t{self.queue_name}\t{self.message_id}\t{self.pop_receipt}\n"


class FileReceiptJournal:
    """A journal in a text file: first `title`, then a line per change.

    `previous`: the entries of the host that used the file before. The file is not flushed to the disk: its content
    survives a kill of the process, and after a restart of the machine the locks have ended anyway. Lines that cannot be
    written because the disk is full are written by a later change.
    """

    def __init__(self, path: Path, title: str, previous: Sequence[JournalEntry] = ()) -> None:
        """Open the file. Raises OSError. Only one process at a time may have it open."""
        self.previous = previous
        self._title = title
        self._entries = {entry.message_id: entry for entry in previous}
        self._is_complete, self._rewrite_at = False, 0
        path.touch(mode=0o600)
        # Unbuffered: a buffer in this process would be lost when the process is killed.
        self._file: BinaryIO = path.open("r+b", buffering=0)
        self._rewrite()

    def record(self, queue_name: str, messages: Iterable[QueueMessage]) -> None:
        """See `ReceiptJournal`."""
        entries = [JournalEntry(queue_name, message.id, message.pop_receipt) for message in messages]
        # Also kept in memory, because rewriting the file starts from the valid entries.
        self._entries.update((entry.message_id, entry) for entry in entries)
        if entries:
            self._append("".join(entry.line() for entry in entries))

    def forget(self, message: QueueMessage) -> None:
        """See `ReceiptJournal`."""
        self.remove(message.id)

    def remove(self, message_id: str) -> None:
        """Remove a message that is not locked any more."""
        # A message can be forgotten twice, for example when its renewal is refused and then its deletion.
        if self._entries.pop(message_id, None) is not None:
            self._append(f"{_FORGOTTEN}\t{message_id}\n")

    def close(self) -> None:
        """Rewrite the file with the remaining entries and close it."""
        self._rewrite()
        self._file.close()

    def _append(self, lines: str) -> None:
        if self._is_complete and self._file.tell() < self._rewrite_at:
            self._is_complete = self._write(lines)
        else:
            self._rewrite()

    def _rewrite(self) -> None:
        # The old content is overwritten before the rest is cut off. Truncating first would leave an empty file for a
        # moment, and a kill at that moment would lose all entries.
        self._file.seek(0)
        self._is_complete = self._write(f"{self._title}\n" + "".join(entry.line() for entry in self._entries.values()))
        self._rewrite_at = self._file.tell() + _REWRITE_AFTER_BYTES
        if self._is_complete:
            with suppress(OSError):
                self._file.truncate()

    def _write(self, text: str) -> bool:
        """Write `text`; False if a part of it is missing."""
        content = text.encode()
        try:
            # One system call, so that a kill leaves whole lines.
            return self._file.write(content) == len(content)
        except OSError:
            return False


def read_journal(path: Path) -> tuple[str, Sequence[JournalEntry]]:
    """Return the title and the locked messages; both are empty if there is no file.

    Lines that cannot be read are skipped. Raises OSError.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return "", ()
    # The last element is empty, or the beginning of a line that was not written to its end.
    # Undecodable bytes are replaced: a damaged file must not keep a host from starting, and the service refuses a
    # damaged receipt.
    [title, *lines] = content.decode(errors="replace").split("\n")[:-1] or [""]
    entries: dict[str, JournalEntry] = {}
    for line in lines:
        match line.split("\t"):
            case [mark, queue_name, message_id, receipt] if mark == _LOCKED:
                entries[message_id] = JournalEntry(queue_name, message_id, receipt)
            case [mark, message_id] if mark == _FORGOTTEN:
                entries.pop(message_id, None)
    return title, tuple(entries.values())


async def return_messages(journal: FileReceiptJournal, account: StorageAccount) -> bool:
    """Make the messages visible that a dead host had locked; return whether any of them still was locked by it.

    Raises StorageUnreachable; the entries not yet processed stay in the journal then.
    """
    has_returned = False
    for entry in journal.previous:
        message = QueueMessage(entry.message_id, "", entry.pop_receipt, 0, _NEVER, _NEVER)
        try:
            await account.queue(entry.queue_name).hide(message, hide_for=ZERO)
            has_returned = True
        except StorageError:
            _log.debug("Message %s of queue %s was deleted or received again", entry.message_id, entry.queue_name)
        # Removed after a refusal as well, because the receipt will not become valid again.
        journal.remove(entry.message_id)
    return has_returned
