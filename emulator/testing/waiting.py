"""Waiting for an instance to end: run what can run, look, let time jump once, look again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from emulator.clock import Clock
from emulator.durable.core.events import (
    EventRaised,
    EventSent,
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
from emulator.testing.watching.awaited import Awaited
from emulator.virtual_time import VirtualClock

# How often a real clock's test looks. Nobody has to wait for a jump there.
_LOOK_SECONDS = 0.02


async def wait_for_end(
    hub: TaskHub, clock: Clock, awaited: Awaited, instance_id: str, within: timedelta | None
) -> None:
    """Return when the instance has ended; virtual time jumps as far as that needs, but not further than `within`.

    Raises NothingLeft.
    """
    limit = None if within is None else clock.now() + within
    passes = True
    while True:
        if isinstance(clock, VirtualClock):
            await clock.idle()
        status = await hub.status(instance_id)
        if status is not None and status.runtime_status is not None and status.runtime_status.is_terminal:
            return
        if not passes:
            waits = await _waits(hub, awaited, instance_id)
            raise NothingLeft(instance_id, _name_of(status), waits, _limited(clock, limit))
        # Even when time cannot pass, one more look: while this one looked, another wait may have let it pass.
        passes = await _time_passes(clock, limit)


async def _time_passes(clock: Clock, limit: datetime | None) -> bool:
    if isinstance(clock, VirtualClock):
        return await clock.step(limit)
    await clock.sleep(_LOOK_SECONDS)
    return limit is None or clock.now() < limit


def _name_of(status: InstanceStatus | None) -> str | None:
    return None if status is None or status.runtime_status is None else status.runtime_status.wire_name


def _limited(clock: Clock, limit: datetime | None) -> str:
    if limit is not None and (not isinstance(clock, VirtualClock) or _somebody_sleeps(clock)):
        return f"the limit of this wait, {limit.isoformat()}, is reached"
    return "time is frozen" if isinstance(clock, VirtualClock) and clock.is_frozen else ""


def _somebody_sleeps(clock: VirtualClock) -> bool:
    return any(not sleeper.upkeep for sleeper in clock.sleepers())


async def _waits(hub: TaskHub, awaited: Awaited, instance_id: str) -> Sequence[str]:
    """What an instance waits for, for people; with what its children wait for."""
    history = await hub.history(instance_id)
    waits = [f'event "{name}"' for name in awaited.events(instance_id, history)]
    for name, child in pending(history):
        inner = [] if child is None else await _waits(hub, awaited, child)
        waits.append(f"{name}, which waits for {', '.join(inner)}" if inner else name)
    return waits


def pending(history: Sequence[HistoryEvent]) -> Sequence[tuple[str, str | None]]:
    """What an instance has begun and not got an answer to; the id of a sub-orchestration."""
    waiting: dict[int | str, tuple[str, str | None]] = {}
    for event in history:
        match event:
            case TaskScheduled(name=name, event_id=number):
                waiting[number] = f"activity {name}", None
            case TimerCreated(fire_at=fire_at, event_id=number):
                waiting[number] = f"timer at {fire_at.text}", None
            case SubOrchestrationInstanceCreated(name=name, instance_id=child, event_id=number):
                waiting[number] = f'sub-orchestration {name} "{child}"', child
            case EventSent(instance_id=target, input=text) if (call := _call_id(text)) is not None:
                waiting[call] = f"answer of the entity {target}", None
            case (
                TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed()
            ):
                waiting.pop(event.task_scheduled_id, None)
            case TimerFired(timer_id=number):
                waiting.pop(number, None)
            case EventRaised(name=name):
                waiting.pop(name, None)
            case _:
                pass
    return list(waiting.values())


def _call_id(sent: str | None) -> str | None:
    """The id of an entity's request that will be answered; None: it is a signal, or no request."""
    try:
        request = json.loads(sent or "null")
    except ValueError:
        return None
    if not isinstance(request, dict) or request.get("signal"):
        return None
    return request.get("id")
