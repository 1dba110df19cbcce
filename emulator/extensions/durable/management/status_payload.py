"""Status of an instance as JSON of the durable HTTP API. Source: docs/protocol/durable-client-http.md 2.6."""

from __future__ import annotations

from typing import Any

from emulator.dotnet.json_reader import lenient_value
from emulator.dotnet.query_values import parse_bool
from emulator.durable.client import DurableClient
from emulator.durable.core.identity import RuntimeStatus
from emulator.durable.hub import InstanceStatus
from emulator.extensions.durable.management.api_request import Query
from emulator.extensions.durable.management.history_view import history_view


def status_payload(status: InstanceStatus, *, show_input: bool) -> dict[str, Any]:
    """Return the payload without history events."""
    # Only these two members may be missing; all others are null if they have no value.
    version = {"version": status.version} if status.version else {}
    parent = {"parentInstanceId": status.parent_instance_id} if status.parent_instance_id else {}
    return {
        "name": status.name or None,
        **version,
        "instanceId": status.instance_id,
        **parent,
        "runtimeStatus": status.runtime_status.wire_name if status.runtime_status is not None else "Unknown",
        "input": lenient_value(status.input) if show_input else None,
        "customStatus": lenient_value(status.custom_status),
        "output": lenient_value(status.output),
        # In whole seconds, as HttpApiHandler formats them with "s" and a Z.
        "createdTime": status.created_at.text7[:19] + "Z",
        "lastUpdatedTime": status.last_updated_at.text7[:19] + "Z",
    }


async def full_status_payload(client: DurableClient, status: InstanceStatus, query: Query) -> dict[str, Any]:
    """Return the payload as the parameters `showInput`, `showHistory` and `showHistoryOutput` request it."""
    show_input = parse_bool(query.get("showInput")) is not False
    payload = status_payload(status, show_input=show_input)
    # A pending instance has no history yet; the extension leaves the member out then.
    if parse_bool(query.get("showHistory")) and status.runtime_status is not RuntimeStatus.PENDING:
        events = await client.history(status.instance_id)
        show_output = parse_bool(query.get("showHistoryOutput")) is True
        payload["historyEvents"] = history_view(events, show_input=show_input, show_output=show_output)
    return payload
