"""A task hub, an engine and a scripted app on a store in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from emulator.clock import Clock
from emulator.durable.azurestorage.hub import AzureStorageTaskHub
from emulator.durable.core.events import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
)
from emulator.durable.core.identity import TERMINAL, OrchestrationInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage
from emulator.durable.engine.worker import engine
from emulator.durable.executor import Executor
from emulator.durable.hub import InstanceStatus
from emulator.durable.options import AzureStorageProvider, DurableTaskOptions
from emulator.ids import hyphenated, new_id
from emulator.instant import Instant
from emulator.storage.port import StorageAccount
from tests.waiting import eventually

OPTIONS = DurableTaskOptions(
    hub_name="TestHub",
    max_concurrent_activity_functions=10,
    max_concurrent_orchestrator_functions=10,
    max_concurrent_entity_functions=10,
    use_app_lease=False,
    storage_provider=AzureStorageProvider(max_queue_polling_interval=timedelta(seconds=1)),
)


def with_provider(options: DurableTaskOptions = OPTIONS, **changes: Any) -> DurableTaskOptions:
    return replace(options, storage_provider=replace(options.storage_provider, **changes))


@dataclass
class World:
    """What a client of the hub can do and see."""

    hub: AzureStorageTaskHub
    clock: Clock
    executions: dict[str, str] = field(default_factory=dict)

    async def start(
        self,
        name: str,
        input: Any = None,
        *,
        id: str = "i1",
        reuse: frozenset[RuntimeStatus] = TERMINAL,
        at: Instant | None = None,
    ) -> str:
        instance = OrchestrationInstance(id, hyphenated(new_id()))
        started = ExecutionStarted(
            timestamp=self.now, instance=instance, name=name, input=json.dumps(input), scheduled_start_time=at
        )
        await self.hub.start(TaskMessage(started, instance), reuse=reuse)
        self.executions[id] = instance.execution_id or ""
        return id

    async def raise_event(self, id: str, name: str, input: Any = None) -> None:
        await self.send(id, EventRaised(timestamp=self.now, name=name, input=json.dumps(input)))

    async def signal(self, id: str, operation: str, input: Any = None) -> None:
        request = {
            "op": operation,
            "signal": True,
            "input": json.dumps(input),
            "id": hyphenated(new_id()),
            "Timestamp": "0001-01-01T00:00:00",
            "Predecessor": "0001-01-01T00:00:00",
        }
        await self.raise_event(id, "op", request)

    async def terminate(self, id: str, reason: str) -> None:
        await self.send(id, ExecutionTerminated(timestamp=self.now, input=reason))

    async def suspend(self, id: str) -> None:
        await self.send(id, ExecutionSuspended(timestamp=self.now, reason="later"))

    async def resume(self, id: str) -> None:
        await self.send(id, ExecutionResumed(timestamp=self.now, reason="now"))

    async def send(self, id: str, event: Any) -> None:
        await self.hub.send(TaskMessage(event, OrchestrationInstance(id, None)))

    async def status(self, id: str = "i1") -> InstanceStatus:
        found = await self.hub.status(id)
        assert found is not None, f"no instance {id}"
        return found

    async def ended(self, id: str = "i1", *, within_seconds: float = 3600) -> InstanceStatus:
        return await self.becomes(id, *TERMINAL, within_seconds=within_seconds)

    async def becomes(
        self, id: str, *wanted: RuntimeStatus, within_seconds: float = 3600, every: float = 0.05
    ) -> InstanceStatus:
        async def status() -> InstanceStatus | None:
            found = await self.hub.status(id)
            return found if found is not None and found.runtime_status in wanted else None

        what = f"{id} in {' or '.join(status.wire_name for status in wanted)}"
        return await eventually(status, what, within=within_seconds, clock=self.clock, every=every)

    @property
    def now(self) -> Instant:
        return Instant.of(self.clock.now())


@asynccontextmanager
async def open_world(
    account: StorageAccount, clock: Clock, executor: Executor | None = None, options: DurableTaskOptions = OPTIONS
) -> AsyncIterator[World]:
    """A client, and with an `executor` a host that works."""
    hub = AzureStorageTaskHub(options, account, clock=clock, new_id=new_id)
    async with AsyncExitStack() as stack:
        if executor is not None:
            await stack.enter_async_context(hub.working())
            await stack.enter_async_context(engine(hub, executor, options, clock=clock))
        yield World(hub, clock)


async def messages_left(account: StorageAccount, prefix: str = "testhub") -> Mapping[str, int]:
    """Queues with messages, hidden ones included, once what is under way has settled."""
    await asyncio.sleep(0)
    found = {}
    async for name in account.queues(prefix):
        if count := await account.queue(name).count():
            found[name] = count
    return found
