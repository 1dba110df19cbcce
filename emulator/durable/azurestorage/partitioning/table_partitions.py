"""Table partition manager, the default: one row per control queue says which host owns it.

Rows are only changed under their ETag. A host claims rows that are free or whose lease has run out, renews its own, and
asks for queues of other hosts (`NextOwner`) until all hosts have about as many; the owner then lets running episodes
end and releases the row. The rules are pure functions of the rows; `TablePartitions` applies them.
Source: docs/protocol/task-hub-storage.md chapter 5.3 (durabletask: Partitioning/TablePartitionManager.cs).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from emulator.clock import Clock, within
from emulator.durable.azurestorage.partitioning.lease_loop import LeaseLoop
from emulator.durable.azurestorage.partitioning.partition_manager import DRAIN_LIMIT, ControlQueueListener, Recreate
from emulator.errors import EmulatorError
from emulator.instant import Instant
from emulator.logs import get_logger
from emulator.storage.paging import query_rows
from emulator.storage.port import (
    AlreadyExists,
    Operation,
    PreconditionFailed,
    Row,
    StorageOutage,
    Table,
    TableOperation,
    Value,
)

_log = get_logger(__name__)

T = TypeVar("T")

LEASE = timedelta(seconds=30)
_LONGEST_PLAUSIBLE_LEASE = timedelta(days=1)
RENEW_EVERY = timedelta(seconds=10)
# .NET uses a second while it waits for another host. A little less lets this host claim a queue that a stopping host
# releases within about a second.
_SHORT_INTERVAL = timedelta(seconds=0.75)
# Another host that changes rows at the same time makes a pass fail. So many failures in a row are repeated at once,
# as in .NET; after that storage has a problem, and the normal interval applies.
_QUICK_RETRIES = 10
# When these have timed out, so have the leases. Then a request may take as long as the storage client repeats it: a
# slow service is enough to get the leases back, and one that does not respond is reported by the account.
_PATIENT_LIMIT = timedelta(seconds=12)


# Rows --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One row: the lease of a control queue. Times are compared with the reader's clock."""

    queue_name: str
    owner: str | None = None
    next_owner: str | None = None
    owned_since: Instant | None = None
    last_renewal: Instant | None = None
    expires_at: Instant | None = None
    is_draining: bool = False
    etag: str | None = field(default=None, compare=False)


def read_partition(row: Row) -> Partition:
    """Decode a row. Columns of another type than expected count as absent."""
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
    """Encode a row. Absent values are left out: Replace removes their columns."""
    columns: Mapping[str, Value | None] = {
        "CurrentOwner": partition.owner,
        "NextOwner": partition.next_owner,
        "OwnedSince": partition.owned_since,
        "LastRenewal": partition.last_renewal,
        "ExpiresAt": partition.expires_at,
        "IsDraining": partition.is_draining,
    }
    return Row("", partition.queue_name, {name: value for name, value in columns.items() if value is not None})


def _text(value: Value | None) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: Value | None) -> Instant | None:
    return value if isinstance(value, Instant) else None


# Rules -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionPlan:
    """Result of the rules for one row in a pass.

    `partition`: the row as it should be. `future_owner`: who owns the queue when pending hand-overs are done.
    `must_drain`: this host owns the queue and must release it.
    """

    partition: Partition
    future_owner: str | None
    must_drain: bool = False


def plan_partition(partition: Partition, worker_id: str, now: Instant, *, stopping: bool) -> PartitionPlan:
    """Claim a free row, renew one of this host, or ask for one whose owner is stopping."""
    is_mine = partition.owner == worker_id
    if stopping:
        return PartitionPlan(partition=partition, future_owner=partition.owner, must_drain=is_mine)
    if _is_free(partition, worker_id, now):
        claimed = replace(partition, owner=worker_id, next_owner=None, owned_since=now, is_draining=False)
        return PartitionPlan(partition=_renewed(claimed, now), future_owner=worker_id)
    if is_mine and partition.next_owner is not None:
        return PartitionPlan(partition=partition, future_owner=partition.next_owner, must_drain=True)
    if is_mine and partition.is_draining:
        # A host with this name was killed while it stopped, and no other host has asked for the queue. Hosts that are
        # restarted get the name of the killed host, so this row is theirs.
        return PartitionPlan(partition=_renewed(replace(partition, is_draining=False), now), future_owner=worker_id)
    if is_mine:
        # Half a short interval early counts as due. Otherwise a pass that comes a moment before the time would leave
        # the renewal to the next one.
        is_due = partition.last_renewal is None or now - partition.last_renewal >= RENEW_EVERY - _SHORT_INTERVAL / 2
        return PartitionPlan(partition=_renewed(partition, now) if is_due else partition, future_owner=worker_id)
    if partition.next_owner is None and partition.is_draining:
        return PartitionPlan(partition=replace(partition, next_owner=worker_id), future_owner=worker_id)
    return PartitionPlan(partition=partition, future_owner=partition.next_owner or partition.owner)


