"""Endpoints of the page Instance: status, timeline, history, sequence, source, stored rows and comparison."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from emulator.dashboard.api.stored_values import json_value
from emulator.dashboard.durable.comparison import Step, compare, duration_of
from emulator.dashboard.durable.event_table import EventLine, event_lines
from emulator.dashboard.durable.function_source import function_source
from emulator.dashboard.durable.sequence import sequence
from emulator.dashboard.durable.task_hub import DashboardHub
from emulator.dashboard.durable.timeline import Kind, Row, Span, timeline
from emulator.dashboard.event_stream import send_events
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, endpoint, number_of, utc_text
from emulator.durable.azurestorage.tracking.rows import UnreadableRow
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.identity import FunctionKind, is_entity
from emulator.durable.core.state import SOURCE_INSTANCE_ID
from emulator.durable.engine.work_log import WorkKey
from emulator.durable.hub import InstanceStatus
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.instant import Instant
from emulator.storage.port import Row as TableRow

_PAYLOAD_LIMIT: Final = 2_000
_STATUS_PAYLOAD_LIMIT: Final = 100_000
_LONGEST_PAYLOAD: Final = 5_000_000
_ROWS_LIMIT: Final = 5_000
_MAX_PLACES: Final = 50
_HISTORY_PAGE: Final = 1_000
_MESSAGES_LIMIT: Final = 400
_RAW_LIMIT: Final = 300
_EPISODE_EVENTS: Final = frozenset({"OrchestratorStarted", "OrchestratorCompleted"})
_LAST_EVENT: Final = 10_000_000


def instance_routes(parts: DashboardParts, hub: DashboardHub) -> list[Route]:
    """Return the endpoints of the page Instance."""
    api = _Instance(parts, hub)
    path = "instances/{instanceId}"
    return [
        endpoint("GET", path, api.status),
        endpoint("GET", f"{path}/changes", api.changes),
        endpoint("GET", f"{path}/timeline", api.timeline),
        endpoint("GET", f"{path}/history", api.history),
        endpoint("GET", f"{path}/payload", api.payload),
        endpoint("GET", f"{path}/sequence", api.sequence),
        endpoint("GET", f"{path}/source", api.source),
        endpoint("GET", f"{path}/rows", api.rows),
        endpoint("GET", f"{path}/comparison", api.comparison),
    ]


class _Instance:
    def __init__(self, parts: DashboardParts, hub: DashboardHub) -> None:
        self._parts = parts
        self._hub = hub

    async def status(self, call: HttpCall) -> web.Response:
        """Return the status row, and what the history adds: children, events, number of episodes.

        `historyError`: why the history cannot be read, if so. `rowVersion`: the parameter `version` of `changes`.
        """
        instance_id = call.values["instanceId"]
        # Before the rest, so that a change meanwhile is one that `changes` tells of.
        version = await self._hub.reader.row_etag(instance_id)
        status = await self._status(instance_id)
        try:
            facts = _history_facts(await self._hub.reader.history(instance_id), self._now())
        except UnreadableRow as error:
            # The page must open, because it shows the rows as they are stored.
            facts = {**_history_facts((), self._now()), "historyError": str(error)}
        about = {"isEntity": is_entity(instance_id), "rowVersion": version, "now": utc_text(self._parts.clock.now())}
        return json_response({**_status_members(status), **facts, **about})

    async def changes(self, call: HttpCall) -> web.StreamResponse:
        """Send an event whenever the status row has changed, and `{"isDeleted": true}` when it is gone.

        The first one at once if it has changed since the parameter `version`.
        """
        instance_id = call.values["instanceId"]

        async def batches() -> AsyncIterator[list[Mapping[str, Any]]]:
            seen = call.request.query.get("version") or await self._hub.reader.row_etag(instance_id)
            yield []
            while seen is not None:
                etag = await self._hub.reader.row_etag(instance_id)
                if etag != seen:
                    seen = etag
                    yield [{"isDeleted": etag is None}]
                await self._hub.wait_for_next_look()

        return await send_events(call, self._parts, batches())

    async def timeline(self, call: HttpCall) -> web.Response:
        """Return the timeline of the current execution; without rows before its first episode."""
        instance_id = call.values["instanceId"]
        history = await self._hub.reader.history(instance_id)
        if not history:
            await self._status(instance_id)
            return json_response({"rows": [], "episodes": 0, "events": 0})
        services = self._hub.services
        result = timeline(
            history,
            now=self._now(),
            began_at=lambda task: services.work_log.began_at(WorkKey(instance_id, task)) if services else None,
        )
        return json_response(
            {
                "name": result.name,
                "start": result.start.text,
                "end": result.end.text,
                "status": None if result.status is None else result.status.wire_name,
                "episodes": result.episodes,
                "events": len(history),
                "suspended": [_span_members(span) for span in result.suspended],
                "runs": [_span_members(span) for span in result.runs[:_ROWS_LIMIT]],
                "rows": [_row_of_timeline(row) for row in result.rows[:_ROWS_LIMIT]],
                "isCut": len(result.rows) > _ROWS_LIMIT,
                # Then no other host can run an activity whose begin is not known here.
                "isOnlyHost": self._hub.is_only_host,
            }
        )

    async def history(self, call: HttpCall) -> web.Response:
        """Return a part of the history. `from`: how many of the selected events to leave out.

        `type`: only events of these types. `episodes=false`: not the first and last events of episodes.
        """
        instance_id = call.values["instanceId"]
        first = number_of(call, "from", 0, highest=_LAST_EVENT)
        limit = number_of(call, "limit", 200, highest=_HISTORY_PAGE)
        types = frozenset(filter(None, call.request.query.get("type", "").split(",")))
        hidden = _EPISODE_EVENTS if call.request.query.get("episodes") == "false" else frozenset[str]()
        history = await self._hub.reader.history(instance_id)
        if not history:
            await self._status(instance_id)
        lines = event_lines(history, payload_limit=_PAYLOAD_LIMIT)
        selected = [
            line
            for line in lines
            if (not types or line.event.type_name in types) and line.event.type_name not in hidden
        ]
        # Of the whole history, so that the filter shows what it leaves out.
        counts: dict[str, int] = {}
        for event in history:
            counts[event.type_name] = counts.get(event.type_name, 0) + 1
        return json_response(
            {
                "events": [_line_members(line) for line in selected[first : first + limit]],
                "total": len(selected),
                "types": counts,
            }
        )

    async def payload(self, call: HttpCall) -> web.Response:
        """Return a whole payload: of the event `index` its member `name`, without `index` of the status row."""
        instance_id = call.values["instanceId"]
        name = call.request.query.get("name", "")
        if "index" not in call.request.query:
            status = await self._status(instance_id)
            texts = {"input": status.input, "output": status.output, "customStatus": status.custom_status}
            text = texts.get(name)
        else:
            index = number_of(call, "index", 0, highest=_LAST_EVENT)
            history = await self._hub.reader.history(instance_id)
            if index >= len(history):
                raise ApiError(404, f'The history of the instance "{instance_id}" has no event {index}.')
            # Alone: to which task the event belongs does not matter for its payload.
            [line] = event_lines(history[index : index + 1], payload_limit=_LONGEST_PAYLOAD)
            text = next((payload.text for payload in line.payloads if payload.name == name), None)
        if text is None:
            raise ApiError(404, f"There is no payload '{name[:50]}'.")
        return json_response({"text": text[:_LONGEST_PAYLOAD], "length": len(text)})

    async def sequence(self, call: HttpCall) -> web.Response:
        """Return the sequence diagram of the current execution."""
        limit = number_of(call, "limit", _MESSAGES_LIMIT, highest=_ROWS_LIMIT)
        diagram = sequence(await self._hub.reader.history(call.values["instanceId"]), limit=limit)
        return json_response(
            {
                "lifelines": [
                    {"role": line.role.value, "name": line.name, "target": line.target} for line in diagram.lifelines
                ],
                "messages": [
                    {
                        "index": message.index,
                        "at": message.at.text,
                        "from": message.source,
                        "to": message.destination,
                        "label": message.label,
                        "style": message.style.value,
                    }
                    for message in diagram.messages
                ],
                "isCut": diagram.is_cut,
            }
        )

    async def source(self, call: HttpCall) -> web.Response:
        """Return the source of the orchestrator or entity function.

        `places`: other places as `file:line`, separated by commas. The functions around those in its file are included.
        """
        instance_id = call.values["instanceId"]
        status = await self._status(instance_id)
        kind = FunctionKind.ENTITY if is_entity(instance_id) else FunctionKind.ORCHESTRATOR
        # Rows of entities have an @ before the name.
        name = status.name.removeprefix("@")
        place = self._hub.source_of(kind, name)
        if place is None:
            raise ApiError(404, f"The app has no {kind.value} '{name}' now.")
        found = function_source(place, self._parts.configuration.root, with_lines=_lines_of(place, call))
        if found is None:
            raise ApiError(404, f"The source of '{name}' at {place} cannot be read.")
        return json_response({"file": found.file, "firstLine": found.first_line, "lines": found.lines})

    async def rows(self, call: HttpCall) -> web.Response:
        """Return the rows of the instance as the tables contain them."""
        instance_id = call.values["instanceId"]
        limit = number_of(call, "limit", _RAW_LIMIT, highest=_ROWS_LIMIT)
        status, history, has_more = await self._hub.reader.raw_rows(instance_id, limit=limit)
        if status is None and not history:
            raise _not_found(instance_id)
        return json_response(
            {
                "instancesTable": self._hub.reader.tables.instance_rows.name,
                "historyTable": self._hub.reader.tables.history_rows.name,
                "status": None if status is None else _row_members(status),
                "history": [_row_members(row) for row in history],
                "isCut": has_more,
            }
        )

    async def comparison(self, call: HttpCall) -> web.Response:
        """Compare the instance with the one of the parameter `with`."""
        other = call.request.query.get("with", "")
        if not other:
            raise ApiError(400, "The parameter with must have the id of the other instance.")
        sides = []
        for instance_id in (call.values["instanceId"], other):
            status = await self._status(instance_id)
            history = await self._hub.reader.history(instance_id)
            if not history:
                raise ApiError(404, f'The instance "{instance_id}" has no history yet.')
            sides.append((status, timeline(history, now=self._now())))
        (left_status, left), (right_status, right) = sides
        return json_response(
            {
                "left": {**_status_members(left_status), "tookMs": _milliseconds(left.end - left.start)},
                "right": {**_status_members(right_status), "tookMs": _milliseconds(right.end - right.start)},
                "steps": [_step_members(step) for step in compare(left, right)],
            }
        )

    async def _status(self, instance_id: str) -> InstanceStatus:
        status = await self._hub.reader.tables.status(instance_id)
        if status is None:
            raise _not_found(instance_id)
        return status

    def _now(self) -> Instant:
        return Instant.of(self._parts.clock.now())


def _lines_of(place: str, call: HttpCall) -> list[int]:
    """Return the line numbers in the parameter `places` that belong to the file of `place`."""
    file = place.rpartition(":")[0]
    places = (text.rpartition(":") for text in call.request.query.get("places", "").split(",")[:_MAX_PLACES])
    return [
        int(line)
        for name, _, line in places
        if name and line.isdecimal() and (name == file or file.endswith(f"/{name}") or name.endswith(f"/{file}"))
    ]


def _not_found(instance_id: str) -> ApiError:
    return ApiError(404, f'There is no instance with the id "{instance_id}" in this task hub.')


# JSON objects ------------------------------------------------------------------------------------------------


def _status_members(status: InstanceStatus) -> dict[str, Any]:
    return {
        "instanceId": status.instance_id,
        "executionId": status.execution_id,
        "name": status.name,
        "status": status.runtime_status.wire_name if status.runtime_status is not None else "Unknown",
        "createdAt": status.created_at.text,
        "updatedAt": status.last_updated_at.text,
        "completedAt": _text_of(status.completed_at),
        "scheduledAt": _text_of(status.scheduled_start_at),
        "version": status.version,
        "generation": status.generation,
        "tags": None if status.tags is None else dict(status.tags),
        "restartOf": (status.tags or {}).get(SOURCE_INSTANCE_ID),
        "parent": status.parent_instance_id,
        **{
            name: None if text is None else {"text": text[:_STATUS_PAYLOAD_LIMIT], "length": len(text)}
            for name, text in (
                ("input", status.input),
                ("output", status.output),
                # The SDK stores null if the orchestrator has set none.
                ("customStatus", None if status.custom_status == "null" else status.custom_status),
            )
        },
    }


def _history_facts(history: Sequence[HistoryEvent], now: Instant) -> dict[str, Any]:
    if not history:
        return {"children": [], "raised": [], "episodes": 0, "events": 0, "beganAt": None}
    result = timeline(history, now=now)
    started = next((event for event in history if isinstance(event, ExecutionStarted)), None)
    return {
        "children": [
            {"instanceId": row.target, "name": row.name, "outcome": row.last.outcome.value}
            for row in result.rows
            if row.kind is Kind.CHILD
        ][:_RAW_LIMIT],
        "raised": [row.name for row in result.rows if row.kind is Kind.EVENT][:_RAW_LIMIT],
        "episodes": result.episodes,
        "events": len(history),
        # Later than the creation of the instance after continue-as-new, which begins a new history.
        "beganAt": None if started is None else started.timestamp.text,
    }


def _span_members(span: Span) -> list[str | None]:
    return [span.start.text, _text_of(span.end)]


def _row_of_timeline(row: Row) -> dict[str, Any]:
    return {
        "kind": row.kind.value,
        "name": row.name,
        "eventId": row.event_id,
        "target": row.target,
        "fireAt": _text_of(row.fire_at),
        "releasedAt": _text_of(row.released_at),
        "attempts": [
            {
                "scheduledAt": attempt.scheduled_at.text,
                "scheduledIndex": attempt.scheduled_index,
                "beganAt": _text_of(attempt.began_at),
                "endedAt": _text_of(attempt.ended_at),
                "endedIndex": attempt.ended_index,
                "seenAt": _text_of(attempt.seen_at),
                "outcome": attempt.outcome.value,
            }
            for attempt in row.attempts
        ],
    }


def _line_members(line: EventLine) -> dict[str, Any]:
    return {
        "index": line.index,
        "type": line.event.type_name,
        "eventId": line.event.event_id,
        "at": line.event.timestamp.text,
        "isPlayed": line.event.is_played,
        "subject": line.subject,
        "target": line.target,
        "belongsTo": line.belongs_to,
        "tookMs": None if line.took is None else _milliseconds(line.took),
        "failure": line.failure,
        "fireAt": line.fire_at,
        "status": line.status,
        "payloads": [
            {"name": payload.name, "text": payload.text, "length": payload.length} for payload in line.payloads
        ],
    }


def _step_members(step: Step) -> dict[str, Any]:
    row = step.left or step.right
    assert row is not None

    def side(row: Row | None) -> dict[str, Any] | None:
        if row is None:
            return None
        took = duration_of(row)
        return {
            "outcome": row.last.outcome.value,
            "attempts": len(row.attempts),
            "tookMs": None if took is None else _milliseconds(took),
            "target": row.target,
        }

    return {
        "kind": row.kind.value,
        "name": row.name,
        "change": step.change.value,
        "left": side(step.left),
        "right": side(step.right),
    }


def _row_members(row: TableRow) -> dict[str, Any]:
    return {
        "partitionKey": row.partition_key,
        "rowKey": row.row_key,
        "timestamp": _text_of(row.timestamp),
        "etag": row.etag,
        "columns": {name: json_value(value, longest=_PAYLOAD_LIMIT) for name, value in row.properties.items()},
    }


def _text_of(moment: Instant | None) -> str | None:
    return None if moment is None else moment.text


def _milliseconds(period: timedelta) -> float:
    return round(period / timedelta(milliseconds=1), 3)
