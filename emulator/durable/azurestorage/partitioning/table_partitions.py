"""Who reads which control queue, decided in a table: the default.

One row per queue, changed only under its ETag. A host takes what is free or whose lease ran out, renews what it has,
and asks for queues of others (`NextOwner`) until all have about as many; the owner finishes what it has begun and
lets go. The rules are functions of the rows; `TablePartitions` carries them out.
Source: docs/protocol/task-hub-storage.md chapter 5.3 (durabletask: Partitioning/TablePartitionManager.cs).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from emulator.clock import Clock, within
from emulator.durable.azurestorage.partitioning.lease_loop import Rounds
from emulator.durable.azurestorage.partitioning.ownership import DRAIN_LIMIT, Listener, MakeAgain
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.storage.paging import query_rows
from emulator.storage.port import AlreadyExists, Operation, PreconditionFailed, Row, Table, TableOperation, Value

_log = logging.getLogger(__name__)

T = TypeVar("T")

LEASE = timedelta(seconds=30)
RENEW_EVERY = timedelta(seconds=10)
# .NET looks every second, so that what a stopped host releases is taken within a little more than a second.
_LOOK_OFTEN = timedelta(seconds=0.75)
_QUICK_RETRIES = 10


# Rows --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One row. Times are judged by the reader's clock."""

    queue_name: str
    owner: str | None = None
    next_owner: str | None = None
    owned_since: Instant | None = None
    last_renewal: Instant | None = None
    expires_at: Instant | None = None
    is_draining: bool = False
    etag: str | None = field(default=None, compare=False)


def read_partition(row: Row) -> Partition:
    columns = row.properties
    return Partition(
        queue_name=row.row_key,
        owner=_text(columns.get("CurrentOwner")),
        next_owner=_text(columns.get("NextOwner")),
        owned_since=_time(columns.get("OwnedSince")),
        last_renewal=_time(columns.get("LastRenewal")),
        expires_at=_time(columns.get("ExpiresAt")),
        is_draining=columns.get("IsDraining") is True,
        etag=row.etag,
    )


def partition_row(partition: Partition) -> Row:
    columns: Mapping[str, Value | None] = {
        "CurrentOwner": partition.owner,
        "NextOwner": partition.next_owner,
        "OwnedSince": partition.owned_since,
        "LastRenewal": partition.last_renewal,
        "ExpiresAt": partition.expires_at,
        "IsDraining": partition.is_draining,
    }
    return Row("", partition.queue_name, {name: value for name, value in columns.items() if value is not None})


def _text(found: Value | None) -> str | None:
    return found if isinstance(found, str) and found else None


def _time(found: Value | None) -> Instant | None:
    return found if isinstance(found, Instant) else None


# Rules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Tended:
    """What a look at one row leads to. `counts_for`: who will have the queue when all that is under way is done.

    `partition`: the row as it should be. `must_drain`: it is ours and has to go.
    """

    partition: Partition
    counts_for: str | None
    must_drain: bool = False


def tend(partition: Partition, me: str, now: Instant, *, stopping: bool) -> Tended:
    """Claim what is free, renew what is ours, queue up for what its owner gives away."""
    is_mine = partition.owner == me
    if stopping:
        return Tended(partition=partition, counts_for=me if is_mine else partition.owner, must_drain=is_mine)
    if _is_free(partition, me, now):
        claimed = replace(partition, owner=me, next_owner=None, owned_since=now, is_draining=False)
        return Tended(partition=_renewed(claimed, now), counts_for=me)
    if is_mine and partition.next_owner is not None:
        return Tended(partition=partition, counts_for=partition.next_owner, must_drain=True)
    if is_mine and partition.is_draining:
        # A host of our name was killed while it gave the queue away, and nobody has asked for it.
        return Tended(partition=_renewed(replace(partition, is_draining=False), now), counts_for=me)
    if is_mine:
        return Tended(partition=_renewed(partition, now) if _is_due(partition, now) else partition, counts_for=me)
    if partition.next_owner is None and partition.is_draining:
        return Tended(partition=replace(partition, next_owner=me), counts_for=me)
    return Tended(partition=partition, counts_for=partition.next_owner or partition.owner)


