"""An instance as the management API shows it. Source: docs/protocol/durable-client-http.md 2.6."""

from __future__ import annotations

from typing import Any

from emulator.dotnet.json_reader import lenient_value
from emulator.dotnet.query_values import parse_bool
from emulator.durable.client import DurableClient
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstanceStatus
from emulator.extensions.durable.management.api_request import Query
from emulator.extensions.durable.management.history_view import history_view
from emulator.instant import Instant


def status_payload(status: InstanceStatus, *, show_input: bool) -> dict[str, Any]:
    """The payload without a history."""
    version = {"version": status.version} if status.version else {}
    return {
        "name": status.name,
        **version,
        "instanceId": status.instance_id,
        "runtimeStatus": status.runtime_status.wire_name if status.runtime_status is not None else "Unknown",
        "input": lenient_value(status.input) if show_input else None,
        "customStatus": lenient_value(status.custom_status),
        "output": lenient_value(status.output),
        "createdTime": _whole_seconds(status.created_at),
        "lastUpdatedTime": _whole_seconds(status.last_updated_at),
    }


async def full_status_payload(client: DurableClient, status: InstanceStatus, query: Query) -> dict[str, Any]:
    """The payload with what the query asks for: `showInput`, `showHistory`, `showHistoryOutput`."""
    show_input = parse_bool(query.get("showInput")) is not False
    payload = status_payload(status, show_input=show_input)
    if parse_bool(query.get("showHistory")) and status.runtime_status is not RuntimeStatus.PENDING:
        events = await client.history(status.instance_id)
        show_output = parse_bool(query.get("showHistoryOutput")) is True
        payload["historyEvents"] = history_view(events, show_input=show_input, show_output=show_output)
    return payload


def _whole_seconds(moment: Instant) -> str:
    return moment.text7[:19] + "Z"
