"""Listener of a timer trigger: runs one function at the times of its schedule, on one host at a time.

Source: docs/protocol/functions-host.md 8.2 (webjobs-sdk-extensions: TimerListener).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from emulator.background import background
from emulator.clock import Clock, within
from emulator.dotnet.timespan import format_timespan
from emulator.errors import EmulatorError
from emulator.extensions.timers.events import Occasion, timer_event
from emulator.extensions.timers.local_time import NEVER, LocalZone
from emulator.extensions.timers.schedule import Schedule, occurrences
from emulator.extensions.timers.status import ScheduleStatus, is_from_future, status_at_start
from emulator.extensions.timers.status_blob import StatusBlob
from emulator.host.port import HostLocks, Invoke
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.storage.port import StorageOutage

_log = get_logger(__name__)

_ANNOUNCED: Final = 5
# .NET's timers have at most 24.8 days, and each piece has a line in the log.
_LONGEST_PIECE: Final = timedelta(days=24)
# How often the host looks at the time while it waits. The timers of an event loop stand still while the computer is
# suspended, and do not follow a clock that is set.
_CHECK_INTERVAL: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A timer function. `status_blob` None: runs are not monitored, so that a missed one is not caught up."""

    function: str
    schedule: Schedule
    zone: LocalZone
    run_on_startup: bool
    status_blob: StatusBlob | None


