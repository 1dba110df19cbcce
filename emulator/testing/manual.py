"""Manual invocations in a test: run a function with data of the test, and supply values for input bindings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.app import App
from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.host.manual_invocation import (
    CannotInvoke,
    ManualRequest,
    NoSuchFunction,
    NoSuchInput,
    find_function,
    invoke_manually,
    supplied_binding,
)
from emulator.host.supplied_inputs import supplied_value
from emulator.ids import new_id
from emulator.testing.errors import InvocationFailed, NotInvoked
from emulator.virtual_time import VirtualClock


@dataclass(frozen=True, slots=True)
class Invoked:
    """Result of a manual invocation. `value`: what the function returned, if its trigger or a binding takes it.

    `outputs`: what it wrote to services that azemu does not connect to, by binding name.
    """

    value: Any = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    invocation_id: str = ""


async def run_manually(app: App, name: str, request: ManualRequest, clock: Clock) -> Invoked:
    """Run a function. Runs on the host's loop. Raises NotInvoked, InvocationFailed."""
    try:
        function = find_function(app.host, name)
        work = invoke_manually(app.host, app.captured_outputs, function, request, new_id)
        if isinstance(clock, VirtualClock):
            # A retry policy waits between its attempts, and the function itself may wait for a durable timer.
            with clock.running():
                result = await work
        else:
            result = await work
    except (NoSuchFunction, CannotInvoke) as error:
        raise NotInvoked(str(error)) from error
    except EmulatorError as error:
        raise InvocationFailed(name, error) from error
    outputs = {output.binding: output.value for output in result.outputs}
    return Invoked(result.value, outputs, result.invocation_id)


def supply_input(app: App, name: str, binding: str, value: object) -> None:
    """Supply a value for an input binding of a function. Raises NotInvoked for an unknown function or binding."""
    try:
        function = find_function(app.host, name)
        known = supplied_binding(app.host, function, binding)
    except (NoSuchFunction, NoSuchInput) as error:
        raise NotInvoked(str(error)) from error
    app.supplied_inputs.put(function.name, known, supplied_value(value))
