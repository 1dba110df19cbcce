"""Blob partition managers: safe (two blob leases per control queue) and legacy (one).

Safe: the *intent* lease names the host that the queue is assigned to, and other hosts may steal it. The *ownership*
lease names the host that reads the queue; it ends only when its owner releases it or it expires, so a queue never has
two readers. Legacy: the only lease may be stolen, and for up to ten seconds both hosts read the queue.
Source: docs/protocol/task-hub-storage.md chapter 5.5 (durabletask: Partitioning/SafePartitionManager.cs,
LegacyPartitionManager.cs).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from emulator import bound_json as json
from emulator.clock import Clock, within
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.partitioning.blob_leases import BlobLeases, hub_info
from emulator.durable.azurestorage.partitioning.lease_loop import LeaseLoop
from emulator.durable.azurestorage.partitioning.partition_manager import DRAIN_LIMIT, ControlQueueListener, Recreate
from emulator.errors import EmulatorError
from emulator.ids import NewId
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.polling.failures import Failures
from emulator.polling.log_once import LogOnce
from emulator.storage.port import AlreadyExists, BlobContainer, NotFound, PreconditionFailed

_log = get_logger(__name__)

# Both intervals are those of .NET.
_INTENT_INTERVAL = timedelta(seconds=10)
_OWNERSHIP_INTERVAL = timedelta(seconds=5)
_HUB_INFO = "taskhub.json"


class LeaseContainer:
    """The container of the leases, with the blob that describes the task hub."""

    def __init__(self, container: BlobContainer, names: HubNames, clock: Clock) -> None:
        self.blobs = container
        self._names = names
        self._clock = clock

    async def create(self) -> None:
        """Create the container and its description; warn if the hub was created with another partition count."""
        await self.blobs.create()
        info = hub_info(self._names.hub, self._names.partition_count, Instant.of(self._clock.now()))
        try:
            await self.blobs.write(_HUB_INFO, info, only_if_new=True)
        except (AlreadyExists, PreconditionFailed):
            await self._compare_partition_count(info)

    async def _compare_partition_count(self, info: bytes) -> None:
        try:
            count = json.loads(await self.blobs.read(_HUB_INFO)).get("PartitionCount")
        except (NotFound, ValueError, AttributeError):
            # Damaged or deleted since. The description is not needed to work.
            return
        if count != self._names.partition_count:
            _log.warning(
                "The task hub was created with %s control queues, but partitionCount in host.json is %d. Hosts that "
                "share a hub need the same number; running instances may not get their messages.",
                count,
                self._names.partition_count,
            )
            # Overwritten, so that the warning is given once per change and not at every start.
            await self.blobs.write(_HUB_INFO, info)


class SafePartitions:
    """See `PartitionManager`. `worker_id` must be unique per process."""

    def __init__(self, container: BlobContainer, names: HubNames, worker_id: str, clock: Clock, new_id: NewId) -> None:
        self._container = LeaseContainer(container, names, clock)
        queues = names.control_queues
        self._intents = BlobLeases(container, "intent", queues, worker_id, clock, new_id, may_steal=True)
        self._owned = BlobLeases(container, "ownership", queues, worker_id, clock, new_id, may_steal=False)
        self._clock = clock
        self._loop = LeaseLoop(clock)
        self._next_intents_at = clock.now()

    async def create(self) -> None:
        """See `PartitionManager`."""
        await self._container.create()
        await self._intents.create()
        await self._owned.create()

    async def delete(self) -> None:
        """See `PartitionManager`."""
        await self._container.blobs.drop()

    async def confirm(self, queue_name: str) -> bool:
        """See `PartitionManager`."""
        if queue_name in self._owned.held and not self._owned.is_leased(queue_name):
            # Ownership leases are renewed together with the intents.
            self._next_intents_at = self._clock.now()
            await self._loop.wait_for_pass()
        return self._owned.is_leased(queue_name)

    def owning(
        self, listener: ControlQueueListener, recreate: Recreate | None = None
    ) -> AbstractAsyncContextManager[None]:
        """See `PartitionManager`."""
        return self._loop.running(self._run(listener, recreate or self.create))

    async def _run(self, listener: ControlQueueListener, recreate: Recreate) -> None:
        await repeat_passes(
            self._loop, lambda: self._pass(listener), recreate, self._clock, interval=_OWNERSHIP_INTERVAL
        )
        await hand_over(self._owned, listener, self._clock, release=(self._intents, self._owned))
        self._loop.close()

    async def _pass(self, listener: ControlQueueListener) -> None:
        if self._clock.now() >= self._next_intents_at:
            self._next_intents_at = self._clock.now() + _INTENT_INTERVAL
            for name in await self._intents.renew():
                # No new messages are fetched. The ownership lease is kept until the running episodes have ended.
                _log.info("Another host asks for control queue %s", name)
                await listener.close(name)
            for name in await self._owned.renew():
                _log.warning("The ownership of control queue %s was lost", name)
                await listener.close(name)
            await self._intents.take()
        for name in tuple(self._owned.held):
            if name not in self._intents.held and not listener.is_active(name):
                # .NET does not renew the lease any more and lets it run out. Releasing it has the same effect for
                # other hosts, half a minute sooner.
                await self._owned.release(name)
        # Reading the ownership records costs 1 + 2 requests per queue, so they are only read if a queue is missing.
        if set(self._intents.held) - set(self._owned.held):
            await self._owned.take(lambda name: name in self._intents.held)
        for name in tuple(self._owned.held):
            # Repeated for open queues, because a queue was closed if its intent was lost and taken again since.
            if name in self._intents.held:
                await listener.open(name)


class LegacyPartitions:
    """See `PartitionManager`. `worker_id` must be unique per process."""

    def __init__(self, container: BlobContainer, names: HubNames, worker_id: str, clock: Clock, new_id: NewId) -> None:
        self._container = LeaseContainer(container, names, clock)
        self._leases = BlobLeases(container, "default", names.control_queues, worker_id, clock, new_id, may_steal=True)
        self._clock = clock
        self._loop = LeaseLoop(clock)

    async def create(self) -> None:
        """See `PartitionManager`."""
        await self._container.create()
        await self._leases.create()

    async def delete(self) -> None:
        """See `PartitionManager`."""
        await self._container.blobs.drop()

    async def confirm(self, queue_name: str) -> bool:
        """See `PartitionManager`."""
        if queue_name in self._leases.held and not self._leases.is_leased(queue_name):
            await self._loop.wait_for_pass()
        return self._leases.is_leased(queue_name)

    def owning(
        self, listener: ControlQueueListener, recreate: Recreate | None = None
    ) -> AbstractAsyncContextManager[None]:
        """See `PartitionManager`."""
        return self._loop.running(self._run(listener, recreate or self.create))

    async def _run(self, listener: ControlQueueListener, recreate: Recreate) -> None:
        await repeat_passes(self._loop, lambda: self._pass(listener), recreate, self._clock, interval=_INTENT_INTERVAL)
        await hand_over(self._leases, listener, self._clock, release=(self._leases,))
        self._loop.close()

    async def _pass(self, listener: ControlQueueListener) -> None:
        # First the losses, so that this host stops reading before it takes other queues.
        for name in await self._leases.renew():
            _log.info("Another host has taken control queue %s", name)
            await listener.close(name)
        for name in await self._leases.take():
            await listener.open(name)


async def repeat_passes(
    loop: LeaseLoop, run_pass: Callable[[], Awaitable[None]], recreate: Recreate, clock: Clock, *, interval: timedelta
) -> None:
    """Run a pass per interval until the loop is to stop. Each failure is logged once."""
    # A pass does not make all requests, so one that succeeds does not mean that the next one will.
    logged = LogOnce()
    failures = Failures("Reading and renewing the leases of the control queues", clock)
    while not loop.is_stopping:
        loop.begin_pass()
        try:
            await loop.run_pass(run_pass, recreate)
        except Exception as error:
            if logged.is_first(repr(error)):
                failures.note(error)
        else:
            failures.resolved()
        await loop.end_pass(interval)


async def hand_over(
    owned: BlobLeases, listener: ControlQueueListener, clock: Clock, *, release: Sequence[BlobLeases]
) -> None:
    """Close the queues of `owned`, wait for their episodes, and release the leases in the given order.

    Because of this order, the next owner never reads a history to which this host still appends.
    """
    # A copy: the leases change while they are released.
    names = tuple(owned.held)
    for name in names:
        await listener.close(name)
    episodes = asyncio.gather(*(listener.wait_until_inactive(name) for name in names))
    try:
        await within(clock, DRAIN_LIMIT.total_seconds(), episodes)
    except TimeoutError:
        # The checkpoint of the episode will be refused by the ETag of the history, so nothing is damaged.
        _log.warning("The control queues are handed over although an episode is still running")
    for leases in release:
        for name in tuple(leases.held):
            try:
                await leases.release(name)
            except EmulatorError as error:
                _log.debug("The lease of control queue %s could not be released and will run out: %s", name, error)
