"""The fallback for binding types of no other extension: Service Bus, Event Hubs, Cosmos DB and custom extensions.

Nothing listens to such a trigger; its function runs when it is invoked manually. Such an input has the value that the
caller supplies. Such an output is captured (host/captured_outputs.py) instead of being sent.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, Final

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.extensions.unsupported.event_source import EventSource
from emulator.extensions.unsupported.events import event_for
from emulator.extensions.unsupported.known_types import similar_type
from emulator.host.captured_outputs import CapturedOutput
from emulator.host.console.categories import function_category
from emulator.host.context import ExtensionContext
from emulator.host.port import BindingContext, Fallback, Function, Input, ManualInput, Output, Trigger, TriggerEvent
from emulator.logs import get_logger
from emulator.worker.port import Binding, Datum

# In lower case. docs/protocol/functions-host.md 7.6: on Azure, other triggers run by a policy with a warning.
_WITH_RETRIES: Final = frozenset(("eventhubtrigger", "kafkatrigger", "cosmosdbtrigger"))
_log = get_logger(__name__)

_MAX_LOGGED_CHARACTERS: Final = 200


class InputNotSupplied(EmulatorError):
    """An input binding of a service that azemu does not read has no value."""

    def __init__(self, function: str, binding: Binding) -> None:
        super().__init__(
            f"azemu does not read {binding.type} inputs, and no value is supplied for '{binding.name}' of function "
            f"'{function}'. Supply one with `azemu invoke {function} … --input {binding.name}=VALUE`, with "
            f"PUT /admin/azemu/functions/{function}/inputs/{binding.name}, or in tests with "
            f'app.supply("{function}", "{binding.name}", value).'
        )


def unsupported_bindings(context: ExtensionContext) -> Fallback:
    """Return the fallback of a host. Its outputs go to `context.captured_outputs`."""

    async def manual_event(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
        return event_for(EventSource(function, binding, given, context))

    async def read(binding: BindingContext) -> Datum:
        function, name = binding.function.name, binding.binding.name
        value = binding.supplied or context.supplied_inputs.get(function, name)
        if value is None:
            raise InputNotSupplied(function, binding.binding)
        return value

    async def capture(binding: BindingContext, datum: Datum) -> None:
        output = CapturedOutput.of(binding, datum, captured_at=context.clock.now())
        context.captured_outputs.add(output)
        function_category(output.function).info(
            "Output '%s' (%s) is captured, not sent: %s",
            output.binding,
            output.type,
            shortened(output.value),
            extra={"function": output.function, "invocation_id": output.invocation_id},
        )

    def warn_of_typo(function: Function, binding: Binding) -> None:
        similar = similar_type(binding.type)
        if similar is not None:
            _log.warning(
                "The binding '%s' of function '%s' has the type '%s', which no extension of Microsoft has. Did you "
                "mean '%s'?",
                binding.name,
                function.name,
                binding.type,
                similar,
            )

    def trigger(binding: Binding) -> Trigger:
        return Trigger(
            listen=lambda function, binding, invoke: nullcontext(),
            validate=lambda function, others: warn_of_typo(function, function.trigger),
            manual_event=manual_event,
            supports_retry=binding.type.lower() in _WITH_RETRIES,
            is_manual=True,
        )

    return Fallback(
        trigger=trigger,
        input=lambda binding: Input(read=read, validate=warn_of_typo, is_supplied=True),
        output=lambda binding: Output(write=capture, validate=warn_of_typo, is_captured=True),
    )


def shortened(value: Any) -> str:
    """Return a value as one line of at most 200 characters: text and JSON as they are, bytes as their number."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    if len(line) <= _MAX_LOGGED_CHARACTERS:
        return line
    return f"{line[:_MAX_LOGGED_CHARACTERS]}… ({len(text)} characters)"
