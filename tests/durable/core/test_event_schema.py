"""Schema of history events and objects, compared with their Python classes."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import reduce

import pytest

from emulator.durable.core import events
from emulator.durable.core.event_schema import EVENTS, OBJECTS, Kind
from emulator.durable.core.events import HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.status import status_after
from emulator.instant import MIN_INSTANT

BASE_FIELDS = {field.name for field in fields(HistoryEvent)}


def test_all_events_have_a_schema() -> None:
    classes = [value for value in vars(events).values() if isinstance(value, type) and issubclass(value, HistoryEvent)]
    assert set(EVENTS) == set(classes) - {HistoryEvent}
    numbers = [schema.number for schema in EVENTS.values()]
    assert sorted(numbers) == sorted(set(numbers))


@pytest.mark.parametrize("event_type", EVENTS, ids=lambda event_type: event_type.__name__)
def test_schema_has_all_fields_of_an_event(event_type: type[HistoryEvent]) -> None:
    schema = EVENTS[event_type]
    members = [*schema.fields, *schema.properties]
    assert sorted(member.field for member in members) == sorted(
        field.name for field in fields(event_type) if field.name not in BASE_FIELDS
    )
    required = {field.name for field in fields(event_type) if field.default is MISSING}
    # EventSent.name is required in Python, but may be null.
    without_default = {member.field for member in members if member.default is None and member.field in required}
    assert without_default <= {"name"}


@pytest.mark.parametrize("kind", OBJECTS, ids=lambda kind: kind.name)
def test_schema_has_all_fields_of_an_object(kind: Kind) -> None:
    schema = OBJECTS[kind]
    assert [member.field for member in schema.members] == [field.name for field in fields(schema.record)]


STARTED = events.ExecutionStarted(timestamp=MIN_INSTANT, instance=OrchestrationInstance("i", "e"), name="f")
SUSPENDED = events.ExecutionSuspended(timestamp=MIN_INSTANT)
RESUMED = events.ExecutionResumed(timestamp=MIN_INSTANT)
TERMINATED = events.ExecutionTerminated(timestamp=MIN_INSTANT)
FAILED = events.ExecutionCompleted(timestamp=MIN_INSTANT, status=RuntimeStatus.FAILED)


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ([], None),
        ([SUSPENDED], None),
        ([STARTED], RuntimeStatus.RUNNING),
        ([STARTED, SUSPENDED], RuntimeStatus.SUSPENDED),
        ([STARTED, SUSPENDED, SUSPENDED, RESUMED], RuntimeStatus.RUNNING),
        ([STARTED, TERMINATED], RuntimeStatus.RUNNING),
        ([STARTED, FAILED], RuntimeStatus.FAILED),
        ([STARTED, FAILED, SUSPENDED], RuntimeStatus.FAILED),
        ([STARTED, FAILED, RESUMED], RuntimeStatus.FAILED),
    ],
)
def test_status_of_history(history: list[HistoryEvent], status: RuntimeStatus | None) -> None:
    before: RuntimeStatus | None = None
    assert reduce(status_after, history, before) is status
