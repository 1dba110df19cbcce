"""Who reads which control queue, decided by blob leases: safe (two leases per queue) and legacy (one).

Safe: the *intent* lease says who is to have the queue, and may be stolen; the *ownership* lease says who reads it,
and is only ever given up by its owner, or runs out. So a queue never has two readers. Legacy has one lease that may
be stolen, and for up to ten seconds two readers.
Source: docs/protocol/task-hub-storage.md chapter 5.5 (durabletask: Partitioning/SafePartitionManager.cs,
LegacyPartitionManager.cs).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from emulator.clock import Clock, within
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.azurestorage.partitioning.blob_leases import BlobLeases, hub_info
from emulator.durable.azurestorage.partitioning.lease_loop import Rounds
from emulator.durable.azurestorage.partitioning.ownership import DRAIN_LIMIT, Listener, MakeAgain
from emulator.errors import EmulatorError
from emulator.ids import NewId
from emulator.instant import Instant
from emulator.storage.port import AlreadyExists, BlobContainer, NotFound, PreconditionFailed

_log = logging.getLogger(__name__)

_INTENT_EVERY = timedelta(seconds=10)
_OWNERSHIP_EVERY = timedelta(seconds=5)
_HUB_INFO = "taskhub.json"


class LeaseContainer:
    """The container of the leases and the note about the hub in it."""

    def __init__(self, container: BlobContainer, names: HubNames, clock: Clock) -> None:
        self.blobs = container
        self._names = names
        self._clock = clock

    async def create(self) -> None:
        await self.blobs.create()
        info = hub_info(self._names.hub, self._names.partition_count, Instant.of(self._clock.now()))
        try:
            await self.blobs.write(_HUB_INFO, info, only_if_new=True)
        except (AlreadyExists, PreconditionFailed):
            await self._compare(info)

    async def _compare(self, info: bytes) -> None:
        try:
            found = json.loads(await self.blobs.read(_HUB_INFO))
            count = found.get("PartitionCount")
        except (NotFound, ValueError, AttributeError):
            return
        if count != self._names.partition_count:
            _log.warning(
                "The task hub was made with %s control queues, but partitionCount in host.json is %d. Hosts that "
                "share a hub need the same number; instances that run now may not be found by their messages.",
                count,
                self._names.partition_count,
            )
            await self.blobs.write(_HUB_INFO, info)


class SafePartitions:
    """See `ownership.Ownership`. `me` must be unique per process."""

    def __init__(self, container: BlobContainer, names: HubNames, me: str, clock: Clock, new_id: NewId) -> None:
        self._container = LeaseContainer(container, names, clock)
        queues = names.control_queues
        self._intents = BlobLeases(container, "intent", queues, me, clock, new_id, may_steal=True)
        self._owned = BlobLeases(container, "ownership", queues, me, clock, new_id, may_steal=False)
        self._clock = clock
        self._rounds = Rounds(clock)
        self._intents_due = Due(clock, _INTENT_EVERY)

    async def create(self) -> None:
        await self._container.create()
        await self._intents.create()
        await self._owned.create()

    async def delete(self) -> None:
        await self._container.blobs.drop()

    async def confirm(self, queue_name: str) -> bool:
        if queue_name in self._owned.held and not self._owned.holds(queue_name):
            self._intents_due.now()
            await self._rounds.looked()
        return self._owned.holds(queue_name)

    def owning(self, listener: Listener, make_again: MakeAgain | None = None) -> AbstractAsyncContextManager[None]:
        return self._rounds.running(self._run(listener, make_again or self.create))

    async def _run(self, listener: Listener, make_again: MakeAgain) -> None:
        await looking(self._rounds, lambda: self._look(listener), make_again, every=_OWNERSHIP_EVERY)
        await handed_over(self._owned, listener, self._clock, release=(self._intents, self._owned))
        self._rounds.over()

    async def _look(self, listener: Listener) -> None:
        if self._intents_due.is_now():
            for name in await self._intents.renew():
                _log.info("Another host wants control queue %s", name)
                await listener.close(name)
            for name in await self._owned.renew():
                _log.warning("The ownership of control queue %s was lost", name)
                await listener.close(name)
            await self._intents.take()
        for name in tuple(self._owned.held):
            if name not in self._intents.held and not listener.is_active(name):
                # .NET lets it run out; a release is the same for everybody, but for the half minute.
                await self._owned.release(name)
        if set(self._intents.held) - set(self._owned.held):
            await self._owned.take(lambda name: name in self._intents.held)
        for name in tuple(self._owned.held):
            if name in self._intents.held:
                await listener.open(name)


class LegacyPartitions:
    """See `ownership.Ownership`."""

    def __init__(self, container: BlobContainer, names: HubNames, me: str, clock: Clock, new_id: NewId) -> None:
        self._container = LeaseContainer(container, names, clock)
        self._leases = BlobLeases(container, "default", names.control_queues, me, clock, new_id, may_steal=True)
        self._clock = clock
        self._rounds = Rounds(clock)

    async def create(self) -> None:
        await self._container.create()
        await self._leases.create()

    async def delete(self) -> None:
        await self._container.blobs.drop()

    async def confirm(self, queue_name: str) -> bool:
        if queue_name in self._leases.held and not self._leases.holds(queue_name):
            await self._rounds.looked()
        return self._leases.holds(queue_name)

    def owning(self, listener: Listener, make_again: MakeAgain | None = None) -> AbstractAsyncContextManager[None]:
        return self._rounds.running(self._run(listener, make_again or self.create))

    async def _run(self, listener: Listener, make_again: MakeAgain) -> None:
        await looking(self._rounds, lambda: self._look(listener), make_again, every=_INTENT_EVERY)
        await handed_over(self._leases, listener, self._clock, release=(self._leases,))
        self._rounds.over()

    async def _look(self, listener: Listener) -> None:
        for name in await self._leases.renew():
            _log.info("Control queue %s went to another host", name)
            await listener.close(name)
        for name in await self._leases.take():
            await listener.open(name)


class Due:
    """Something to do every so often, in a loop that looks more often."""

    def __init__(self, clock: Clock, every: timedelta) -> None:
        self._clock = clock
        self._every = every
        self._next = clock.now()

    def now(self) -> None:
        self._next = self._clock.now()

    def is_now(self) -> bool:
        """True at most once per interval."""
        if self._clock.now() < self._next:
            return False
        self._next = self._clock.now() + self._every
        return True


async def looking(
    rounds: Rounds, look: Callable[[], Awaitable[None]], make_again: MakeAgain, *, every: timedelta
) -> None:
    """Look after the leases until the rounds are to stop."""
    while not rounds.is_stopping:
        rounds.begin()
        try:
            await rounds.look(look, make_again)
        except EmulatorError as error:
            _log.warning("The leases of the control queues cannot be looked after: %s", error)
        await rounds.end(every)


async def handed_over(owned: BlobLeases, listener: Listener, clock: Clock, *, release: Sequence[BlobLeases]) -> None:
    """Read no more of the queues that are ours, let their episodes end, and give the leases up, in this order."""
    names = tuple(owned.held)
    for name in names:
        await listener.close(name)
    await drained(names, listener, clock)
    for leases in release:
        await released(leases)


async def drained(queue_names: Sequence[str], listener: Listener, clock: Clock) -> None:
    """Wait for the episodes of these queues, but not for ever."""
    work = asyncio.gather(*(listener.drained(name) for name in queue_names))
    try:
        await within(clock, DRAIN_LIMIT.total_seconds(), work)
    except TimeoutError:
        _log.warning("The control queues go to other hosts although an episode still runs")


async def released(leases: BlobLeases) -> None:
    for name in tuple(leases.held):
        try:
            await leases.release(name)
        except EmulatorError as error:
            _log.debug("Control queue %s could not be released; its lease runs out: %s", name, error)
