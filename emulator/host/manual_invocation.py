"""Manual invocation: run a function with data of the caller and return its result and captured outputs.

The admin API, `azemu invoke` and `app.invoke` in tests do this. Source of the request's member `input`:
docs/protocol/functions-host.md 6; the other members are azemu's own.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.host.captured_outputs import CapturedOutput, CapturedOutputs, plain_value
from emulator.host.catalog import Catalog
from emulator.host.port import Function, ManualBindings, ManualInput, TriggerEvent
from emulator.host.supplied_inputs import supplied_value
from emulator.ids import NewId, hyphenated
from emulator.worker.port import Datum, Returned


class RequestInvalid(EmulatorError):
    """The body of a manual invocation cannot be read."""


class CannotInvoke(EmulatorError):
    """A function cannot be run in this way, or not with this input."""


class NoSuchInput(CannotInvoke):
    """A function has no input binding of that name whose value can be supplied. The message lists those that it has."""

    def __init__(self, function: str, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"Function '{function}' has no input binding '{name}' whose value can be supplied. "
            f"It has: {', '.join(known) or 'none'}."
        )


class NoSuchFunction(EmulatorError):
    """The app has no such function, or the function is in error. The message names similar functions."""

    def __init__(self, name: str, catalog: Catalog) -> None:
        errors = catalog.errors_of(name)
        names = [function.name for function in catalog.functions]
        spellings = {known.lower(): known for known in names}
        near = difflib.get_close_matches(name.lower(), spellings, n=1)
        if errors:
            message = f"The function '{name}' is in error: {' '.join(errors)}"
        elif near:
            message = f"The app has no function '{name}'. Did you mean '{spellings[near[0]]}'?"
        else:
            message = f"The app has no function '{name}'. It has: {', '.join(names) or 'none'}."
        super().__init__(message)


class InvocableHost(Protocol):
    """The functions host as manual invocations use it."""

    @property
    def catalog(self) -> Catalog:
        """Functions of the app and their indexing errors."""

    async def invoke(self, name: str, event: TriggerEvent) -> Returned:
        """Invoke a function by name. Raises LookupError if it is unknown, EmulatorError if it fails."""

    async def manual_event(self, function: Function, given: ManualInput) -> TriggerEvent:
        """Return the event of a manual invocation. Raises EmulatorError if the function cannot be run in this way."""

    def manual_bindings(self) -> Sequence[ManualBindings]:
        """Return the functions with bindings that azemu does not connect to their services."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualRequest:
    """What the caller sends. `given`: the event. `inputs`: values of input bindings by name, for this invocation."""

    given: ManualInput
    inputs: Mapping[str, Datum] = field(default_factory=dict)

    async def event(self, host: InvocableHost, function: Function) -> TriggerEvent:
        """Return the trigger event for a function.

        Raises NoSuchInput, and what the trigger raises.
        """
        inputs = {supplied_binding(host, function, name): value for name, value in self.inputs.items()}
        return replace(await host.manual_event(function, self.given), inputs=inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualResult:
    """How a manual invocation has ended. `value`: the return value as Python object; None: the function has none.

    `outputs`: those that were captured, in the order in which they were set.
    """

    value: Any
    outputs: Sequence[CapturedOutput]
    invocation_id: str


def supplied_binding(host: InvocableHost, function: Function, name: str) -> str:
    """Return the name, as the app spells it, of an input binding whose value callers supply. Raises NoSuchInput."""
    inputs = next((bindings.inputs for bindings in host.manual_bindings() if bindings.function is function), ())
    known = {binding.name.lower(): binding.name for binding in inputs}
    if name.lower() not in known:
        raise NoSuchInput(function.name, name, list(known.values()))
    return known[name.lower()]


def find_function(host: InvocableHost, name: str) -> Function:
    """Return a function by its name in any letter case. Raises NoSuchFunction."""
    function = host.catalog.find(name)
    if function is None:
        raise NoSuchFunction(name, host.catalog)
    return function


async def invoke_manually(
    host: InvocableHost, captured: CapturedOutputs, function: Function, request: ManualRequest, new_id: NewId
) -> ManualResult:
    """Run a function and return its result.

    Raises CannotInvoke before it is run; FunctionFailed, FunctionTimedOut and BindingFailed as `Invoker.invoke`.
    """
    try:
        event = await request.event(host, function)
    except EmulatorError as error:
        raise CannotInvoke(str(error)) from error
    # The id finds the outputs of this invocation among those of others that run at the same time.
    identifier = event.invocation_id or hyphenated(new_id())
    returned = await host.invoke(function.name, replace(event, invocation_id=identifier))
    return ManualResult(
        value=plain_value(returned.value),
        outputs=captured.of(invocation_id=identifier),
        invocation_id=identifier,
    )


def read_request(body: bytes, *, structured_input: bool = True) -> ManualRequest:
    """Read the JSON body of a manual invocation.

    Members: `input` (text), or `inputBase64` (bytes); `metadata` (an object); `inputs` (an object of values by name).
    `structured_input`: `input` may also be an object or an array, whose JSON text is the input; the Functions host
    refuses that. Raises RequestInvalid.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise RequestInvalid('The body must be a JSON object, such as {"input": "text"}.')
    data = content.get("input")
    # FunctionInvocation.Input is a string: .NET converts numbers and booleans and rejects objects and arrays.
    if isinstance(data, dict | list) and not structured_input:
        raise RequestInvalid('"input" must be a string. Write JSON as text: {"input": "{\\"id\\": 1}"}.')
    members = {name: content.get(name) or {} for name in ("metadata", "inputs")}
    for name, value in members.items():
        if not isinstance(value, dict):
            raise RequestInvalid(f'"{name}" must be a JSON object.')
    if isinstance(data, str):
        # JSON can escape half of a surrogate pair, which has no UTF-8. .NET makes it U+FFFD.
        data = data.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    given: str | bytes | None = data if isinstance(data, str | None) else json.dumps(data)
    if "inputBase64" in content:
        try:
            given = base64.b64decode(content["inputBase64"], validate=True)
        except (TypeError, ValueError):
            raise RequestInvalid('"inputBase64" must be base64 text.') from None
    return ManualRequest(
        given=ManualInput(data=given, metadata=members["metadata"]),
        inputs={name: supplied_value(value) for name, value in members["inputs"].items()},
    )
