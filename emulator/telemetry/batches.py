"""A bounded queue of telemetry, and one task that sends its content in batches.

    async with sending(Batches(post, clock, receiver="OpenTelemetry: the collector at …", items="spans")) as batches:
        batches.add(span)

Nothing waits for the receiver. If it does not respond, one line is logged, items are kept up to a limit, and the newest
beyond it are dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from emulator.background import background
from emulator.clock import Clock, within
from emulator.logs import get_logger

T = TypeVar("T")

_log = get_logger(__name__)

_MAX_WAITING: Final = 8192
# The default of OpenTelemetry's batch processor (OTEL_BSP_MAX_EXPORT_BATCH_SIZE).
_MAX_BATCH: Final = 512
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
# The default of OTEL_EXPORTER_OTLP_TIMEOUT.
_REQUEST_SECONDS: Final = 10.0
# A stop of the host should not take longer because of a receiver.
_LAST_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What has become of a batch. `problem`: what the receiver does instead of taking it; None: it has taken all.

    `unsent`: items to send again. `refused`: the number of those that the receiver would refuse each time.
    """

    problem: str | None = None
    unsent: Sequence[T] = ()
    refused: int = 0


Post = Callable[[Sequence[T], float], Coroutine[Any, Any, Outcome[T]]]
"""Sends a batch within some seconds. If it is cancelled, the batch is sent again."""


class Batches(Generic[T]):
    """Items that wait for being sent. `receiver`, `items`, `advice`: words for log lines.

    To be created on the event loop that enters `sending`.
    """

    def __init__(self, post: Post[T], clock: Clock, *, receiver: str, items: str, advice: str = "") -> None:
        self._post = post
        self._clock = clock
        self._receiver = receiver
        self._items = items
        self._advice = advice
        self._waiting: deque[T] = deque()
        self._dropped = 0
        self._problem: str | None = None
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._is_woken = False
        self._sending = asyncio.Lock()

    def add(self, item: T) -> None:
        """Add an item to be sent. May be called on any thread; never blocks."""
        # Without a receiver, items must not fill the memory. The oldest ones are kept: they show how it began.
        if len(self._waiting) >= _MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append(item)
        # Once for each group of items, because a call of the loop costs more than an item.
        if not self._is_woken:
            self._is_woken = True
            # User code may log on a thread that outlives the host.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ready.set)

    async def run(self) -> None:
        """Send items as they come, until cancelled."""
        pause = _PAUSE_SECONDS
        while True:
            await self._ready.wait()
            # Items come in groups, and a request for each would cost more than they do.
            await self._clock.sleep(pause, upkeep=True)
            # Before the queue is read: an item that is added from now on sets the event again.
            self._is_woken = False
            self._ready.clear()
            sent = True
            while sent and self._waiting:
                sent = await self._send(_REQUEST_SECONDS)
            # A receiver that is away is asked less and less often.
            pause = _PAUSE_SECONDS if sent else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            # What is left after a failure needs no new item for the next attempt.
            if self._waiting:
                self._ready.set()

    async def wait_until_sent(self) -> None:
        """Wait for the end of a request under way, but not long."""
        # Cancelling it would mean to send the same items again, which the receiver may have taken already.
        with suppress(TimeoutError):
            await within(self._clock, _LAST_SECONDS, self._sending.acquire())
            self._sending.release()

    async def send_rest(self) -> None:
        """Send what is left, and log how much could not be sent."""
        # A receiver that did not respond before is tried once more, and not for each batch.
        while self._waiting and await self._send(_LAST_SECONDS):
            pass
        if self._waiting or self._dropped:
            _log.warning("%s: %d %s were not sent.", self._receiver, len(self._waiting) + self._dropped, self._items)

    async def _send(self, seconds: float) -> bool:
        """Send the oldest items. Return False if some have to be sent again."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MAX_BATCH))]
        try:
            async with self._sending:
                # The receiver works in real time.
                with self._clock.busy():
                    outcome = await self._post(batch, seconds)
        # The host stops, and `send_rest` sends them. A receiver that had taken them already gets them twice, with the
        # same ids.
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        # At the front, in their order.
        self._waiting.extendleft(reversed(outcome.unsent))
        self._dropped += outcome.refused
        if outcome.problem is not None:
            # Once for each outage, whatever the reasons of later attempts are.
            if self._problem is None:
                fate = "kept for later" if outcome.unsent else "dropped"
                _log.warning(
                    "%s %s. The %s are %s.%s", self._receiver, outcome.problem, self._items, fate, self._advice
                )
            self._problem = outcome.problem
        # As a warning, like the beginning of the outage: a log that shows one of them shows the other.
        elif self._problem is not None:
            self._problem = None
            _log.warning("%s takes %s again (%d were dropped).", self._receiver, self._items, self._dropped)
            self._dropped = 0
        return not outcome.unsent


@asynccontextmanager
async def sending(batches: Batches[T]) -> AsyncIterator[Batches[T]]:
    """Send items while entered. Leaving sends what is left, for some seconds at most."""
    # Also when a host is stopped, which cancels its body.
    try:
        async with background(batches.run(), name="export of telemetry"):
            try:
                yield batches
            finally:
                await batches.wait_until_sent()
    finally:
        # After the task has ended, so that two requests cannot have the same items.
        await batches.send_rest()
