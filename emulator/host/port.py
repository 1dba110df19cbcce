"""The extension port: how a family of triggers and bindings joins the functions host.

An extension is a function that takes the host's `ExtensionContext` (host/context.py) and returns an `Extension`:
records of functions by binding type. Binding types are in lower case in these maps; apps may spell them in any case.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from aiohttp import web

from emulator.errors import EmulatorError
from emulator.worker.port import Binding, Datum, FunctionMetadata, Returned


class InvalidFunction(EmulatorError):
    """A function is left out, and logged as `The 'F' function is in error: <message>`.

    Other errors of `validate` are logged as `Error indexing method 'Functions.F'. <message>`.
    """


class UnknownBindingType(EmulatorError):
    """No extension serves a binding type. `binding_type`: as the app spells it."""

    def __init__(self, binding_type: str) -> None:
        super().__init__(f"The binding type '{binding_type}' is not registered.")
        self.binding_type = binding_type


# The records below hold functions instead of being base classes. The functions of an extension share its state as
# closures, and a trigger that needs no check does not have to override one.


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerEvent:
    """One event that runs a function. `value`: the trigger parameter. `metadata`: `trigger_metadata` for Python.

    `binding_data`: names for binding expressions (`{name}`), case-insensitive. `reason`: for the log line
    `Executing 'Functions.F' (Reason='…')`; `details`: for the line `Trigger Details: …` after it.
    `invocation_id` None: the invoker creates one. `trace_parent`, `trace_state`: W3C trace context. `retried`: whether
    retry policies apply when the function fails.
    """

    value: Datum | None
    metadata: Mapping[str, Datum] = field(default_factory=dict)
    binding_data: Mapping[str, object] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    # The reason of every run that no trigger has caused: HTTP requests, the admin API, warm-up. The host's text.
    reason: str = "This function was programmatically called via the host APIs."
    invocation_id: str | None = None
    trace_parent: str = ""
    trace_state: str = ""
    retried: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of the catalog. `trigger`: its only trigger binding, with `%settings%` resolved.

    `disabled`: listed, but without a listener.
    """

    metadata: FunctionMetadata
    trigger: Binding
    disabled: bool = False

    @property
    def name(self) -> str:
        return self.metadata.name


@dataclass(frozen=True, slots=True)
class BindingContext:
    """What the reader or writer of one binding gets: the binding and the facts of the invocation.

    `properties`: the binding's members with `%settings%` and `{expressions}` resolved for this invocation.
    `resources`: left when the invocation has ended and its outputs are written. A reader whose value stays open while
    the function runs (a stream, an SDK client) enters it there.
    """

    function: Function
    binding: Binding
    properties: Mapping[str, object]
    invocation_id: str
    resources: AsyncExitStack


Invoke = Callable[[TriggerEvent], Awaitable[Returned]]
"""Run the function for one event. Raises FunctionFailed, FunctionTimedOut, BindingFailed (host/invoker.py)."""

Listen = Callable[[Function, Binding, Invoke], AbstractAsyncContextManager[None]]
"""Listen for one function's events and call `invoke` for each, while entered.

The host is started when all listeners are entered, so entering must not take long: a listener that needs a lock waits
for it in the background. An error of the context manager is logged, and it is entered again after a pause
(host/restarting.py); a ConfigurationError is final. Leaving it stops taking events and waits for those that are being
processed; it is cancelled if that takes longer than the host's drain time."""

Validate = Callable[[Function, Sequence[Function]], None]
"""Check the trigger of a function at indexing, beside the functions accepted before it. Raises InvalidFunction, or
another EmulatorError for a binding that cannot be created, in the words of the Functions host."""

BindingNames = Callable[[Binding], Collection[str]]
"""The names that a trigger gives to `{expressions}` of the function's other bindings, in any letter case."""

