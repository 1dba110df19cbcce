"""Going on with what killed hosts left: the one that sat here before us, and others whom nobody follows."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from emulator.background import background
from emulator.clock import Clock
from emulator.durable.azurestorage.crash_recovery.host_identity import Seat, ledgers_of_the_dead
from emulator.durable.azurestorage.crash_recovery.receipt_journal import FileLedger, give_back_what_was_left
from emulator.errors import EmulatorError
from emulator.storage.port import StorageAccount

_log = logging.getLogger(__name__)

_LOOK_EVERY = timedelta(seconds=5)


@asynccontextmanager
async def inheriting(seat: Seat, account: StorageAccount, clock: Clock) -> AsyncIterator[None]:
    """At entry from the host before us; while the body runs from hosts beside us, whom perhaps nobody will follow."""
    if await give_back_what_was_left(seat.ledger, account):
        _log.warning(
            "The host before this one was killed in the middle of its work. This one goes on with it; activities that "
            "were under way run again."
        )
    async with background(_look_beside(seat, account, clock), name="hosts beside this one"):
        yield


async def _look_beside(seat: Seat, account: StorageAccount, clock: Clock) -> None:
    while True:
        await clock.sleep(_LOOK_EVERY.total_seconds(), upkeep=True)
        for ledger in ledgers_of_the_dead(seat):
            await _inherit(ledger, account)


async def _inherit(ledger: FileLedger, account: StorageAccount) -> None:
    try:
        if await give_back_what_was_left(ledger, account):
            _log.warning(
                "Another host of this app was killed in the middle of its work. Activities that were under way there "
                "run again."
            )
    except EmulatorError as error:
        _log.debug("What another host left is given back later: %s", error)