def _is_free(partition: Partition, worker_id: str, now: Instant) -> bool:
    expires_at = partition.expires_at
    # A damaged time, far beyond the end of any lease, would keep all hosts from the queue.
    is_over = expires_at is None or now >= expires_at or expires_at - now > _LONGEST_PLAUSIBLE_LEASE
    if partition.owner is None:
        # A released row is kept for the host that asked for it, but only while its last lease would have lasted.
        return partition.next_owner in (None, worker_id) or is_over
    return partition.owner != worker_id and is_over


def _renewed(partition: Partition, now: Instant) -> Partition:
    return replace(partition, last_renewal=now, expires_at=now + LEASE)


def released(partition: Partition) -> Partition:
    """Return the row without an owner. The times and `NextOwner` stay, as in .NET."""
    return replace(partition, owner=None, is_draining=False)


def draining(partition: Partition, now: Instant) -> Partition:
    """Return the row while its owner lets episodes end. It is renewed, so that no host claims it in the meantime."""
    return _renewed(replace(partition, is_draining=True), now)


def partitions_to_steal(plans: Sequence[PartitionPlan], worker_id: str) -> list[Partition]:
    """Choose the queues of other hosts to ask for, so that all hosts have about as many.

    The arithmetic is that of .NET (section "Balance" of the source), because hosts of both kinds may share a hub: with
    other rules, they could take queues from each other forever.
    """
    owned = sum(plan.future_owner == worker_id for plan in plans)
    others: dict[str, list[Partition]] = {}
    for plan in plans:
        if plan.future_owner is not None and plan.future_owner != worker_id:
            others.setdefault(plan.future_owner, []).append(plan.partition)
    average = len(plans) // (len(others) + 1)
    chosen: list[Partition] = []
    for partitions in others.values():
        need, excess = average - owned, len(partitions) - average
        if need < 0:
            break
        if excess <= 0:
            continue
        if need == 0 and excess > 1:
            need = 1
        # Queues that are free, or that another host has asked for already, cannot be asked for.
        available = [row for row in partitions if row.owner not in (None, worker_id) and row.next_owner is None]
        stolen = available[: min(need, excess)]
        owned += len(stolen)
        chosen += stolen
    return chosen


# Applying the rules ------------------------------------------------------------------------------------------