def _is_free(partition: Partition, me: str, now: Instant) -> bool:
    if partition.owner is None:
        return partition.next_owner in (None, me) or _is_over(partition, now)
    return partition.owner != me and _is_over(partition, now)


def _is_over(partition: Partition, now: Instant) -> bool:
    return partition.expires_at is None or now >= partition.expires_at


def _is_due(partition: Partition, now: Instant) -> bool:
    return partition.last_renewal is None or now - partition.last_renewal >= RENEW_EVERY - _LOOK_OFTEN / 2


def _renewed(partition: Partition, now: Instant) -> Partition:
    return replace(partition, last_renewal=now, expires_at=now + LEASE)


def released(partition: Partition) -> Partition:
    return replace(partition, owner=None, is_draining=False)


def draining(partition: Partition, now: Instant) -> Partition:
    return _renewed(replace(partition, is_draining=True), now)


def to_steal(tended: Sequence[Tended], me: str) -> list[Partition]:
    """The queues to ask for, so that everybody has about as many."""
    owned = sum(each.counts_for == me for each in tended)
    others: dict[str, list[Partition]] = {}
    for each in tended:
        if each.counts_for is not None and each.counts_for != me:
            others.setdefault(each.counts_for, []).append(each.partition)
    average = len(tended) // (len(others) + 1)
    chosen: list[Partition] = []
    for found in others.values():
        need, excess = average - owned, len(found) - average
        if need < 0:
            break
        if excess <= 0:
            continue
        if need == 0 and excess > 1:
            need = 1
        stolen = [each for each in found if each.owner not in (None, me) and each.next_owner is None]
        stolen = stolen[: min(need, excess)]
        owned += len(stolen)
        chosen += stolen
    return chosen


# Carrying them out -------------------------------------------------------------------------------------------


