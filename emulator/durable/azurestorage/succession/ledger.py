"""Which messages a host holds, written down where its successor finds it.

A message that was taken stays hidden until its lock ends, five minutes by default, also when the host that took it was
killed: only the receipt could make it visible sooner. So receipts are kept in a file. Each is written when its message
comes and struck out when it goes; what a killed host did not strike out is what it held.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from emulator.errors import EmulatorError
from emulator.storage.api import ZERO, QueueMessage, StorageAccount, StorageError

_log = logging.getLogger(__name__)

_HELD, _GONE = "+", "-"
# Rewritten when it is longer, with only what still counts.
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

    Not flushed to the disk: what is written survives the process, which is all that is asked. When writing fails (a
    full disk), locks end in their time.
    """

    def __init__(self, path: Path, title: str) -> None:
        """Raises OSError. Only one process at a time may have the file."""
        self._held = dict(_read(path, title))
        self.left: Sequence[Held] = tuple(self._held.values())
        self._file: BinaryIO = path.open("w+b", buffering=0)
        self._write(f"{title}\n")
        self._begin = self._file.tell()
        self._write_held()

    def hold(self, queue_name: str, messages: Iterable[QueueMessage]) -> None:
        found = [Held(queue_name, message.id, message.pop_receipt) for message in messages]
        self._held.update((each.message_id, each) for each in found)
        self._write("".join(map(_line, found)))

    def release(self, message: QueueMessage) -> None:
        self.strike(message.id)

    def strike(self, message_id: str) -> None:
        if self._held.pop(message_id, None) is None:
            return
        if self._held and self._file.tell() < _LONG:
            self._write(f"{_GONE}\t{message_id}\n")
        else:
            self._start_over()

    def close(self) -> None:
        self._file.close()

    def _start_over(self) -> None:
        with suppress(OSError):
            self._file.seek(self._begin)
            self._file.truncate()
        self._write_held()

    def _write_held(self) -> None:
        self._write("".join(map(_line, self._held.values())))

    def _write(self, text: str) -> None:
        # In one call, so that a kill leaves whole lines.
        if text:
            with suppress(OSError):
                self._file.write(text.encode())


async def give_back_what_was_left(ledger: FileLedger, account: StorageAccount) -> None:
    """Make visible what the host before us held: it is dead, so nobody works on it any more."""
    await asyncio.gather(*(_give_back(held, ledger, account) for held in ledger.left))
    if ledger.left:
        _log.info("The host before this one was killed; %d messages that it held are taken up again", len(ledger.left))


async def _give_back(held: Held, ledger: FileLedger, account: StorageAccount) -> None:
    message = QueueMessage(held.message_id, "", held.pop_receipt, 0, _NEVER, _NEVER)
    try:
        await account.queue(held.queue_name).hide(message, hide_for=ZERO)
    except StorageError:
        _log.debug("Message %s of queue %s is gone or in other hands by now", held.message_id, held.queue_name)
    except EmulatorError as error:
        _log.warning("A message of queue %s comes again only when its lock ends: %s", held.queue_name, error)
    ledger.strike(held.message_id)


def _line(held: Held) -> str:
    return f"{_HELD}\t{held.queue_name}\t{held.message_id}\t{held.pop_receipt}\n"


def _read(path: Path, title: str) -> Mapping[str, Held]:
    """What is held according to the file; nothing, if it is not there or has another title."""
    with suppress(OSError, UnicodeDecodeError):
        first, *lines = path.read_text(encoding="utf-8").split("\n")
        if first == title:
            return _held_by(line.split("\t") for line in lines[:-1])
    return {}


def _held_by(lines: Iterable[Sequence[str]]) -> Mapping[str, Held]:
    held: dict[str, Held] = {}
    for line in lines:
        match line:
            case [mark, queue_name, message_id, receipt] if mark == _HELD:
                held[message_id] = Held(queue_name, message_id, receipt)
            case [mark, message_id] if mark == _GONE:
                held.pop(message_id, None)
    return held
