"""Waiting for an instance to end: run what can run, look, let time jump once, look again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from emulator.clock import Clock
from emulator.durable.core.events import (
    HistoryEvent,
    SubOrchestrationInstanceCompleted,
    SubOrchestrationInstanceCreated,
    SubOrchestrationInstanceFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from emulator.durable.hub import InstanceStatus, TaskHub
from emulator.testing.errors import NothingLeft
from emulator.virtual_time import VirtualClock

# How often a real clock's test looks. Nobody has to wait for a jump there.
_LOOK_SECONDS = 0.02


async def wait_for_end(hub: TaskHub, clock: Clock, instance_id: str, within: timedelta | None) -> None:
    """Return when the instance has ended; virtual time jumps as far as that needs, but not further than `within`.

    Raises NothingLeft.
    """
    limit = None if within is None else clock.now() + within
    while True:
        if isinstance(clock, VirtualClock):
            await clock.idle()
        status = await hub.status(instance_id)
        if status is not None and status.runtime_status is not None and status.runtime_status.is_terminal:
            return
        if not await _time_passes(clock, limit):
            raise await _nothing_left(hub, clock, instance_id, status, limit)


async def _time_passes(clock: Clock, limit: datetime | None) -> bool:
    if isinstance(clock, VirtualClock):
        return await clock.step(limit)
    await clock.sleep(_LOOK_SECONDS)
    return limit is None or clock.now() < limit


async def _nothing_left(
    hub: TaskHub, clock: Clock, instance_id: str, status: InstanceStatus | None, limit: datetime | None
) -> NothingLeft:
    history = [] if status is None else await hub.history(instance_id)
    name = None if status is None or status.runtime_status is None else status.runtime_status.wire_name
    limited = ""
    if limit is not None and (not isinstance(clock, VirtualClock) or _somebody_sleeps(clock)):
        limited = f"the limit of this wait, {limit.isoformat()}, is reached"
    elif isinstance(clock, VirtualClock) and clock.is_frozen:
        limited = "time is frozen"
    return NothingLeft(instance_id, name, pending(history), limited)


def _somebody_sleeps(clock: VirtualClock) -> bool:
    return any(not sleeper.upkeep for sleeper in clock.sleepers())


def pending(history: Sequence[HistoryEvent]) -> list[str]:
    """What an instance has begun and not got an answer to, for people."""
    waiting: dict[int, str] = {}
    for event in history:
        match event:
            case TaskScheduled(name=name, event_id=number):
                waiting[number] = f"activity {name}"
            case TimerCreated(fire_at=fire_at, event_id=number):
                waiting[number] = f"timer at {fire_at.text}"
            case SubOrchestrationInstanceCreated(name=name, instance_id=child, event_id=number):
                waiting[number] = f'sub-orchestration {name} "{child}"'
            case (
                TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed()
            ):
                waiting.pop(event.task_scheduled_id, None)
            case TimerFired(timer_id=number):
                waiting.pop(number, None)
            case _:
                pass
    return list(waiting.values())
