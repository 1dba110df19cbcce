"""Waiting until an app has nothing left to do: its triggers have found everything, and no function runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from emulator.clock import Clock
from emulator.host.host import Host
from emulator.testing.errors import NotSettled
from emulator.virtual_time import VirtualClock

# Longer than any trigger needs to notice something: queues are polled and containers are listed every two seconds.
_VIRTUAL_ROUND: Final = timedelta(seconds=10)
_REAL_ROUND: Final = timedelta(seconds=4)


async def settle(host: Host, clock: Clock, limit: timedelta) -> None:
    """Return when no function runs and none was started for a while. Raises NotSettled after `limit`.

    Runs on the host's loop.
    """
    end = clock.now() + limit
    while clock.now() <= end:
        before = host.started_invocations
        if isinstance(clock, VirtualClock):
            await clock.advance(_VIRTUAL_ROUND)
        else:
            await clock.sleep(_REAL_ROUND.total_seconds())
        if not host.running_invocations and host.started_invocations == before:
            return
    raise NotSettled(limit, host.running_invocations)