class TablePartitions:
    """See `ownership.Ownership`. `me` must be unique per process: equal names would share leases."""

    def __init__(self, table: Table, queue_names: Sequence[str], me: str, clock: Clock, *, timeout: timedelta) -> None:
        self._table = table
        self._queue_names = queue_names
        self._me = me
        self._clock = clock
        self._timeout = timeout
        self._ours_until: dict[str, datetime] = {}
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._has_warned = False
        self._rounds = Rounds(clock)

    async def create(self) -> None:
        await self._table.create()
        for name in self._queue_names:
            try:
                await self._table.submit([TableOperation(Operation.INSERT, partition_row(Partition(queue_name=name)))])
            except AlreadyExists:
                continue

    async def delete(self) -> None:
        await self._table.drop()

    async def confirm(self, queue_name: str) -> bool:
        if queue_name in self._ours_until and not self._holds(queue_name):
            await self._rounds.looked()
        return self._holds(queue_name)

    def _holds(self, queue_name: str) -> bool:
        until = self._ours_until.get(queue_name)
        return until is not None and self._clock.now() < until

    def owning(self, listener: Listener, make_again: MakeAgain | None = None) -> AbstractAsyncContextManager[None]:
        return self._rounds.running(self._run(listener, make_again or self.create))

    async def _run(self, listener: Listener, make_again: MakeAgain) -> None:
        failures = 0
        while True:
            self._rounds.begin()
            pause = RENEW_EVERY
            try:
                pause = await self._rounds.look(lambda: self._look(listener), make_again)
                failures = 0
            except (EmulatorError, TimeoutError) as error:
                failures += 1
                _log_failure(error, failures)
                pause = timedelta(0) if failures < _QUICK_RETRIES else RENEW_EVERY
            if self._rounds.is_stopping and (not self._ours_until or failures >= _QUICK_RETRIES):
                break
            await self._rounds.end(pause)
        for name in {*self._ours_until, *self._drains}:
            self._forget(name)
        self._rounds.over()

    async def _look(self, listener: Listener) -> timedelta:
        """One pass over all rows; returns when the next one is due. Raises PreconditionFailed, TimeoutError."""
        found = [read_partition(row) for row in await self._in_time(self._rows())]
        self._compare(len(found))
        tended = [await self._tend(partition, listener) for partition in found]
        if not self._rounds.is_stopping:
            for partition in to_steal(tended, self._me):
                _log.debug("Asking %s for control queue %s", partition.owner, partition.queue_name)
                await self._replace(replace(partition, next_owner=self._me))
        is_alone = all(each.counts_for in (None, self._me) for each in tended)
        # Others may stop, and then we can have their queues within less than a second instead of ten.
        return RENEW_EVERY if is_alone and not self._drains else _LOOK_OFTEN

    def _compare(self, count: int) -> None:
        if count != len(self._queue_names) and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "The task hub was made with %d control queues, but partitionCount in host.json is %d. Hosts that share "
                "a hub need the same number; instances that run now may not be found by their messages.",
                count,
                len(self._queue_names),
            )

    async def _rows(self) -> list[Row]:
        return [row async for row in query_rows(self._table)]

    async def _tend(self, before: Partition, listener: Listener) -> Tended:
        name = before.queue_name
        if name in self._ours_until and before.owner != self._me:
            await self._lose(name, listener)
        tended = tend(before, self._me, self._now(), stopping=self._rounds.is_stopping)
        after = tended.partition
        if tended.must_drain:
            after = await self._drain_step(before, listener)
        if after != before:
            tended = replace(tended, partition=await self._replace(after))
        if after.owner == self._me:
            if after.expires_at is not None:
                self._ours_until[name] = after.expires_at.datetime
            if not after.is_draining and not tended.must_drain:
                await listener.open(name)
        else:
            self._forget(name)
        return tended

    async def _drain_step(self, partition: Partition, listener: Listener) -> Partition:
        """Stop fetching; when nothing of the queue runs any more, let go of it. Idle queues go at once."""
        name = partition.queue_name
        drain = self._drains.get(name)
        if drain is None:
            await listener.close(name)
            if not listener.is_active(name):
                return released(partition)
            drain = self._drains[name] = asyncio.create_task(self._drain(name, listener))
        return released(partition) if drain.done() else draining(partition, self._now())

    async def _drain(self, queue_name: str, listener: Listener) -> None:
        try:
            await within(self._clock, DRAIN_LIMIT.total_seconds(), listener.drained(queue_name))
        except TimeoutError:
            _log.warning("Control queue %s goes to another host although an episode still runs", queue_name)
        self._rounds.ask()

    async def _lose(self, queue_name: str, listener: Listener) -> None:
        _log.warning("Another host took control queue %s: the lease had run out", queue_name)
        self._forget(queue_name)
        await listener.close(queue_name)

    def _forget(self, queue_name: str) -> None:
        self._ours_until.pop(queue_name, None)
        drain = self._drains.pop(queue_name, None)
        if drain is not None:
            drain.cancel()

    async def _replace(self, partition: Partition) -> Partition:
        operation = TableOperation(Operation.REPLACE, partition_row(partition), partition.etag)
        [etag] = await self._in_time(self._table.submit([operation]))
        return replace(partition, etag=etag)

    async def _in_time(self, work: Awaitable[T]) -> T:
        return await within(self._clock, self._timeout.total_seconds(), work, upkeep=True)

    def _now(self) -> Instant:
        return Instant.of(self._clock.now())


def _log_failure(error: Exception, failures: int) -> None:
    if isinstance(error, PreconditionFailed):
        _log.debug("Another host changed a partition meanwhile; looking again")
    elif failures == _QUICK_RETRIES:
        # A TimeoutError says nothing by itself.
        reason = str(error) or "storage does not answer in time"
        _log.warning("The leases of the control queues cannot be renewed: %s", reason)
    else:
        _log.debug("Looking at the partitions failed: %s", error)