class TimerListener:
    """Runs a timer function while `listening` is entered. Its runs never overlap on this host.

    `wait_until_running`: returns when the host is running; the first run waits for that.
    """

    def __init__(
        self,
        timer: Timer,
        invoke: Invoke,
        locks: HostLocks,
        clock: Clock,
        wait_until_running: Callable[[], Awaitable[None]],
    ) -> None:
        self._timer = timer
        self._invoke = invoke
        self._locks = locks
        self._clock = clock
        self._wait_until_running = wait_until_running
        self._entered = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Run the function at its times while entered; leaving waits for a run that is in progress.

        Entering waits until the listener lock is held and the stored status is read, or until another host is known to
        hold the lock. Raises StatusUnreadable, StorageError, StorageUnreachable, and HostLockLost later.
        """
        async with background(self._run(), name=f"timer {self._timer.function}"):
            await self._entered.wait()
            try:
                yield
            finally:
                self._stopping = True
                await self._idle.wait()
                _log.debug("Timer listener stopped (%s)", self._timer.function)

    async def _run(self) -> None:
        timer = self._timer
        async with self._locks.listener(timer.function, on_wait=self._entered.set):
            status, occasion = await self._start()
            self._entered.set()
            await self._wait_until_running()
            while not self._stopping:
                if occasion is Occasion.SCHEDULED:
                    status = replace(status, next=await self._wait_until(status.next))
                status = await self._fire(status, occasion)
                occasion = Occasion.SCHEDULED

    async def _start(self) -> tuple[ScheduleStatus, Occasion]:
        """Return the status to continue with, and the occasion of the first run."""
        timer, now = self._timer, self._now()
        _log.debug(
            "The '%s' timer is using the schedule '%s' and the local time zone: '%s'",
            timer.function,
            timer.schedule,
            timer.zone.title(now),
        )
        is_past_due = False
        status = ScheduleStatus.first(timer.schedule, now)
        if timer.status_blob is not None:
            stored = await timer.status_blob.read()
            _log.debug("Function '%s' initial status: %s", timer.function, self._description(stored))
            if stored is not None and is_from_future(stored, now):
                _log.warning(
                    "The schedule status of function '%s' is from the future (%s), from before the clock was set back. "
                    "It is replaced.",
                    timer.function,
                    timer.zone.text(max(stored.last, stored.last_updated)),
                )
            start = status_at_start(stored, timer.schedule, now)
            if start.stored is not None:
                await self._store(timer.status_blob, start.stored)
            status, is_past_due = start.status, start.is_past_due
        self._announce(now)
        if is_past_due:
            _log.debug("Function '%s' is past due on startup. Executing now.", timer.function)
            return status, Occasion.PAST_DUE
        if timer.run_on_startup:
            _log.debug("Function '%s' is configured to run on startup. Executing now.", timer.function)
            return status, Occasion.STARTUP
        return status, Occasion.SCHEDULED

    def _announce(self, now: Instant) -> None:
        timer = self._timer
        upcoming = occurrences(timer.schedule, now, _ANNOUNCED)
        _log.info(
            "The next %d occurrences of the '%s' schedule (%s) will be:\n%s",
            _ANNOUNCED,
            timer.function,
            timer.schedule,
            "\n".join(timer.zone.occurrence_text(moment) for moment in upcoming),
        )
        if upcoming[0] == NEVER:
            _log.warning(
                "The schedule of function '%s' (%s) never occurs: no date has all of its values. Correct its "
                "day, month or day of week.",
                timer.function,
                timer.schedule,
            )

    async def _wait_until(self, due: Instant) -> Instant:
        """Wait for the time of the next run, and return it: it changes if the clock is set back meanwhile."""
        if due == NEVER:
            # Without a date there is nothing to wait for. Virtual time would jump to the year 9999.
            await asyncio.Event().wait()
        while (remaining := due - self._now()) > timedelta(0):
            piece = min(remaining, _LONGEST_PIECE)
            _log.debug("Timer for '%s' started with interval '%s'.", self._timer.function, format_timespan(piece))
            sleep = self._clock.sleep(piece.total_seconds(), recurring=True)
            async with background(sleep, name=f"schedule of {self._timer.function}") as alarm:
                while not alarm.done() and (before := self._now()) < due:
                    with suppress(TimeoutError):
                        await within(self._clock, _CHECK_INTERVAL.total_seconds(), asyncio.wait({alarm}), upkeep=True)
                    if (now := self._now()) < before:
                        # Otherwise the function would not run until the clock shows the old time again.
                        due = min(due, self._timer.schedule.next_after(now))
                        break
        return due

    async def _fire(self, status: ScheduleStatus, occasion: Occasion) -> ScheduleStatus:
        """Run the function once, and store the new status even if it fails: failures do not change the schedule."""
        timer, started_at = self._timer, self._now()
        monitored = None if timer.status_blob is None else status
        self._idle.clear()
        try:
            # The invoker has logged these errors.
            with suppress(EmulatorError):
                await self._invoke(timer_event(timer.schedule, monitored, occasion, started_at, timer.zone))
            status = ScheduleStatus.after_run(timer.schedule, started_at)
            if timer.status_blob is not None:
                await self._store(timer.status_blob, status)
                # The text costs a tenth of a run in virtual time.
                if _log.isEnabledFor(logging.DEBUG):
                    _log.debug("Function '%s' updated status: %s", timer.function, self._description(status))
        finally:
            self._idle.set()
        return status

    async def _store(self, blob: StatusBlob, status: ScheduleStatus) -> None:
        try:
            await blob.write(status)
        except EmulatorError as error:
            # The schedule continues: only a later start would repeat this run, or not catch up a missed one. In an
            # outage this would be a line for every run, and the account has logged it.
            _log.log(
                logging.DEBUG if isinstance(error, StorageOutage) else logging.ERROR,
                "Function 'Host.Functions.%s' failed to update the timer trigger status. If this host stops now, the "
                "next start goes by the previous status: %s",
                self._timer.function,
                error,
            )

    def _description(self, status: ScheduleStatus | None) -> str:
        if status is None:
            return "Last='(null)', Next='(null)', LastUpdated='(null)'"
        texts = [self._timer.zone.text(time, digits=True) for time in (status.last, status.next, status.last_updated)]
        return "Last='{}', Next='{}', LastUpdated='{}'".format(*texts)

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())
