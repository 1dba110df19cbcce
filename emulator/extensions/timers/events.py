"""Events of timer triggers: the value and the trigger metadata that the Functions host sends to Python.

Source: docs/protocol/functions-host.md 2.3 and 8.2; docs/protocol/python-worker.md 4.5.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final

from emulator import bound_json as json
from emulator.extensions.timers.local_time import LocalZone
from emulator.extensions.timers.schedule import Schedule
from emulator.extensions.timers.status import ScheduleStatus
from emulator.host.port import ManualInput, TriggerEvent
from emulator.instant import Instant
from emulator.worker.port import Datum

BINDING_NAME: Final = "TimerTrigger"
"""The only name that a timer trigger gives to expressions and trigger metadata: the local time of the run."""


class Occasion(enum.Enum):
    """Why a function runs. The values are those of the log line `Trigger Details`."""

    SCHEDULED = ""
    PAST_DUE = "IsPastDue"
    STARTUP = "RunOnStartup"


def timer_event(
    schedule: Schedule, status: ScheduleStatus | None, occasion: Occasion, now: Instant, zone: LocalZone
) -> TriggerEvent:
    """Return the event of a run. `status` None: the function is not monitored."""
    details: dict[str, str] = {}
    if occasion is not Occasion.SCHEDULED:
        details["UnscheduledInvocationReason"] = occasion.value
    if occasion is Occasion.PAST_DUE and status is not None:
        details["OriginalSchedule"] = zone.text(status.next, digits=True)
    text = f"{zone.wall(now):%m/%d/%Y %H:%M:%S}"
    return TriggerEvent(
        value=_datum(timer_info(schedule, status, zone, is_past_due=occasion is Occasion.PAST_DUE)),
        metadata={BINDING_NAME: Datum("string", text)},
        binding_data={BINDING_NAME: text},
        details=details,
        reason=f"Timer fired at {zone.text(now, digits=True)}",
    )


def manual_timer_event(
    given: ManualInput, schedule: Schedule, status: ScheduleStatus | None, now: Instant, zone: LocalZone
) -> TriggerEvent:
    """Return the event of a manual run, which is not past due and leaves the stored status as it is.

    The Functions host ignores the input. Here it may be a JSON object with members of the value, such as
    `{"IsPastDue": true}`, so that a test can run the function as if it were late.
    """
    info = timer_info(schedule, status, zone, is_past_due=False)
    try:
        chosen = json.loads(given.text or "{}")
    except (ValueError, RecursionError):
        chosen = {}
    if isinstance(chosen, dict):
        info |= {name: chosen[name] for name in info if name in chosen}
    text = str(given.metadata.get(BINDING_NAME, f"{zone.wall(now):%m/%d/%Y %H:%M:%S}"))
    return TriggerEvent(
        value=_datum(info), metadata={BINDING_NAME: Datum("string", text)}, binding_data={BINDING_NAME: text}
    )


def timer_info(
    schedule: Schedule, status: ScheduleStatus | None, zone: LocalZone, *, is_past_due: bool
) -> dict[str, Any]:
    """Return the members of the value (`TimerInfo` in .NET), in the host's order."""
    return {
        "Schedule": {"AdjustForDST": schedule.adjusts_for_daylight_saving},
        "ScheduleStatus": None if status is None else status.members(zone),
        "IsPastDue": is_past_due,
    }


def _datum(info: Mapping[str, Any]) -> Datum:
    return Datum("json", json.dumps(info, separators=(",", ":")))
