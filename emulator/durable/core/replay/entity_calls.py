"""The requests of one orchestration execution to entities: their ids and their labels.

A replay makes them again and again, so both must come out the same every time: ids are name-based, labels come from
the episode's clock, and what the history has recorded is believed rather than computed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from emulator.dotnet.json_writer import json_text
from emulator.durable.core.entities.messages import OPERATION, Request
from emulator.durable.core.entities.sorter import MessageSorter
from emulator.durable.core.events import EventSent
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.core.replay.actions import CallEntity, SignalEntity
from emulator.instant import Instant

_NAMESPACE = uuid.UUID("9e952959-5e33-4daf-827f-2fa12937b875")


@dataclass(frozen=True, slots=True)
class SentRequest:
    """`text`: the JSON, `event_name` under which it goes out; the answer's event is named `id`."""

    id: str
    event_name: str
    text: str


class EntityCalls:
    """`recorded`: the EventSent events of the history by action id."""

    def __init__(self, caller: OrchestrationInstance, recorded: Mapping[int, EventSent], window: timedelta) -> None:
        self._caller = caller
        self._recorded = recorded
        self._sorter = MessageSorter(window)
        self._made = 0

    def send(self, action: CallEntity | SignalEntity, number: int, *, now: Instant, wall_clock: Instant) -> SentRequest:
        """The request that action `number` sends. `now`: the clock of the episode in which the replay stands."""
        computed_id = self._next_id(now)
        recorded = self._recorded_request(number)
        if recorded is not None:
            self._sorter.note_sent(action.instance_id, recorded[0].timestamp)
            return recorded[1]
        request = Request(
            id=computed_id,
            operation=action.operation,
            is_signal=isinstance(action, SignalEntity),
            input=None if action.input is None else json_text(action.input),
            parent=self._caller.instance_id,
            parent_execution=self._caller.execution_id,
            due=action.due if isinstance(action, SignalEntity) else None,
            requested_at=wall_clock,
        )
        if request.due is None:  # delayed signals pass unsorted
            request = self._sorter.label(request, action.instance_id, now)
        return SentRequest(request.id, request.event_name_at(now), request.from_instance())

    def _recorded_request(self, number: int) -> tuple[Request, SentRequest] | None:
        """What the history says was sent. A cancelled timer lets the replay pass here at an earlier clock than the
        first time; a computed id would then be another one, and the answer would never be recognised.
        """
        event = self._recorded.get(number)
        if event is None or event.input is None:
            return None
        try:
            request = Request.parse(event.input)
        except ValueError:
            return None
        return request, SentRequest(request.id, event.name or OPERATION, event.input)

    def _next_id(self, now: Instant) -> str:
        name = f"{self._caller.instance_id}_{now.text7}_{self._made}"
        self._made += 1
        return str(uuid.uuid5(_NAMESPACE, name))
