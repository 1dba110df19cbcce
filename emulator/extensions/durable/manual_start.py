"""Manual invocation of durable functions: an activity is run; for the others, a text says how they are started.

Source: docs/protocol/functions-host.md 6; docs/protocol/durable-client-http.md chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable

from emulator.durable.core.identity import FunctionKind
from emulator.errors import EmulatorError
from emulator.extensions.durable.management.management_urls import WEBHOOK_PATH
from emulator.host.port import Function, ManualEvent, ManualInput, TriggerEvent, text_event
from emulator.worker.port import Binding


class NeedsInstance(EmulatorError):
    """An orchestrator or entity is run by the durable engine for an instance, never by itself."""


def manual_event(kind: FunctionKind, origin: Callable[[], str]) -> ManualEvent:
    """Return the manual event of a kind of durable functions. `origin`: where the host serves HTTP."""
    if kind is FunctionKind.ACTIVITY:
        return text_event

    async def refuse(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
        api = f"{origin()}{WEBHOOK_PATH}"
        if kind is FunctionKind.ORCHESTRATOR:
            raise NeedsInstance(
                f"'{function.name}' is an orchestrator, which runs only as an instance. Start one with "
                f"POST {api}/orchestrators/{function.name} (body: the input as JSON; Content-Type: application/json), "
                f'or in code with client.start_new("{function.name}").'
            )
        raise NeedsInstance(
            f"'{function.name}' is an entity, which runs only when an operation is signalled or called. Signal one "
            f"with POST {api}/entities/{function.name}/KEY?op=OPERATION (body: the input as JSON; Content-Type: "
            f'application/json), or in code with client.signal_entity(EntityId("{function.name}", "KEY"), "OPERATION").'
        )

    return refuse
