"""Common parts of the Durable Task extension's log lines: sequence number, hub name, names of functions.

Source: durable-extension, EndToEndTraceHelper.cs; docs/protocol/durable-client-http.md 6.3.
"""

from __future__ import annotations

import itertools
import logging

from emulator.durable.core.identity import EntityId
from emulator.durable.core.state import RuntimeState
from emulator.logs import get_logger

_log = get_logger(__name__)

EXTENSION_VERSION = "3.19.0"
"""The release of the extension whose behaviour is reproduced."""


class HubLog:
    """Log of one task hub: numbers its lines and appends the names of hub and app.

    `show_payloads`: tracing.traceInputsAndOutputs of host.json.
    """

    def __init__(self, *, hub_name: str, app_name: str = "", slot_name: str = "", show_payloads: bool = False) -> None:
        self._tail = (
            f"HubName: {hub_name}. AppName: {app_name}. SlotName: {slot_name}. ExtensionVersion: {EXTENSION_VERSION}."
        )
        self._show_payloads = show_payloads
        # Like EndToEndTraceHelper, numbers the lines of a hub, because several can have the same time.
        self._numbers = itertools.count()

    def info(self, text: str, task_id: int | None = None) -> None:
        self._write(logging.INFO, text, task_id)

    def warning(self, text: str) -> None:
        self._write(logging.WARNING, text, None)

    def error(self, text: str, task_id: int | None = None) -> None:
        self._write(logging.ERROR, text, task_id)

    def payload(self, text: str | None) -> str:
        """Return an input or output, or only its length if payloads are not shown."""
        # The text that .NET writes for null. Payloads may contain personal data, so they are hidden by default.
        if text is None:
            return "(null)"
        return text if self._show_payloads else f"(Redacted {len(text)} characters)"

    def _write(self, level: int, text: str, task_id: int | None) -> None:
        if _log.isEnabledFor(level):
            # At the end of the line, as EndToEndTraceHelper does. Orchestrators have -1.
            task = "" if task_id is None else f" TaskEventId: {task_id}"
            _log.log(level, "%s %s SequenceNumber: %d.%s", text, self._tail, next(self._numbers), task)


def activity_label(instance_id: str, name: str) -> str:
    """Return the instance and the name of an activity function, as log lines begin with them."""
    return _function(instance_id, name, "Activity")


def orchestrator_label(instance_id: str, name: str) -> str:
    """Return the instance and the name of its orchestrator function."""
    return _function(instance_id, name, "Orchestrator")


def orchestrator_label_of(state: RuntimeState) -> str:
    """Return the instance and the name of its orchestrator function, from a running execution."""
    return orchestrator_label(state.instance.instance_id, state.started.name)


def entity_label(entity: EntityId) -> str:
    """Return the instance id of an entity and the name of its function."""
    return _function(entity.instance_id, entity.name, "Entity")


def _function(instance_id: str, name: str, kind: str) -> str:
    return f"{instance_id}: Function '{name} ({kind})'"
