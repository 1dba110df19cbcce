"""Blob leases of control queues: one lease record (a leased blob) per queue, and how many leases a host takes.

{"PartitionId":"myhub-control-00","Owner":"worker1","Token":"6f9619ff-8b86-d011-b42d-00c04fc964ff","Epoch":3}

`Token` is the id of the blob lease. It is published so that another host can steal the lease by changing its id.
Source: docs/protocol/task-hub-storage.md chapters 5.4 and 5.5 (durabletask: Partitioning/BlobPartitionLeaseManager.cs,
LeaseCollectionBalancer.cs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

from emulator.clock import Clock
from emulator.dotnet.json_values import lenient_object, lenient_string
from emulator.dotnet.json_writer import json_text
from emulator.errors import EmulatorError
from emulator.ids import NewId, hyphenated
from emulator.instant import Instant
from emulator.storage.port import AlreadyExists, BlobContainer, LeaseState, NotFound, PreconditionFailed

LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """The content of a lease blob. `is_leased`: whether the blob was leased when it was read; not in the content."""

    queue_name: str
    owner: str | None = None
    token: str | None = None
    epoch: int = 0
    is_leased: bool = False

    @classmethod
    def read(cls, queue_name: str, content: bytes, *, is_leased: bool) -> LeaseRecord:
        """Decode a blob. Damaged content names no owner: the queue is free as soon as the blob lease is."""
        members = lenient_object(content)
        epoch = members.get("Epoch")
        return cls(
            queue_name=queue_name,
            owner=lenient_string(members.get("Owner")),
            token=lenient_string(members.get("Token")),
            epoch=epoch if isinstance(epoch, int) else 0,
            is_leased=is_leased,
        )

    def body(self) -> bytes:
        """Encode the blob's content."""
        members = {"PartitionId": self.queue_name, "Owner": self.owner, "Token": self.token, "Epoch": self.epoch}
        return json_text(members).encode()

    @property
    def is_free(self) -> bool:
        """Whether any host may take the lease."""
        return not self.is_leased or self.owner is None


@dataclass(frozen=True, slots=True)
class LeaseChoice:
    """The leases that a host needs for its share: free leases to take, or one to steal."""

    take: Sequence[LeaseRecord] = ()
    steal: LeaseRecord | None = None


def choose_leases(records: Sequence[LeaseRecord], worker_id: str, *, held: int, may_steal: bool) -> LeaseChoice:
    """Choose leases so that every host has the same number, rounded up.

    `records`: all leases that hosts share, including those of this host; `held`: how many this host has.
    """
    free = [record for record in records if record.is_free]
    if not may_steal:
        return LeaseChoice(take=free)
    others: dict[str, list[LeaseRecord]] = {}
    for record in records:
        # Names are compared without case, as in .NET.
        if not record.is_free and record.owner is not None and record.owner.lower() != worker_id.lower():
            others.setdefault(record.owner, []).append(record)
    workers = len(others) + 1
    target = 1 if len(records) <= workers else ceil(len(records) / workers)
    need = target - held
    if need <= 0:
        return LeaseChoice()
    if free:
        return LeaseChoice(take=free[:need])
    largest = max(others.values(), key=len, default=[])
    # A host that needs only one lease steals it only from a host with more than its share. Otherwise two hosts would
    # steal the same lease from each other in every pass.
    enough = target - (1 if need > 1 else 0)
    return LeaseChoice(steal=largest[0]) if len(largest) > enough else LeaseChoice()