InvokeByHand = Callable[[Function, Binding, str | None], Awaitable[TriggerEvent]]
"""Return the event for `POST /admin/functions/{name}` with that input text. Raises EmulatorError if the function
cannot be run by hand."""

ReadInput = Callable[[BindingContext], Awaitable[Datum | None]]
"""Read the value of an input binding for one invocation. Raises EmulatorError, which fails the invocation."""

WriteOutput = Callable[[BindingContext, Datum], Awaitable[None]]
"""Write the value of an output binding after the function has succeeded. Raises EmulatorError, which fails it."""

ValidateBinding = Callable[[Binding], None]
"""Check an input or output binding at indexing, `%settings%` resolved. Raises EmulatorError."""


def accept_function(function: Function, others: Sequence[Function]) -> None:
    """Accept every function: a trigger whose binding cannot be wrong."""


def accept_binding(binding: Binding) -> None:
    """Accept every binding."""


async def text_event(function: Function, binding: Binding, text: str | None) -> TriggerEvent:
    """Return the event of a trigger whose value is the input text itself."""
    return TriggerEvent(value=None if text is None else Datum("string", text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger type.

    `binding_names` None: any name may come with an event (a JSON payload, an HTTP query), so that a missing one is
    found only when the function runs. Otherwise expressions with other names than these fail at indexing.
    `supports_retry`: the trigger is meant to have a retry policy; others run by theirs with a warning, as on Azure.
    `log_category`: of the log lines of the modules in the extension's folder, such as Host.Triggers.Timer.
    """

    listen: Listen
    validate: Validate = accept_function
    binding_names: BindingNames | None = None
    invoke_by_hand: InvokeByHand = text_event
    # On Azure these are timer, Event Hubs, Kafka and Cosmos DB triggers (docs/protocol/functions-host.md 7.6).
    supports_retry: bool = False
    log_category: str = "Host.General"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One type of input binding."""

    read: ReadInput
    validate: ValidateBinding = accept_binding


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One type of output binding. `write` None: the value goes back to the trigger, as an HTTP response does."""

    write: WriteOutput | None
    validate: ValidateBinding = accept_binding


@dataclass(frozen=True, slots=True)
class Webhook:
    """Routes below /runtime/webhooks/{name}. `handle` gets every method and path; keys are checked before."""

    name: str
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One family of triggers and bindings. `name`: its section of host.json.

    `run`: work beside the listeners, such as the durable engine; entered before them and left after them. Its failures
    are treated like those of `Listen`, but it is not cancelled when the host stops: it limits its own end.
    """

    name: str
    triggers: Mapping[str, Trigger] = field(default_factory=dict)
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    webhooks: Sequence[Webhook] = ()
    run: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


def refuse(binding: Binding) -> NoReturn:
    """Raise UnknownBindingType: functions with such a binding are in error."""
    raise UnknownBindingType(binding.type)


# A record for each direction, like an extension, because a fallback may know some types as a trigger only.
@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What the host does with binding types that no extension serves. Each function may raise UnknownBindingType."""

    trigger: Callable[[Binding], Trigger] = refuse
    input: Callable[[Binding], Input] = refuse
    output: Callable[[Binding], Output] = refuse


# A protocol, because an app without storage has no blobs to lease: host/local_locks.py then implements it.
class HostLocks(Protocol):
    """Locks that let one host at a time do something, among all hosts of an app (same host id).

    On Azure they are blob leases in the container azure-webjobs-hosts: docs/protocol/functions-host.md 9.2.
    """

    def listener(self, function_name: str) -> AbstractAsyncContextManager[None]:
        """Wait for the listener lock of a function; hold it while entered."""

    def singleton(self, scope: str) -> AbstractAsyncContextManager[None]:
        """Wait for the lock of that scope; hold it while entered."""

    @property
    def is_primary(self) -> bool:
        """Whether this host is the primary host at the moment. Kept up to date while `running` is entered."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Try to become and to remain the primary host while entered."""
