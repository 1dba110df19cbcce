"""Report of pauses of this process that lasted longer than its leases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from emulator.clock import Clock

# The leases of control queues (`partitioning.table_partitions.LEASE`), which end first of all that durable functions
# need. An app without them does not load that module.
_LEASE: Final = timedelta(seconds=30)
_CHECK_EVERY: Final = timedelta(seconds=5)


async def report_pauses(clock: Clock, report: Callable[[str], None]) -> None:
    """Call `report` with a line after each pause, until cancelled.

    A pause is a time in which the event loop did not run although a timer was due: the process was stopped, the
    computer slept, or native code held the interpreter.
    """
    while True:
        began_at = clock.now()
        await clock.sleep(_CHECK_EVERY.total_seconds(), upkeep=True)
        late = clock.now() - began_at - _CHECK_EVERY
        if late > _LEASE:
            report(
                f"The host was paused for {late.total_seconds():.0f} seconds, longer than its leases last "
                f"({_LEASE.total_seconds():.0f} seconds): the process was stopped, the computer slept, native code did "
                "not let Python run, or the clock was set. Another host may have taken over its work; what was not "
                "saved runs again."
            )
