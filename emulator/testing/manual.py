"""Manual invocations in a test: run a function with data of the test, and supply values for input bindings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emulator.app import App
from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.host.event_grid_requests import EVENT_TYPE_HEADER
from emulator.host.manual_invocation import (
    CannotInvoke,
    ManualRequest,
    NoSuchFunction,
    NoSuchInput,
    find_function,
    invoke_manually,
    supplied_binding,
)
from emulator.host.sending import NotStorable, completed_events, event_path
from emulator.host.supplied_inputs import supplied_value
from emulator.ids import new_id
from emulator.testing.errors import InvocationFailed, NotInvoked
from emulator.testing.http import HttpClient
from emulator.virtual_time import VirtualClock
from emulator.worker.port import member_of


@dataclass(frozen=True, slots=True)
class Invoked:
    """Result of a manual invocation. `value`: what the function returned, if its trigger or a binding takes it.

    `outputs`: what it wrote to its output bindings, by binding name.
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


def check_is_timer(app: App, name: str) -> None:
    """Raise NotInvoked if the app has no timer function of that name."""
    try:
        trigger = find_function(app.host, name).trigger
    except NoSuchFunction as error:
        raise NotInvoked(str(error)) from error
    if trigger.type.lower() != "timertrigger":
        raise NotInvoked(
            f"The function '{name}' has a {trigger.type}, and app.fire runs timer functions. Run it with app.invoke, "
            "or cause an event: app.put_message, app.upload, app.send_event, app.request."
        )


async def send_event(app: App, http: HttpClient, clock: Clock, name: str, event: object) -> None:
    """Send an event to the webhook of a function. Runs on the host's loop. Raises NotInvoked, InvocationFailed."""
    try:
        function = find_function(app.host, name)
        path = event_path(function.name, function.trigger.type, member_of(function.trigger.properties, "source"))
        events = completed_events(event, now=clock.now(), new_id=new_id)
    except (NoSuchFunction, NotStorable) as error:
        raise NotInvoked(str(error)) from error
    answer = await http.request("POST", path, json=events, headers={EVENT_TYPE_HEADER: "Notification"})
    if answer.status >= 500:
        raise InvocationFailed(function.name, EmulatorError(answer.text))
    if answer.status >= 400:
        raise NotInvoked(f"The webhook {path} has refused the event with status {answer.status}. {answer.text}")