class TablePartitions:
    """See `PartitionManager`. `worker_id` must be unique per process: equal names would share leases."""

    def __init__(
        self, table: Table, queue_names: Sequence[str], worker_id: str, clock: Clock, *, timeout: timedelta
    ) -> None:
        self._table = table
        self._queue_names = queue_names
        self._worker_id = worker_id
        self._clock = clock
        self._timeout = self._request_limit = timeout
        self._leased_until: dict[str, datetime] = {}
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._has_warned = False
        self._loop = LeaseLoop(clock)

    async def create(self) -> None:
        """See `PartitionManager`."""
        await self._table.create()
        for name in self._queue_names:
            try:
                await self._table.submit([TableOperation(Operation.INSERT, partition_row(Partition(queue_name=name)))])
            except AlreadyExists:
                # Its owner may be working. Rows above the partition count, from an earlier setting, stay as well.
                continue

    async def delete(self) -> None:
        """See `PartitionManager`."""
        await self._table.drop()

    async def confirm(self, queue_name: str) -> bool:
        """See `PartitionManager`."""
        if queue_name in self._leased_until and not self._is_leased(queue_name):
            await self._loop.wait_for_pass()
        return self._is_leased(queue_name)

    def _is_leased(self, queue_name: str) -> bool:
        until = self._leased_until.get(queue_name)
        return until is not None and self._clock.now() < until

    def owning(
        self, listener: ControlQueueListener, recreate: Recreate | None = None
    ) -> AbstractAsyncContextManager[None]:
        """See `PartitionManager`."""
        return self._loop.running(self._run(listener, recreate or self.create))

    async def _run(self, listener: ControlQueueListener, recreate: Recreate) -> None:
        failures, is_logged = 0, False
        while True:
            self._loop.begin_pass()
            pause = RENEW_EVERY
            is_patient = failures >= _QUICK_RETRIES
            self._request_limit = _PATIENT_LIMIT if is_patient else self._timeout
            try:
                pause = await self._loop.run_pass(lambda: self._pass(listener), recreate)
                failures, is_logged = 0, False
            except Exception as error:
                failures += 1
                # These have a text for users, or none. Any other error is a defect, and needs its traceback.
                traceback = None if isinstance(error, EmulatorError | TimeoutError) else error
                if isinstance(error, PreconditionFailed):
                    # Expected whenever two hosts change the same row: the loser reads the new rows and plans again.
                    _log.debug("Another host changed the partition table at the same time; its rows are read again")
                elif (
                    failures < _QUICK_RETRIES
                    or is_logged
                    or isinstance(error, StorageOutage)
                    # The next pass will know whether the account does not respond, or is only slow.
                    or (isinstance(error, TimeoutError) and not is_patient)
                ):
                    _log.debug("Reading or renewing the leases of the control queues failed: %s", error)
                else:
                    is_logged = True
                    # A TimeoutError has no text.
                    reason = str(error) or "storage did not respond in time"
                    _log.warning("The leases of the control queues cannot be renewed: %s", reason, exc_info=traceback)
                pause = timedelta(0) if failures < _QUICK_RETRIES else RENEW_EVERY
            # A stopping host that cannot reach storage gives up; its leases run out.
            if self._loop.is_stopping and (not self._leased_until or failures >= _QUICK_RETRIES):
                break
            await self._loop.end_pass(pause)
        for name in {*self._leased_until, *self._drains}:
            self._forget(name)
        self._loop.close()

    async def _pass(self, listener: ControlQueueListener) -> timedelta:
        """Read and update all rows; return when the next pass is due. Raises PreconditionFailed, TimeoutError."""

        async def read_rows() -> list[Row]:
            return [row async for row in query_rows(self._table)]

        # A row that names no control queue of this hub is not a lease.
        rows = [row for row in await self._in_time(read_rows()) if self._is_of_hub(row)]
        partitions = [read_partition(row) for row in rows]
        if len(partitions) != len(self._queue_names) and not self._has_warned:
            self._has_warned = True
            _log.warning(
                "The task hub was created with %d control queues, but partitionCount in host.json is %d. Hosts that "
                "share a hub need the same number; running instances may not get their messages.",
                len(partitions),
                len(self._queue_names),
            )
        plans = [await self._apply_plan(partition, listener) for partition in partitions]
        if not self._loop.is_stopping:
            # After all rows were planned, because the balance depends on what every host will own.
            for partition in partitions_to_steal(plans, self._worker_id):
                _log.debug("Asking %s for control queue %s", partition.owner, partition.queue_name)
                await self._replace(replace(partition, next_owner=self._worker_id))
        is_alone = all(plan.future_owner in (None, self._worker_id) for plan in plans)
        # With other hosts on the hub, queues can become free at any time, because one of them stops. .NET would find
        # them only after up to ten seconds.
        return RENEW_EVERY if is_alone and not self._drains else _SHORT_INTERVAL

    def _is_of_hub(self, row: Row) -> bool:
        # The number may be above the partition count of this host, if the count was reduced.
        folder, _, number = row.row_key.rpartition("-")
        return not row.partition_key and number.isdecimal() and folder == self._queue_names[0].rpartition("-")[0]

    async def _apply_plan(self, before: Partition, listener: ControlQueueListener) -> PartitionPlan:
        name = before.queue_name
        if name in self._leased_until and before.owner != self._worker_id:
            _log.warning("Another host took control queue %s, because the lease had run out", name)
            self._forget(name)
            await listener.close(name)
        now = Instant.of(self._clock.now())
        plan = plan_partition(before, self._worker_id, now, stopping=self._loop.is_stopping)
        after = await self._drain_step(before, listener) if plan.must_drain else plan.partition
        if after != before:
            plan = replace(plan, partition=await self._replace(after))
        if after.owner != self._worker_id:
            self._forget(name)
            return plan
        if after.expires_at is not None:
            # From the row that was written, so that this host and the others compare with the same time.
            self._leased_until[name] = after.expires_at.datetime
        # .NET also opens a queue that it has just released or asked for, and closes it in the next pass.
        if not after.is_draining and not plan.must_drain:
            await listener.open(name)
        return plan

    async def _drain_step(self, partition: Partition, listener: ControlQueueListener) -> Partition:
        """Stop fetching; return the row released if no episode of the queue runs, otherwise draining."""
        name = partition.queue_name

        async def wait_for_episodes() -> None:
            try:
                await within(self._clock, DRAIN_LIMIT.total_seconds(), listener.wait_until_inactive(name))
            except TimeoutError:
                # The checkpoint of the episode will be refused by the ETag of the history, so nothing is damaged.
                _log.warning("Control queue %s is handed over although an episode is still running", name)
            # The row is released in the next pass, which should not wait for its normal time.
            self._loop.request_pass()

        drain = self._drains.get(name)
        if drain is None:
            await listener.close(name)
            # An idle queue is released in the same pass. .NET needs another one, a second later.
            if not listener.is_active(name):
                return released(partition)
            # In the background, because the pass has to renew the leases of the other queues meanwhile.
            drain = self._drains[name] = asyncio.create_task(wait_for_episodes())
        return released(partition) if drain.done() else draining(partition, Instant.of(self._clock.now()))

    def _forget(self, queue_name: str) -> None:
        self._leased_until.pop(queue_name, None)
        drain = self._drains.pop(queue_name, None)
        if drain is not None:
            drain.cancel()

    async def _replace(self, partition: Partition) -> Partition:
        operation = TableOperation(Operation.REPLACE, partition_row(partition), partition.etag)
        [etag] = await self._in_time(self._table.submit([operation]))
        return replace(partition, etag=etag)

    async def _in_time(self, request: Awaitable[T]) -> T:
        # A request that hangs must not block the renewal of the other leases until they have run out.
        return await within(self._clock, self._request_limit.total_seconds(), request, upkeep=True)