class BlobLeases:
    """The leases in one folder of the lease container, and those of them that this host holds."""

    def __init__(
        self,
        container: BlobContainer,
        folder: str,
        queue_names: Sequence[str],
        worker_id: str,
        clock: Clock,
        new_id: NewId,
        *,
        may_steal: bool,
    ) -> None:
        self._container = container
        self._folder = folder
        self._queue_names = queue_names
        self._worker_id = worker_id
        self._clock = clock
        self._new_id = new_id
        self._may_steal = may_steal
        self._held: dict[str, LeaseRecord] = {}
        self._leased_until: dict[str, datetime] = {}

    @property
    def held(self) -> Mapping[str, LeaseRecord]:
        """The leases of this host by queue name, including those whose renewal is overdue."""
        return self._held

    def is_leased(self, queue_name: str) -> bool:
        """Whether this host holds the lease and it has not run out by this host's clock."""
        until = self._leased_until.get(queue_name)
        return until is not None and self._clock.now() < until

    async def create(self) -> None:
        """Create a free record for each queue, if it is missing."""
        for name in self._queue_names:
            try:
                # Hosts that start at the same time all try this. The record of the first one must not be overwritten.
                await self._container.write(self._blob(name), LeaseRecord(queue_name=name).body(), only_if_new=True)
            except (AlreadyExists, PreconditionFailed):
                continue

    async def take(self, may_take: Callable[[str], bool] = lambda _: True) -> Sequence[str]:
        """Take this host's share of the leases that `may_take` accepts, and return the names of the new queues."""
        records = [record for record in await self._read_all() if may_take(record.queue_name)]
        choice = choose_leases(records, self._worker_id, held=len(self._held), may_steal=self._may_steal)
        taken = [record.queue_name for record in choice.take if await self._acquire(record)]
        if choice.steal is not None and await self._acquire(choice.steal):
            taken.append(choice.steal.queue_name)
        return taken

    async def _read_all(self) -> list[LeaseRecord]:
        records = []
        async for blob in self._container.list(f"{self._folder}/"):
            name = blob.name.removeprefix(f"{self._folder}/")
            if name in self._held:
                records.append(replace(self._held[name], is_leased=True))
                continue
            content = await self._container.read(blob.name)
            # Requested after the content, as in .NET: a lease that began between the two is seen as leased.
            state = (await self._container.properties(blob.name)).lease_state
            record = LeaseRecord.read(name, content, is_leased=state is LeaseState.LEASED)
            # A record with the name of this host, whose lease this host does not hold, was written by the killed host
            # with the same identity. Its lease may be taken at once.
            records.append(replace(record, owner=None) if record.owner == self._worker_id else record)
        return records

    async def _acquire(self, record: LeaseRecord) -> bool:
        """Acquire a free lease, or steal one by changing its id. False: another host was faster."""
        if record.queue_name in self._held:
            return False
        blob, token = self._blob(record.queue_name), hyphenated(self._new_id())
        # Computed before the request, so that this host never assumes a lease that the service has ended.
        until = self._clock.now() + LEASE
        try:
            if record.is_leased and record.token:
                await self._container.lease(blob).change(record.token, new_lease_id=token)
            else:
                await self._container.lease(blob).acquire(token, duration=LEASE)
            # The epoch counts the owners of the queue. No host reads it.
            ours = replace(record, owner=self._worker_id, token=token, epoch=record.epoch + 1, is_leased=True)
            await self._container.write(blob, ours.body(), lease_id=token)
        except (AlreadyExists, PreconditionFailed, NotFound):
            return False
        self._held[record.queue_name] = ours
        self._leased_until[record.queue_name] = until
        return True

    async def renew(self) -> Sequence[str]:
        """Renew the leases of this host and return the names of the queues that other hosts have taken."""
        lost = []
        for name, record in tuple(self._held.items()):
            until = self._clock.now() + LEASE
            try:
                await self._container.lease(self._blob(name)).renew(record.token or "")
            except (AlreadyExists, PreconditionFailed, NotFound):
                lost.append(name)
                self.forget(name)
            except EmulatorError:
                # Without a response, the lease is not necessarily lost. It is renewed in the next pass, and `is_leased`
                # is False when its time is over.
                continue
            else:
                self._leased_until[name] = until
        return lost

    async def release(self, queue_name: str) -> None:
        """Release a lease. The record is written first, because that needs the lease."""
        record = self._held.get(queue_name)
        if record is None:
            return
        self.forget(queue_name)
        blob, token = self._blob(queue_name), record.token or ""
        try:
            free = replace(record, owner=None, token=None)
            await self._container.write(blob, free.body(), lease_id=token)
            await self._container.lease(blob).release(token)
        except (AlreadyExists, PreconditionFailed, NotFound):
            # Another host has taken the lease.
            return

    def forget(self, queue_name: str) -> None:
        """Give up a lease without a request to the service."""
        self._held.pop(queue_name, None)
        self._leased_until.pop(queue_name, None)

    def _blob(self, queue_name: str) -> str:
        return f"{self._folder}/{queue_name}"


def hub_info(hub: str, partition_count: int, created_at: Instant) -> bytes:
    """Encode taskhub.json, which the scale controller of Azure reads."""
    members = {"TaskHubName": hub, "CreatedAt": created_at.text, "PartitionCount": partition_count}
    return json_text(members).encode()
