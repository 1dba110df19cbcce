"""The engine: three work loops on one task hub.

    async with engine(source, executor, options, …):
        …   # orchestrations, entities and activities run

Leaving it stops fetching and lets what runs come to its end, for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from emulator.background import background
from emulator.clock import Clock
from emulator.durable.engine import activities, entities, orchestrations
from emulator.durable.engine.activities import ActivityRunner
from emulator.durable.engine.entities import EntityRunner
from emulator.durable.engine.loop import Processor, work
from emulator.durable.engine.orchestrations import OrchestrationRunner
from emulator.durable.executor import Executor
from emulator.durable.hub import WorkSource
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.lifecycle import Lifecycle
from emulator.ids import NewId

DRAIN_SECONDS = 8.0
"""How long a host that stops waits for running work items; .NET's orchestration service waits as long."""


@asynccontextmanager
async def engine(
    source: WorkSource,
    executor: Executor,
    options: DurableTaskOptions,
    *,
    clock: Clock,
    new_id: NewId,
    lifecycle: Lifecycle | None = None,
    drain_seconds: float = DRAIN_SECONDS,
) -> AsyncIterator[None]:
    """Run all work of `source` while the body runs, within the limits maxConcurrent…Functions of host.json.

    `lifecycle`: what writes the hub's lines. Clients in this process share it, for the lines are numbered.
    """
    lifecycle = lifecycle or Lifecycle.of_hub(options)
    runs_orchestrations = OrchestrationRunner(executor, options, clock=clock, new_id=new_id, lifecycle=lifecycle)
    runs_entities = EntityRunner(executor, options, clock=clock, new_id=new_id, lifecycle=lifecycle)
    runs_activities = ActivityRunner(executor, clock=clock, lifecycle=lifecycle)
    orchestration = Processor(
        name="orchestration",
        describe=orchestrations.describe,
        fetch=source.next_orchestration,
        run=runs_orchestrations.run,
        save=source.complete_orchestration,
        abandon=source.abandon_orchestration,
    )
    entity = Processor(
        name="entity",
        describe=entities.describe,
        fetch=source.next_entity,
        run=runs_entities.run,
        save=source.complete_orchestration,
        abandon=source.abandon_orchestration,
    )
    activity = Processor(
        name="activity",
        describe=activities.describe,
        fetch=source.next_activity,
        run=runs_activities.run,
        save=source.complete_activity,
        abandon=source.abandon_activity,
    )

    async def run() -> None:
        # In one group, so that all three stop fetching at the same moment and drain side by side.
        async with asyncio.TaskGroup() as loops:

            def keep_working(processor: Processor[Any, Any], limit: int) -> None:
                loop = work(processor, limit=limit, clock=clock, drain_seconds=drain_seconds)
                loops.create_task(loop, name=f"{processor.name} loop")

            keep_working(orchestration, options.max_concurrent_orchestrator_functions)
            keep_working(entity, options.max_concurrent_entity_functions)
            keep_working(activity, options.max_concurrent_activity_functions)

    async with background(run(), name="durable engine"):
        lifecycle.worker_started()
        try:
            yield
        finally:
            lifecycle.worker_stopping()
    lifecycle.worker_stopped()
