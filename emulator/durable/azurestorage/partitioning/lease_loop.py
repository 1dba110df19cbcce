"""Lease loop: the periodic passes in which a partition manager reads, renews and hands over leases.

A pass can be requested at any time, so that a host need not wait for the next regular one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from emulator.background import background, run_to_completion
from emulator.clock import Clock, within
from emulator.durable.azurestorage.partitioning.partition_manager import Recreate
from emulator.storage.port import NotFound

T = TypeVar("T")


class LeaseLoop:
    """Connects the loop that runs the passes with the callers that request them.

    `is_stopping`: the loop is to hand over its leases and end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_stopping = False
        self._is_requested = asyncio.Event()
        # Replaced after every pass, because an event that is set once would not let callers wait for the next pass.
        self._pass_ended = asyncio.Event()

    @asynccontextmanager
    async def running(self, loop: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Run `loop` while the body runs; afterwards let it hand over its leases and wait for its end."""
        self.is_stopping, self._pass_ended = False, asyncio.Event()
        async with background(loop, name="partitions") as task:
            try:
                yield
            finally:
                self.is_stopping = True
                self.request_pass()
                # Even if the host's stop is cancelled: leases that are not handed over keep other hosts from these
                # queues for half a minute.
                await run_to_completion(asyncio.wait({task}))

    def request_pass(self) -> None:
        """Run the next pass at once."""
        self._is_requested.set()

    async def wait_for_pass(self) -> None:
        """Request a pass and wait until it has ended. The loop must be running."""
        pass_ended = self._pass_ended
        self._is_requested.set()
        await pass_ended.wait()

    def begin_pass(self) -> None:
        """Note that a pass begins: requests from now on are for the pass after it."""
        self._is_requested.clear()

    async def run_pass(self, lease_pass: Callable[[], Awaitable[T]], recreate: Recreate) -> T:
        """Run a pass; if the leases have disappeared, call `recreate` and repeat the pass."""
        try:
            return await lease_pass()
        except NotFound:
            # A host that stops must not create the storage of a hub that was deleted.
            if self.is_stopping:
                raise
        await recreate()
        return await lease_pass()

    async def end_pass(self, pause: timedelta) -> None:
        """Wake the callers that waited for the pass, then wait for the next request, at most for `pause`."""
        self._pass_ended.set()
        self._pass_ended = asyncio.Event()
        if self._is_requested.is_set():
            return
        try:
            # Upkeep: virtual time jumps over renewals. `confirm` notices an overdue lease and requests a pass.
            await within(self._clock, pause.total_seconds(), self._is_requested.wait(), upkeep=True)
        except TimeoutError:
            return

    def close(self) -> None:
        """Wake the callers that wait for a pass, because no other pass follows."""
        self._pass_ended.set()
