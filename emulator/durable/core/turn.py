"""One turn: state plus decisions become new history and outgoing messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.durable.core.events import HistoryEvent
from emulator.durable.core.identity import OrchestrationInstance, RuntimeStatus
from emulator.durable.core.messages import TaskMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOutcome:
    """What a work item leaves behind; only the last generation of a continue-as-new is here.

    `instance`: the execution that `new_events` belong to. `past_count`: how many events of that execution are stored
    already (0 for a new execution). `custom_status`: JSON text or None. `status`: after the turn. Messages of all
    generations are kept, in sending order: activities, then control (starts, events, replies), then timers.
    """

    instance: OrchestrationInstance
    past_count: int
    new_events: Sequence[HistoryEvent]
    status: RuntimeStatus
    custom_status: str | None = None
    activities: Sequence[TaskMessage] = ()
    control: Sequence[TaskMessage] = ()
    timers: Sequence[TaskMessage] = ()
