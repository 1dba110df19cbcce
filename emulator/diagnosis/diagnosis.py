"""Diagnosis of a task hub: reads the facts about an instance, or about all that have not ended, and explains them.

diagnosis = Diagnosis(options, account, tracking, clock)
print((await diagnosis.why("order-1")).summary)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from emulator.clock import Clock
from emulator.diagnosis import rules
from emulator.diagnosis.explanation import Explanation, explanation_of
from emulator.diagnosis.facts import HubFacts, InstanceFacts
from emulator.diagnosis.finding import Cause, Finding
from emulator.diagnosis.host_reader import RunningHost
from emulator.diagnosis.instance_reader import open_instances, read_instance, similar_ids
from emulator.diagnosis.lease_reader import read_leases
from emulator.diagnosis.queue_reader import control_queue_count, read_queues
from emulator.diagnosis.waits import lock_holder, needed_instances
from emulator.durable.azurestorage.names import hub_names
from emulator.durable.azurestorage.tracking.hub_tables import HubTables
from emulator.durable.core.identity import is_entity
from emulator.durable.options import DurableTaskOptions
from emulator.instant import Instant
from emulator.storage.port import StorageAccount, StorageUnreachable

GROUP = 100
"""How many instances are explained together, from one look at queues and leases."""

# Tables are asked for so many instances at the same time.
_READS = 16
# Children of children, and holders of locks, are read up to this number.
_MOST_RELATED = 50


@dataclass(frozen=True, slots=True)
class AllExplanations:
    """The instances that have not ended, the most urgent first. `has_more`: there are more of them."""

    explanations: Sequence[Explanation]
    has_more: bool

    def json(self) -> Mapping[str, Any]:
        """Return the members of the JSON object."""
        return {"instances": [one.json() for one in self.explanations], "hasMore": self.has_more}


class Diagnosis:
    """Explains instances of one task hub. Nothing is written, and no message is received.

    `account` has the queues, `tracking` the tables. `host`: a host of the hub in this process; None: there is none, so
    the lines of code are not known. `may_lose_writes`: see `HubFacts`.
    """

    def __init__(
        self,
        options: DurableTaskOptions,
        account: StorageAccount,
        tracking: StorageAccount | None,
        clock: Clock,
        *,
        host: RunningHost | None = None,
        may_lose_writes: bool = False,
    ) -> None:
        self._account = account
        self._tracking = tracking or account
        self._clock = clock
        self._host = host
        self._may_lose_writes = may_lose_writes
        self._names = hub_names(options)
        # Outputs may be megabytes in blobs, and no rule needs them.
        self._tables = HubTables(options, self._tracking, clock, fetch_large=False)

    async def why(self, instance_id: str) -> Explanation:
        """Explain one instance."""
        try:
            return (await self._explain([instance_id]))[0]
        except StorageUnreachable as error:
            # Not an error of the command: this, too, is a reason why the instance does not progress.
            facts = InstanceFacts(instance_id=instance_id)
            values = {"reason": str(error).removesuffix(".")}
            return explanation_of(facts, Finding(cause=Cause.STORAGE_UNREACHABLE, values=values), None)

    async def why_all(self, limit: int = GROUP) -> AllExplanations:
        """Explain the orchestrations that have not ended, `limit` at most. Raises StorageUnreachable."""
        ids: list[str] = []
        async for instance_id in open_instances(self._tables):
            ids.append(instance_id)
            # One more than asked for is read, to know whether there are more.
            if len(ids) > limit:
                break
        explained: list[Explanation] = []
        for first in range(0, min(len(ids), limit), GROUP):
            explained += await self._explain(ids[first : min(first + GROUP, limit)])
        return AllExplanations(sorted(explained, key=_urgency), len(ids) > limit)

    async def groups(self) -> AsyncIterator[Sequence[Explanation]]:
        """Yield explanations of all orchestrations that have not ended, the most urgent of each group first.

        Raises StorageUnreachable.
        """
        ids: list[str] = []
        async for instance_id in open_instances(self._tables):
            ids.append(instance_id)
            if len(ids) == GROUP:
                yield sorted(await self._explain(ids), key=_urgency)
                ids = []
        if ids:
            yield sorted(await self._explain(ids), key=_urgency)

    async def _explain(self, instance_ids: Sequence[str]) -> list[Explanation]:
        instances, hub = await self._read(instance_ids)
        found = {id: rules.explain(id, hub, instances) for id in instance_ids}
        doubtful = [id for id, finding in found.items() if _has_lost(finding)]
        if doubtful:
            # A message may have moved while one thing after the other was read: from a queue into a history, or back.
            again, hub = await self._read(doubtful)
            instances |= again
            found |= {id: rules.explain(id, hub, instances) for id in doubtful}
        return [explanation_of(instances[id], found[id], hub) for id in instance_ids]

    async def _read(self, instance_ids: Sequence[str]) -> tuple[dict[str, InstanceFacts], HubFacts]:
        """Read these instances, those that they wait for, and the hub."""
        # Before the queues: a message that is processed in between is in neither, and `_explain` reads again then.
        instances = await self._read_instances(instance_ids)
        count = await control_queue_count(self._account, self._names.hub)
        # The hub may have been created with another number than host.json has now.
        names = replace(self._names, partition_count=count or self._names.partition_count)
        queues = await read_queues(self._account, names, self._tables.large)
        now = Instant.of(self._clock.now())
        hub = HubFacts(
            now=now,
            names=names,
            storage=self._account.description,
            queues=queues,
            leases=await read_leases(self._tracking, names, now),
            host=None if self._host is None else self._host.facts(list(instances)),
            may_lose_writes=self._may_lose_writes,
        )
        return instances, hub

    async def _read_instances(self, instance_ids: Iterable[str]) -> dict[str, InstanceFacts]:
        asked, found = list(dict.fromkeys(instance_ids)), dict[str, InstanceFacts]()
        waiting = list(asked)
        # Limited, because a chain of instances that wait for each other may be long.
        while waiting and len(found) < len(asked) + _MOST_RELATED:
            part, waiting = waiting[:_READS], waiting[_READS:]
            for read in await asyncio.gather(*(read_instance(self._tables, name) for name in part)):
                facts, instance_id = read, read.instance_id
                if instance_id in asked and facts.status is None and not facts.events:
                    facts = replace(facts, similar=await similar_ids(self._tables, instance_id))
                status = facts.status.runtime_status if facts.status else None
                has_ended = status is not None and status.is_terminal
                # An entity has no code that waits. One replay after the other, because they are code of the app.
                if self._host is not None and facts.events and not has_ended and not is_entity(instance_id):
                    facts = replace(facts, position=await self._host.position(facts))
                found[instance_id] = facts
                needed = needed_instances(facts)
                holder = lock_holder(facts) if is_entity(instance_id) else None
                for other in (*needed, *([] if holder is None else [holder])):
                    if other not in found and other not in part and other not in waiting:
                        waiting.append(other)
        return found


def _urgency(explanation: Explanation) -> tuple[int, str]:
    return explanation.severity, explanation.instance_id


def _has_lost(finding: Finding) -> bool:
    return finding.cause in (Cause.LOST, Cause.UNREADABLE_MESSAGE) or any(map(_has_lost, finding.parts))
