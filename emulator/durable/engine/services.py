"""Services that the runners of orchestrations, entities and activities share: executor, options, clock and log."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.clock import Clock
from emulator.durable.engine.work_log import WorkLog
from emulator.durable.executor import Executor
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.lifecycle import LifecycleLog
from emulator.durable.tracing.spans import DurableSpans
from emulator.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineServices:
    """Services of the runners. `lifecycle` logs what happens to instances and functions; `work_log` notes what runs.

    `spans` records spans of them; None: nothing does.
    """

    executor: Executor
    options: DurableTaskOptions
    clock: Clock
    lifecycle: LifecycleLog
    work_log: WorkLog
    spans: DurableSpans | None = None

    def now(self) -> Instant:
        """Return the current time, UTC."""
        return Instant.of(self.clock.now())
