"""Waiting until an app has nothing left to do: its triggers have found everything, and no function runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from emulator.clock import Clock
from emulator.host.host import Host
from emulator.testing.errors import NotSettled
from emulator.virtual_time import VirtualClock

# Longer than any trigger needs to notice something: queues are polled and containers are listed every two seconds.
_VIRTUAL_ROUND: Final = timedelta(seconds=10)
_REAL_ROUND: Final = timedelta(seconds=4)
# Virtual time in which a host has usually repeated a call that failed, and taken over the locks of the last host.
_RECOVERY: Final = timedelta(minutes=2)


async def settle(current_host: Callable[[], Host], clock: Clock, limit: timedelta, *, has_faults: bool = False) -> None:
    """Return when no function runs and none was started for a while. Raises NotSettled after `limit`.

    Runs on the host's loop. `has_faults`: whether storage calls fail and hosts crash, so that it takes longer.
    """
    end = clock.now() + limit
    while clock.now() <= end:
        host = current_host()
        before = host.started_invocations
        if not isinstance(clock, VirtualClock):
            await clock.sleep(_REAL_ROUND.total_seconds())
        elif has_faults:
            await advance_with_faults(clock, _RECOVERY)
        else:
            await clock.advance(_VIRTUAL_ROUND)
        if current_host() is host and not host.running_invocations and host.started_invocations == before:
            return
    raise NotSettled(limit, current_host().running_invocations)


async def advance_with_faults(clock: VirtualClock, length: timedelta) -> None:
    """Let time pass as VirtualClock.advance does, but let the host recover from faults before each jump.

    A host repeats a failed call after a pause that is upkeep, for which time does not jump. Stopping at all upkeep
    would take seconds of processor time for every hour.
    """
    target = clock.now() + length
    while True:
        await clock.advance(min(_RECOVERY, target - clock.now()), upkeep=True)
        if (now := clock.now()) >= target:
            return
        due = min((sleeper.due for sleeper in clock.sleepers() if not sleeper.upkeep), default=target)
        await clock.advance(max(min(due, target) - now, timedelta(0)))


async def idle_after_faults(
    clock: VirtualClock, number_of_faults: Callable[[], int], limit: timedelta | None, *, patience: timedelta
) -> bool:
    """Do the same as VirtualClock.run_until_idle, and let the host recover from faults.

    Nothing waits for the time at which a message comes back whose fetch has failed, so an app with such messages looks
    idle. It has none after `patience` without a fault.
    """
    end = None if limit is None else clock.now() + limit
    while True:
        is_idle = await clock.run_until_idle(None if end is None else end - clock.now())
        before = number_of_faults()
        pause = patience if end is None else min(patience, end - clock.now())
        if pause <= timedelta(0) or clock.is_frozen:
            return is_idle
        await advance_with_faults(clock, pause)
        if number_of_faults() == before:
            return await clock.run_until_idle(timedelta(0))
