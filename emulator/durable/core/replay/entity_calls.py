"""Requests of one orchestration execution to entities: their ids, and the timestamps that keep their order.

Every replay makes the requests again, and ids and timestamps must be the same every time. So ids are name-based GUIDs,
and timestamps come from the episode's clock; a request that the history has recorded is taken from there.
Source: docs/protocol/durable-orchestration.md 11.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid5

from emulator.dotnet.json_writer import json_text
from emulator.durable.core.entities.messages import OPERATION, Request
from emulator.durable.core.entities.sorter import MessageSorter
from emulator.durable.core.events import EventSent, TraceContext
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.core.replay.actions import CallEntity, SignalEntity
from emulator.durable.core.traces import request_trace
from emulator.instant import Instant

# The extension's namespace for name-based GUIDs. With the same ids, a .NET host can continue the execution.
_NAMESPACE = UUID("9e952959-5e33-4daf-827f-2fa12937b875")


@dataclass(frozen=True, slots=True)
class SentRequest:
    """Request as it is sent. `text`: its JSON. `id` is also the name of the event that brings the response."""

    id: str
    event_name: str
    text: str


class EntityCalls:
    """Creates the requests. `recorded`: the EventSent events of the history by action id. `window`: of the sorter.

    `trace`: of the caller; None: it is not traced.
    """

    def __init__(
        self,
        caller: OrchestrationInstance,
        recorded: Mapping[int, EventSent],
        window: timedelta,
        trace: TraceContext | None = None,
    ) -> None:
        self._caller = caller
        self._recorded = recorded
        self._trace = trace
        self._sorter = MessageSorter(window)
        self._request_count = 0

    def send(self, action: CallEntity | SignalEntity, number: int, *, now: Instant) -> SentRequest:
        """Return the request of the action with the id `number`.

        `now`: time of the requests of the episode at which the replay has arrived.
        """
        # Computed even if the history has the request: the counter is part of the name, and .NET counts every request.
        name = f"{self._caller.instance_id}_{now.text7}_{self._request_count}"
        self._request_count += 1
        recorded = self._recorded.get(number)
        if recorded is not None and recorded.input is not None:
            # A timer that was cancelled later ends at once in the replay. The program then arrives here at an earlier
            # clock than the first time. A computed id would differ from the recorded one, so no response would match.
            with suppress(ValueError):
                sent = Request.parse(recorded.input)
                self._sorter.note_sent(action.instance_id, sent.timestamp)
                return SentRequest(sent.id, recorded.name or OPERATION, recorded.input)
        request_id, is_signal = str(uuid5(_NAMESPACE, name)), isinstance(action, SignalEntity)
        request = Request(
            id=request_id,
            operation=action.operation,
            is_signal=is_signal,
            trace=request_trace(self._trace, request_id, is_signal=is_signal),
            # The SDK's JSON text becomes a JSON string, since entity inputs are encoded twice.
            input=None if action.input is None else json_text(action.input),
            parent=self._caller.instance_id,
            parent_execution=self._caller.execution_id,
            due=action.due if isinstance(action, SignalEntity) else None,
            # .NET takes the time of its machine here, which would be another one after a crash.
            requested_at=now,
        )
        # Entities deliver delayed signals without sorting them, so a label would only delay the requests after it.
        if request.due is None:
            request = self._sorter.label(request, action.instance_id, now)
        return SentRequest(request.id, request.event_name_at(now), request.from_instance())
