"""Waiting for the end of an orchestration.

Virtual time jumps to one due time after the other, and the status is read after every jump.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from emulator.clock import Clock
from emulator.diagnosis.explanation import Explanation
from emulator.diagnosis.finding import Cause
from emulator.durable.hub import TaskHub
from emulator.testing.errors import NothingLeft
from emulator.virtual_time import VirtualClock

# How often the status is read with a real clock. With a virtual clock it is read after every jump.
_POLL_SECONDS = 0.02

# How often timer functions run before an instance that has nothing else to wait for counts as one that cannot end: each
# of them once, and this often together, but not more often than the second number.
_RUNS = 100
_MOST_RUNS = 1000

_EVENTS = frozenset({Cause.EVENT_NOT_RAISED, Cause.EVENT_OTHER_NAME})


async def wait_for_end(
    hub: TaskHub,
    clock: Clock,
    explain: Callable[[str], Awaitable[Explanation]],
    instance_id: str,
    within: timedelta | None,
    patience: timedelta = timedelta(0),
) -> None:
    """Return when the instance has ended. Virtual time jumps as far as needed, but not further than `within`.

    `explain`: says of an instance why it does not progress.
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
    explanation = None if name is None else await explain(instance_id)
    misses_event = explanation is not None and not _EVENTS.isdisjoint(explanation.causes)
    reason, advice = _explain(clock, limit, instance_id, name, runs, misses_event=misses_event)
    pending = [] if explanation is None else [explanation.summary, *explanation.facts]
    raise NothingLeft(instance_id, name, reason=reason, advice=advice, pending=pending)


def _explain(
    clock: Clock,
    limit: datetime | None,
    instance_id: str,
    status: str | None,
    runs: Counter[str],
    *,
    misses_event: bool,
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
        if misses_event:
            advice += " Otherwise raise the missing event: client.raise_event(instance_id, name, data)."
        return reason, advice
    if status is None:
        reason = "nothing is running that could start it"
        return reason, "Check the instance ID: client.start_new returns it."
    if status == "Suspended":
        reason = "it continues only when it is resumed"
        return reason, f'Resume it: client.resume("{instance_id}", "reason").'
    reason = "no timer, message or running function is left that would continue it"
    if misses_event:
        return reason, "Raise the missing event: client.raise_event(instance_id, name, data)."
    return reason, "See app.console for what has run, and app.history(instance_id) for what has happened."
