"""Lease records in blobs: one per control queue, held by a blob lease.

{"PartitionId":"myhub-control-00","Owner":"worker1","Token":"6f9619ff-8b86-d011-b42d-00c04fc964ff","Epoch":3}

`Token` is the id of the blob lease, published so that another host can take the lease over by changing it.
Source: docs/protocol/task-hub-storage.md chapters 5.4 and 5.5 (durabletask: Partitioning/BlobPartitionLeaseManager.cs,
LeaseCollectionBalancer.cs).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil

from emulator.clock import Clock
from emulator.dotnet.json_values import lenient_object
from emulator.dotnet.json_writer import json_text
from emulator.errors import EmulatorError
from emulator.ids import NewId, hyphenated
from emulator.instant import Instant
from emulator.storage.port import AlreadyExists, BlobContainer, LeaseState, NotFound, PreconditionFailed

LEASE = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """`is_leased`: whether the blob's lease was alive when it was looked at; not part of the body."""

    queue_name: str
    owner: str | None = None
    token: str | None = None
    epoch: int = 0
    is_leased: bool = False

    @classmethod
    def read(cls, queue_name: str, content: bytes, *, is_leased: bool) -> LeaseRecord:
        """Damaged content names no owner: the queue is free as soon as the blob's lease is."""
        found = lenient_object(content)
        return cls(
            queue_name=queue_name,
            owner=found.get("Owner"),
            token=found.get("Token"),
            epoch=found.get("Epoch") or 0,
            is_leased=is_leased,
        )

    def body(self) -> bytes:
        members = {"PartitionId": self.queue_name, "Owner": self.owner, "Token": self.token, "Epoch": self.epoch}
        return json_text(members).encode()

    @property
    def is_free(self) -> bool:
        return not self.is_leased or self.owner is None


@dataclass(frozen=True, slots=True)
class Choice:
    """What a host should do to have its share: take free leases, or steal one."""

    take: Sequence[LeaseRecord] = ()
    steal: LeaseRecord | None = None


def choose(found: Sequence[LeaseRecord], me: str, *, held: int, may_steal: bool) -> Choice:
    """`found`: all leases that may be had, ours among them. Everybody gets the same number, rounded up."""
    free = [each for each in found if each.is_free]
    if not may_steal:
        return Choice(take=free)
    others: dict[str, list[LeaseRecord]] = {}
    for each in found:
        if not each.is_free and each.owner is not None and each.owner.lower() != me.lower():
            others.setdefault(each.owner, []).append(each)
    workers = len(others) + 1
    target = 1 if len(found) <= workers else ceil(len(found) / workers)
    need = target - held
    if need <= 0:
        return Choice()
    if free:
        return Choice(take=free[:need])
    richest = max(others.values(), key=len, default=[])
    enough = target - (1 if need > 1 else 0)
    return Choice(steal=richest[0]) if len(richest) > enough else Choice()


class BlobLeases:
    """The leases in one folder of the lease container, and those of them that this host holds."""

    def __init__(
        self,
        container: BlobContainer,
        folder: str,
        queue_names: Sequence[str],
        me: str,
        clock: Clock,
        new_id: NewId,
        *,
        may_steal: bool,
    ) -> None:
        self._container = container
        self._folder = folder
        self._queue_names = queue_names
        self._me = me
        self._clock = clock
        self._new_id = new_id
        self._may_steal = may_steal
        self._held: dict[str, LeaseRecord] = {}
        self._until: dict[str, datetime] = {}

    @property
    def held(self) -> Mapping[str, LeaseRecord]:
        return self._held

    def holds(self, queue_name: str) -> bool:
        """Whether the lease is ours and has not run out by our clock."""
        until = self._until.get(queue_name)
        return until is not None and self._clock.now() < until

    async def create(self) -> None:
        for name in self._queue_names:
            try:
                await self._container.write(self._blob(name), LeaseRecord(queue_name=name).body(), only_if_new=True)
            except (AlreadyExists, PreconditionFailed):
                continue

    async def take(self, wanted: Callable[[str], bool] = lambda _: True) -> Sequence[str]:
        """Look at all leases and take what is our share; returns the queues that came."""
        found = [record for record in await self._look() if wanted(record.queue_name)]
        choice = choose(found, self._me, held=len(self._held), may_steal=self._may_steal)
        came = [record.queue_name for record in choice.take if await self._acquired(record)]
        if choice.steal is not None and await self._acquired(choice.steal):
            came.append(choice.steal.queue_name)
        return came

    async def _look(self) -> list[LeaseRecord]:
        found = []
        async for blob in self._container.list(f"{self._folder}/"):
            name = blob.name.removeprefix(f"{self._folder}/")
            if name in self._held:
                found.append(replace(self._held[name], is_leased=True))
                continue
            content = await self._container.read(blob.name)
            state = (await self._container.properties(blob.name)).lease_state
            record = LeaseRecord.read(name, content, is_leased=state is LeaseState.LEASED)
            # What a killed host of our name left behind is ours to take.
            found.append(replace(record, owner=None) if record.owner == self._me else record)
        return found

    async def _acquired(self, record: LeaseRecord) -> bool:
        """Acquire the lease or, while somebody holds it, change it to ours."""
        if record.queue_name in self._held:
            return False
        blob, token = self._blob(record.queue_name), hyphenated(self._new_id())
        until = self._clock.now() + LEASE
        try:
            if record.is_leased and record.token:
                await self._container.lease(blob).change(record.token, new_lease_id=token)
            else:
                await self._container.lease(blob).acquire(token, duration=LEASE)
            ours = replace(record, owner=self._me, token=token, epoch=record.epoch + 1, is_leased=True)
            await self._container.write(blob, ours.body(), lease_id=token)
        except (AlreadyExists, PreconditionFailed, NotFound):
            return False  # Somebody else was faster.
        self._held[record.queue_name] = ours
        self._until[record.queue_name] = until
        return True

    async def renew(self, wanted: Callable[[str], bool] = lambda _: True) -> Sequence[str]:
        """Renew what we hold; returns the queues that are ours no more, those not `wanted` among them."""
        lost = []
        for name, record in tuple(self._held.items()):
            if wanted(name) and await self._renewed(record):
                continue
            lost.append(name)
            self.forget(name)
        return lost

    async def _renewed(self, record: LeaseRecord) -> bool:
        until = self._clock.now() + LEASE
        try:
            await self._container.lease(self._blob(record.queue_name)).renew(record.token or "")
        except (AlreadyExists, PreconditionFailed, NotFound):
            return False
        except EmulatorError:
            return True  # Not answered is not lost; but `holds` ends with the lease.
        self._until[record.queue_name] = until
        return True

    async def release(self, queue_name: str) -> None:
        """Give it up: the body first, under the lease, then the lease."""
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
            return  # It was taken from us.

    def forget(self, queue_name: str) -> None:
        self._held.pop(queue_name, None)
        self._until.pop(queue_name, None)

    def _blob(self, queue_name: str) -> str:
        return f"{self._folder}/{queue_name}"


def hub_info(hub: str, partition_count: int, created_at: Instant) -> bytes:
    """The body of taskhub.json: for people and for the scale controller."""
    members = {"TaskHubName": hub, "CreatedAt": created_at.text, "PartitionCount": partition_count}
    return json_text(members).encode()
