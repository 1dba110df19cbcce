"""Waiting for the end of an orchestration.

Virtual time jumps to one due time after the other, and the status is read after every jump.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from emulator import bound_json as json
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
from emulator.durable.hub import TaskHub
from emulator.testing.errors import NothingLeft
from emulator.testing.observers.awaited_events import AwaitedEvents
from emulator.virtual_time import VirtualClock

# How often the status is read with a real clock. With a virtual clock it is read after every jump.
_POLL_SECONDS = 0.02

# How often timer functions run before an instance that has nothing else to wait for counts as one that cannot end: each
# of them once, and this often together, but not more often than the second number.
_RUNS = 100
_MOST_RUNS = 1000


async def wait_for_end(
    hub: TaskHub,
    clock: Clock,
    awaited_events: AwaitedEvents,
    instance_id: str,
    within: timedelta | None,
    patience: timedelta = timedelta(0),
) -> None:
    """Return when the instance has ended. Virtual time jumps as far as needed, but not further than `within`.

    `patience`: when nothing is due, how long to wait for upkeep, such as the pause before a failed call is repeated.
    Raises NothingLeft if the instance does not end within that time, or cannot end.
    """
    limit = None if within is None else clock.now() + within
    time_passes = True
    runs: Counter[str] = Counter()
    while True:
        if isinstance(clock, VirtualClock):
            # Let everything finish that needs no time. Otherwise the status could be read while the episode that ends
            # the instance is still being stored.
            await clock.idle()
        row = await hub.status(instance_id)
        status = None if row is None else row.runtime_status
        if status is not None and status.is_terminal:
            return
        if not time_passes:
            break
        # If time cannot advance, look once more before giving up: another wait may have let it advance meanwhile.
        if isinstance(clock, VirtualClock):
            waits = [sleeper for sleeper in clock.sleepers() if not sleeper.upkeep]
            # The next one first.
            schedules = [sleeper.where for sleeper in waits if sleeper.recurring]
            if limit is None and schedules and len(schedules) == len(waits):
                # A run of one of them may continue the instance, but an instance that cannot end must not be waited
                # for without an end.
                runs[schedules[0]] += 1
            else:
                runs.clear()
            are_enough = runs.total() > _RUNS and all(name in runs for name in schedules)
            time_passes = not are_enough and runs.total() <= _MOST_RUNS and await clock.step(limit)
            if not time_passes and not are_enough and patience:
                last = min(clock.now() + patience, limit or clock.now() + patience)
                began = clock.now()
                time_passes = await clock.step(last, upkeep=True)
                patience -= min(patience, clock.now() - began)
        else:
            await clock.sleep(_POLL_SECONDS)
            time_passes = limit is None or clock.now() < limit
    name = None if status is None else status.wire_name
    pending = await _pending_with_events(hub, awaited_events, instance_id)
    reason, advice = _explain(clock, limit, instance_id, name, pending, runs)
    raise NothingLeft(instance_id, name, reason=reason, advice=advice, pending=pending)


def _explain(
    clock: Clock,
    limit: datetime | None,
    instance_id: str,
    status: str | None,
    pending: Sequence[str],
    runs: Counter[str],
) -> tuple[str, str]:
    """Return why the instance does not end, and what the test can do."""
    if isinstance(clock, VirtualClock) and clock.is_frozen:
        return "time is frozen", "Leave clock.frozen() before you wait."
    # With a limit, the wait ends although the instance could continue, unless nothing is due at all. Upkeep sleepers do
    # not count: they are never the reason why an orchestration continues.
    if limit is not None and (
        not isinstance(clock, VirtualClock) or any(not sleeper.upkeep for sleeper in clock.sleepers())
    ):
        reason = f"the limit of this wait, {limit.isoformat()}, is reached"
        return reason, "Allow more time with within=…, or check why the instance takes so long."
    if runs:
        schedules = ", ".join(sorted(name.removeprefix("schedule of ") for name in runs))
        reason = f"only timer functions are left ({schedules}), whose {runs.total()} runs since then have not ended it"
        advice = "If one of them will, allow it a time with within=…."
        if any('event "' in description for description in pending):
            advice += " Otherwise raise the missing event: client.raise_event(instance_id, name, data)."
        return reason, advice
    if status is None:
        reason = "nothing is running that could start it"
        return reason, "Check the instance ID: client.start_new returns it."
    if status == "Suspended":
        reason = "it continues only when it is resumed"
        return reason, f'Resume it: client.resume("{instance_id}", "reason").'
    reason = "no timer, message or running function is left that would continue it"
    if any('event "' in description for description in pending):
        return reason, "Raise the missing event: client.raise_event(instance_id, name, data)."
    return reason, "See app.console for what has run, and app.history(instance_id) for what has happened."


async def _pending_with_events(hub: TaskHub, awaited_events: AwaitedEvents, instance_id: str) -> Sequence[str]:
    """Describe what an instance waits for, including what its sub-orchestrations wait for."""
    history = await hub.history(instance_id)
    waits = [f'event "{name}"' for name in awaited_events.names(instance_id, history)]
    for description, child in pending_operations(history):
        inner = [] if child is None else await _pending_with_events(hub, awaited_events, child)
        waits.append(f"{description}, which waits for {', '.join(inner)}" if inner else description)
    return waits


def pending_operations(history: Sequence[HistoryEvent]) -> Sequence[tuple[str, str | None]]:
    """Return what an instance has started and got no result of: a description, and the ID of a sub-orchestration."""
    waiting: dict[int | str, tuple[str, str | None]] = {}
    for event in history:
        match event:
            case TaskScheduled(name=name, event_id=number):
                waiting[number] = f"activity {name}", None
            case TimerCreated(fire_at=fire_at, event_id=number):
                waiting[number] = f"timer at {fire_at.text}", None
            case SubOrchestrationInstanceCreated(name=name, instance_id=child, event_id=number):
                waiting[number] = f'sub-orchestration {name} "{child}"', child
            case EventSent(instance_id=target, input=text) if (request_id := _request_id(text)) is not None:
                waiting[request_id] = f"response of the entity {target}", None
            case (
                TaskCompleted() | TaskFailed() | SubOrchestrationInstanceCompleted() | SubOrchestrationInstanceFailed()
            ):
                waiting.pop(event.task_scheduled_id, None)
            case TimerFired(timer_id=number):
                waiting.pop(number, None)
            case EventRaised(name=name):
                # The response of an entity arrives as an event whose name is the ID of the request.
                waiting.pop(name, None)
            case _:
                pass
    return list(waiting.values())


def _request_id(sent: str | None) -> str | None:
    # EventSent is written for calls of entities, for signals, and for events to other instances. Only a call is
    # answered.
    try:
        request = json.loads(sent or "null")
    except ValueError:
        return None
    if not isinstance(request, dict) or request.get("signal"):
        return None
    return request.get("id")
