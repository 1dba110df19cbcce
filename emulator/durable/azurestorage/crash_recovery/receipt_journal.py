"""Which messages a host holds, written down where its successor finds it.

A message that was taken stays hidden until its lock ends, also when the host that took it was killed: only the receipt
could make it visible sooner. So receipts are kept in a file. Each is written when its message comes and struck out
when it goes; what a killed host did not strike out is what it held.

The file can only help. A receipt that is outdated, torn or of another account is refused by the service.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from emulator.storage.port import ZERO, QueueMessage, StorageAccount, StorageError

_log = logging.getLogger(__name__)

_HELD, _GONE = "+", "-"
# After that many bytes the file is written anew, with only what still counts.
_LONG = 1 << 20
_NEVER = datetime.min.replace(tzinfo=UTC)


class Ledger(Protocol):
    """`hold` when messages come or their receipts change, `release` when they are gone or given back."""

    def hold(self, queue_name: str, messages: Iterable[QueueMessage]) -> None: ...

    def release(self, message: QueueMessage) -> None: ...


class NoLedger:
    """Nobody comes after this host on this machine."""

    def hold(self, queue_name: str, messages: Iterable[QueueMessage]) -> None:
        pass

    def release(self, message: QueueMessage) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Held:
    queue_name: str
    message_id: str
    pop_receipt: str


class FileLedger:
    """A text file: first `title`, then a line per change. `left`: what the host before us held when it ended.

    Not flushed to the disk: what is written survives the process, which is all that is asked. What cannot be written
    (a full disk) is written when it can be; until then locks end in their time.
    """

    def __init__(self, path: Path, title: str, left: Sequence[Held] = ()) -> None:
        """Raises OSError. Only one process at a time may have the file."""
        self.left = left
        self._title = title
        self._held = {each.message_id: each for each in left}
        self._is_whole, self._full_at = False, 0
        path.touch()
        # Without a buffer of ours: the kill would take it along.
        self._file: BinaryIO = path.open("r+b", buffering=0)
        self._start_over()

    def hold(self, queue_name: str, messages: Iterable[QueueMessage]) -> None:
        found = [Held(queue_name, message.id, message.pop_receipt) for message in messages]
        self._held.update((each.message_id, each) for each in found)
        if found:
            self._add("".join(map(_line, found)))

    def release(self, message: QueueMessage) -> None:
        self.strike(message.id)

    def strike(self, message_id: str) -> None:
        if self._held.pop(message_id, None) is not None:
            self._add(f"{_GONE}\t{message_id}\n")

    def close(self) -> None:
        self._start_over()
        self._file.close()

    def _add(self, lines: str) -> None:
        if self._is_whole and self._file.tell() < self._full_at:
            self._is_whole = self._written(lines)
        else:
            self._start_over()

    def _start_over(self) -> None:
        """Write what counts over what was there, then cut off the rest: no moment at which a kill loses it."""
        self._file.seek(0)
        self._is_whole = self._written(f"{self._title}\n" + "".join(map(_line, self._held.values())))
        self._full_at = self._file.tell() + _LONG
        if self._is_whole:
            with suppress(OSError):
                self._file.truncate()

    def _written(self, text: str) -> bool:
        """In one call, so that a kill leaves whole lines. False: at most a part of it."""
        content = text.encode()
        try:
            return self._file.write(content) == len(content)
        except OSError:
            return False


def read_ledger(path: Path) -> tuple[str, Sequence[Held]]:
    """The title and what is held; both empty if there is no file. Lines that are none are skipped. Raises OSError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return "", ()
    # What follows the last line feed was torn off.
    [title, *lines] = content.decode(errors="replace").split("\n")[:-1] or [""]
    return title, tuple(_held_after(line.split("\t") for line in lines).values())


def _held_after(lines: Iterable[Sequence[str]]) -> Mapping[str, Held]:
    held: dict[str, Held] = {}
    for line in lines:
        match line:
            case [mark, queue_name, message_id, receipt] if mark == _HELD:
                held[message_id] = Held(queue_name, message_id, receipt)
            case [mark, message_id] if mark == _GONE:
                held.pop(message_id, None)
    return held


def _line(held: Held) -> str:
    return f"{_HELD}\t{held.queue_name}\t{held.message_id}\t{held.pop_receipt}\n"


async def give_back_what_was_left(ledger: FileLedger, account: StorageAccount) -> bool:
    """Make visible what a host held that is dead: nobody works on it any more. False: there was nothing (any more)."""
    return any([await _given_back(held, ledger, account) for held in ledger.left])


async def _given_back(held: Held, ledger: FileLedger, account: StorageAccount) -> bool:
    message = QueueMessage(held.message_id, "", held.pop_receipt, 0, _NEVER, _NEVER)
    try:
        await account.queue(held.queue_name).hide(message, hide_for=ZERO)
        is_ours = True
    except StorageError:
        _log.debug("Message %s of queue %s is gone or in other hands by now", held.message_id, held.queue_name)
        is_ours = False
    ledger.strike(held.message_id)
    return is_ours
