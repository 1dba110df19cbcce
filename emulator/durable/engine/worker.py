"""The durable engine: three work loops (orchestrations, entities, activities) on one task hub.

    async with engine(source, executor, options, …):
        …   # orchestrations, entities and activities run

Leaving the body stops fetching and waits for running work items, for a limited time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from emulator.background import background
from emulator.clock import Clock
from emulator.durable.core.identity import FunctionKind
from emulator.durable.engine import activities, entities, orchestrations
from emulator.durable.engine.activities import ActivityRunner
from emulator.durable.engine.entities import EntityRunner
from emulator.durable.engine.orchestrations import OrchestrationRunner
from emulator.durable.engine.services import EngineServices
from emulator.durable.engine.work_log import WorkLog
from emulator.durable.executor import Executor
from emulator.durable.hub import ActivityWorkItem, LockLost, OrchestrationWorkItem, WorkSource
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.lifecycle import LifecycleLog
from emulator.durable.tracing.spans import DurableSpans
from emulator.polling.work_loop import Processor, work
from emulator.storage.counting import caused_by

Item = TypeVar("Item", OrchestrationWorkItem, ActivityWorkItem)
Result = TypeVar("Result")

DRAIN_SECONDS = 8.0
"""How long a stopping host waits for running work items.

The same time as in the orchestration service of .NET. It ends before the 10 s that the host gives its listeners
(docs/protocol/functions-host.md 11.5), so that unfinished work items can still be abandoned.
"""


@asynccontextmanager
async def engine(
    source: WorkSource,
    executor: Executor,
    options: DurableTaskOptions,
    *,
    clock: Clock,
    lifecycle: LifecycleLog | None = None,
    work_log: WorkLog | None = None,
    spans: DurableSpans | None = None,
    drain_seconds: Callable[[], float] = lambda: DRAIN_SECONDS,
) -> AsyncIterator[None]:
    """Run the work items of `source` while the body runs, within the limits maxConcurrent…Functions of host.json.

    `lifecycle` logs what happens to the instances of the hub. Clients in this process must use the same object,
    because it numbers the lines. `work_log` notes the work items that run or have failed. `spans` records
    spans of them.
    """
    lifecycle = lifecycle or LifecycleLog.of_hub(options)
    log = work_log or WorkLog(clock)
    services = EngineServices(
        executor=executor, options=options, clock=clock, lifecycle=lifecycle, work_log=log, spans=spans
    )
    # Three loops instead of one, because host.json has a limit per kind of work item.
    orchestration = Processor(
        name="orchestration",
        describe=orchestrations.describe,
        fetch=source.next_orchestration,
        run=_logged_run(log, FunctionKind.ORCHESTRATOR, OrchestrationRunner(services).run),
        save=_logged_save(log, FunctionKind.ORCHESTRATOR, orchestrations.function_of, source.complete_orchestration),
        abandon=source.abandon_orchestration,
    )
    entity = Processor(
        name="entity",
        describe=entities.describe,
        fetch=source.next_entity,
        run=_logged_run(log, FunctionKind.ENTITY, EntityRunner(services).run),
        save=_logged_save(log, FunctionKind.ENTITY, entities.function_of, source.complete_orchestration),
        abandon=source.abandon_orchestration,
    )
    activity = Processor(
        name="activity",
        describe=activities.describe,
        fetch=source.next_activity,
        run=_logged_run(log, FunctionKind.ACTIVITY, ActivityRunner(services).run),
        save=_logged_save(log, FunctionKind.ACTIVITY, activities.function_of, source.complete_activity),
        abandon=source.abandon_activity,
    )

    async def run() -> None:
        # One group, so that all three loops stop fetching at the same moment and drain at the same time. One after
        # the other, they would need up to three times `drain_seconds`.
        async with asyncio.TaskGroup() as loops:

            def start_loop(processor: Processor[Any, Any], limit: int) -> None:
                loop = work(processor, limit=limit, clock=clock, drain_seconds=drain_seconds)
                loops.create_task(loop, name=f"{processor.name} loop")

            start_loop(orchestration, options.max_concurrent_orchestrator_functions)
            start_loop(entity, options.max_concurrent_entity_functions)
            start_loop(activity, options.max_concurrent_activity_functions)

    async with background(run(), name="durable engine"):
        lifecycle.worker_started()
        try:
            yield
        finally:
            # Logged before the drain, which may take several seconds.
            lifecycle.worker_stopping()
    lifecycle.worker_stopped()


def _logged_run(
    log: WorkLog, kind: FunctionKind, run: Callable[[Item], Awaitable[Result]]
) -> Callable[[Item], Awaitable[Result]]:
    async def run_and_log(item: Item) -> Result:
        with log.running_work(kind, item):
            return await run(item)

    return run_and_log


def _logged_save(
    log: WorkLog,
    kind: FunctionKind,
    function_of: Callable[[Item], str],
    save: Callable[[Item, Result], Awaitable[None]],
) -> Callable[[Item, Result], Awaitable[None]]:
    async def save_and_log(item: Item, result: Result) -> None:
        try:
            with caused_by(function_of(item)):
                await save(item, result)
        except LockLost:
            # Not a failure that is retried here: the host that has the item now completes it.
            log.settled(item)
            raise
        except Exception as error:
            log.note_failure(kind, item, str(error) or type(error).__name__)
            raise
        log.settled(item)

    return save_and_log
