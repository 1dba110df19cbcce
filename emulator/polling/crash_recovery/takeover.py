"""Takeover of the messages that killed hosts on this machine had locked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from emulator.background import background
from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.logs import get_logger
from emulator.polling.crash_recovery.host_identity import HostIdentity, journals_of_dead_hosts
from emulator.polling.crash_recovery.receipt_journal import return_messages
from emulator.polling.failures import Failures
from emulator.storage.port import StorageAccount

_log = get_logger(__name__)

_CHECK_INTERVAL = timedelta(seconds=5)


@asynccontextmanager
async def takeover(
    identity: HostIdentity, account: StorageAccount, clock: Clock, *, what: str, consequence: str
) -> AsyncIterator[None]:
    """Return the messages of the host that had this identity; while the body runs, also those of other dead hosts.

    For the log, `what`: what the killed host was processing; `consequence`: what follows for the user's functions.
    """
    # Before the queues are polled, so that the first poll finds the messages of the killed host.
    if await return_messages(identity.journal, account):
        _log.warning("The previous host was killed while it was processing %s. %s", what, consequence)

    failures = Failures("Returning the messages of killed hosts", clock)

    async def check_other_hosts() -> None:
        while True:
            await clock.sleep(_CHECK_INTERVAL.total_seconds(), upkeep=True)
            for journal in journals_of_dead_hosts(identity):
                try:
                    if await return_messages(journal, account):
                        _log.warning(
                            "Another host of this app was killed while it was processing %s. %s", what, consequence
                        )
                except EmulatorError as error:
                    _log.debug("The messages of a killed host could not be returned to their queues yet: %s", error)
                except Exception as error:
                    # A damaged journal must not end the listener. The locks of its messages end by themselves.
                    failures.note(error)

    # A host with another identity can be killed at any time, and perhaps no host is started that claims its identity.
    async with background(check_other_hosts(), name="takeover of other hosts"):
        yield
