"""Log line that relates a request of the durable HTTP API to the function invocation that has sent it.

Source: durable-extension, HttpApiHandler.LogClientOperationReceived; docs/protocol/durable-client-http.md 2.19.
"""

from __future__ import annotations

from uuid import UUID

from emulator.extensions.durable.hubs import SelectedHub
from emulator.extensions.durable.management.api_request import ApiRequest
from emulator.extensions.durable.management.routing import Entities, Event, Instance, Instances, Operation, Target

INVOCATION_HEADER = "X-Azure-Functions-InvocationId"
_MANY = "(filter)"
"""Stands for the instance id in requests for many instances."""


def log_operation(request: ApiRequest, hub: SelectedHub, operation: str, instance_id: str) -> None:
    """Log a client operation, if the request names the invocation that has sent it."""
    invocation_id = request.headers.get(INVOCATION_HEADER, "")
    try:
        # Any client can send the header. What is not a GUID must not get into the log.
        UUID(invocation_id)
    except ValueError:
        return
    hub.lifecycle.client_operation(operation, instance_id, invocation_id)


def operation_of(method: str, target: Target) -> tuple[str, str] | None:
    """Return the extension's name of an operation, and the instance id; None if the target has no such method.

    A start is not included: its instance id is known only when the instance has been created.
    """
    match method, target:
        case "GET", Instances():
            return "QueryInstances", _MANY
        case "DELETE", Instances():
            return "PurgeInstances", _MANY
        case "GET", Instance(instance_id):
            return "GetInstance", instance_id
        case "DELETE", Instance(instance_id):
            return "PurgeInstances", instance_id
        case "POST", Operation(instance_id, "terminate" | "suspend" | "resume" | "rewind" | "restart" as name):
            return name.capitalize(), instance_id
        case "POST", Event(instance_id, _):
            return "RaiseEvent", instance_id
        case "GET", Entities(str(name), str(key)):
            return "GetEntity", f"@{name.lower()}@{key}"
        case "GET", Entities():
            return "QueryEntities", _MANY
        case "POST" | "DELETE", Entities(name, key):
            return "SignalEntity", f"@{(name or '').lower()}@{key or ''}"
    return None
