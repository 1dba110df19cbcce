"""The extension port: the interface through which an extension adds triggers and bindings to the functions host.

An extension is a function that takes the host's `ExtensionContext` (host/context.py) and returns an `Extension`:
records of functions by binding type. Binding types are in lower case in these maps; apps may spell them in any case.

The host calls all of these functions on its own event loop, so they must not block: user code and slow calls belong on
other threads, inside `clock.busy()`. Those that are not async are called once, at indexing, and make no requests.

What else a trigger is written with: `emulator.polling` (work loop, back-off, lock renewal and outage reports of a
listener that polls a queue), `host.expressions.Template.match` (captures in a blob path), `ExtensionContext.locks`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from aiohttp import web

from emulator.errors import EmulatorError
from emulator.host.expressions import BindingData, Template
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

    `binding_data`: names for binding expressions (`{name}`), case-insensitive. If `value` is a text (Datum "string")
    with a JSON object, the invoker adds its members to `binding_data` and `metadata`; a listener does not parse it.
    `reason`: for the log line `Executing 'Functions.F' (Reason='…')`; `details`: for the line `Trigger Details: …`
    after it, in this order. `invocation_id` None: the invoker creates one. `trace_parent`, `trace_state`: W3C trace
    context. `retried`: whether retry policies apply when the function fails. `inputs`: values that the caller supplies
    for input bindings, by binding name; only bindings that azemu cannot read use them. `unusable`: why the trigger
    parameter cannot have its value; every attempt fails with it, before the function is called. `instance_id`: the
    orchestration or entity that runs the function.
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
    inputs: Mapping[str, Datum] = field(default_factory=dict)
    unusable: EmulatorError | None = None
    instance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualInput:
    """What the caller of a manual invocation sends. `data`: the event; None: none was sent.

    `metadata`: members of `trigger_metadata` that the caller chooses, as JSON values, such as `{"DeliveryCount": 3}`.
    """

    data: str | bytes | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str | None:
        """The data as text; bytes are read as UTF-8, wrong ones replaced by U+FFFD."""
        return self.data.decode("utf-8", "replace") if isinstance(self.data, bytes) else self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of the catalog. `trigger`: its only trigger binding, with `%settings%` resolved.

    `{expressions}` in `trigger` are not: in a blob path they are captures. `disabled`: listed and validated, but
    without a listener.
    """

    metadata: FunctionMetadata
    trigger: Binding
    disabled: bool = False

    @property
    def name(self) -> str:
        return self.metadata.name


@dataclass(frozen=True, slots=True)
class ManualBindings:
    """The bindings of a function that azemu does not connect to their services.

    `is_manual`: nothing listens to its trigger. `inputs`: the caller supplies their values. `outputs`: their values are
    captured.
    """

    function: Function
    is_manual: bool
    inputs: Sequence[Binding]
    outputs: Sequence[Binding]


@dataclass(frozen=True, slots=True)
class BindingContext:
    """What the reader or writer of one binding gets: the binding and the facts of the invocation.

    `properties`: the binding's members with `%settings%` and `{expressions}` resolved for this invocation.
    `resources`: left when the invocation has ended and its outputs are written, or when it has failed. A reader whose
    value stays open while the function runs (a stream, an SDK client) enters it there; leaving it must not raise.
    `supplied`: the value that the caller of this invocation supplies for the binding; None: it supplies none.
    """

    function: Function
    binding: Binding
    properties: Mapping[str, object]
    invocation_id: str
    resources: AsyncExitStack
    supplied: Datum | None = None


Invoke = Callable[[TriggerEvent], Awaitable[Returned]]
"""Run the function for one event, including its retries; return when it has ended and its outputs are written.

May be called concurrently; a listener limits how many of its events are processed at once. Raises FunctionFailed,
FunctionTimedOut or BindingFailed (host/invoker.py) of the last attempt. The invoker has logged those, so a listener
logs only what it does next, such as moving a message to the poison queue. Any other exception is a defect of the host
or of an extension, and is not logged yet.

Cancelling stops the wait for a retry, and drops the result and the outputs of a run; user code cannot be stopped and
runs to its end. Nothing is logged then. A listener treats its event as not processed."""

Listen = Callable[[Function, Binding, Invoke], AbstractAsyncContextManager[None]]
"""Listen for one function's events and call `invoke` for each, while entered. The binding is the function's trigger.

Entering and leaving happen in one task. The host is started when all listeners are entered, so entering must not take
long: a listener that needs a lock waits for it in the background. An exception, also one that the body gets from a
background task (`emulator.background`), is logged by the host, and the listener is entered again after a pause of 2 to
120 seconds (host/restarting.py); a ConfigurationError is final. So a listener handles what it expects, such as a
storage outage while polling, and lets everything else out without logging it.

Leaving it (the host stops, or drains at the request of the admin API) stops taking events and waits for those that are
being processed, without a time limit of its own. When the host stops, a listener is cancelled if it needs longer than
the drain time; it then cleans up with a few requests at most, and does not wait for functions."""

Validate = Callable[[Function, Sequence[Function]], None]
"""Check the trigger of a function at indexing, beside the functions accepted before it. Raises InvalidFunction, or
another EmulatorError for a binding that cannot be created, in the words of the Functions host."""

BindingNames = Callable[[Binding], Collection[str]]
"""The names that a trigger gives to `{expressions}` of the function's other bindings, in any letter case. Built-in
names such as `rand-guid` are always known."""

ManualEvent = Callable[[Function, Binding, ManualInput], Awaitable[TriggerEvent]]
"""Return the event of a manual invocation (`POST /admin/functions/{name}`, `azemu invoke`, `app.invoke` in tests). The
binding is the function's trigger. Raises EmulatorError if the function cannot be run in this way; the host logs it."""

ReadInput = Callable[[BindingContext], Awaitable[Datum | None]]
"""Read the value of an input binding for one invocation. None: the parameter is None.

Called before every attempt, at the same time as the other inputs; functionTimeout does not apply. Raises EmulatorError,
which fails the invocation and is logged with it."""

WriteOutput = Callable[[BindingContext, Datum], Awaitable[None]]
"""Write the value of an output binding after the function has succeeded; not called for an output that is not set.

Called at the same time as the other outputs, those of the type `queue` after all others. Raises EmulatorError, which
fails the invocation and is logged with it. The outputs that are written at the same time are written all the same, and
a retry writes all of them again."""

RenderMember = Callable[[Template, BindingData], str]
"""Return a member of a binding for one invocation, from its parsed expressions. Raises ExpressionError."""

ValidateBinding = Callable[[Function, Binding], None]
"""Check an input or output binding of a function at indexing, `%settings%` resolved. Raises EmulatorError."""


def accept_function(function: Function, others: Sequence[Function]) -> None:
    """Accept every function: a trigger whose binding cannot be wrong."""


def accept_binding(function: Function, binding: Binding) -> None:
    """Accept every binding."""


async def text_event(function: Function, binding: Binding, given: ManualInput) -> TriggerEvent:
    """Return the event of a trigger whose value is the input text itself."""
    return TriggerEvent(value=None if given.text is None else Datum("string", given.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger type.

    `binding_names` None: any name may come with an event (a JSON payload, an HTTP query), so that a missing one is
    found only when the function runs. Otherwise expressions with other names than these fail at indexing.
    `supports_retry`: the trigger is meant to have a retry policy; others run by theirs with a warning, as on Azure.
    `log_category`: of the log lines of all modules in the folder of `listen`, such as Host.Triggers.Timer.
    `is_manual`: no events arrive by themselves, so the start tells users how to run the function.
    `gives_sdk_types`: the value of a parameter of an SDK type is a Datum "model_binding_data".
    `required_members`: of the binding; the message about a function in error names those that are missing.
    """

    listen: Listen
    validate: Validate = accept_function
    binding_names: BindingNames | None = None
    manual_event: ManualEvent = text_event
    # On Azure these are timer, Event Hubs, Kafka and Cosmos DB triggers (docs/protocol/functions-host.md 7.6).
    supports_retry: bool = False
    log_category: str = "Host.General"
    is_manual: bool = False
    gives_sdk_types: bool = False
    required_members: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One type of input binding. `is_supplied`: its value comes from the caller of an invocation.

    `renderers`: by the lower-case name of members whose expressions need more than their values put in, such as quoting
    in a query. `gives_sdk_types` and `required_members`: see `Trigger`.
    """

    read: ReadInput
    validate: ValidateBinding = accept_binding
    is_supplied: bool = False
    renderers: Mapping[str, RenderMember] = field(default_factory=dict)
    gives_sdk_types: bool = False
    required_members: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One type of output binding. `write` None: the value goes back to the trigger, as an HTTP response does.

    `is_captured`: values are kept for tests and the admin API instead of being sent to the service. `required_members`:
    see `Trigger`.
    """

    write: WriteOutput | None
    validate: ValidateBinding = accept_binding
    is_captured: bool = False
    required_members: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Routes below /runtime/webhooks/{name}. `handle` gets every method and path; keys are checked before.

    Requests wait until HTTP listeners have started. A webhook that runs functions of other triggers gets their `invoke`
    from its own listeners, and waits for those with `ExtensionContext.wait_until_running`.
    `public`: see `host.http.routing.routes.Route`.
    """

    name: str
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]]
    public: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One family of triggers and bindings. `name`: its section of host.json.

    `run`: work beside the listeners, such as the durable engine or a scanner that several functions share; entered when
    the functions are loaded, before their listeners, and left after them. Its failures are treated like those of
    `Listen`, but it is not cancelled when the host stops: it limits its own end. `services`: what runs in it at the
    moment, for tools that know its class; None: nothing.
    """

    name: str
    triggers: Mapping[str, Trigger] = field(default_factory=dict)
    inputs: Mapping[str, Input] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)
    webhooks: Sequence[Webhook] = ()
    run: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    services: Callable[[], object | None] = lambda: None


def refuse(binding: Binding) -> NoReturn:
    """Raise UnknownBindingType: functions with such a binding are in error."""
    raise UnknownBindingType(binding.type)


# A record for each direction, like an extension, because a fallback may support some types as a trigger only.
@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What the host does with binding types that no extension serves. Each function may raise UnknownBindingType."""

    trigger: Callable[[Binding], Trigger] = refuse
    input: Callable[[Binding], Input] = refuse
    output: Callable[[Binding], Output] = refuse


# A protocol, because an app without storage has no blobs to lease: host/local_locks.py then implements it.
class HostLocks(Protocol):
    """Locks that one host at a time can hold, among all hosts of an app (same host id).

    On Azure they are blob leases in the container azure-webjobs-hosts: docs/protocol/functions-host.md 9.2.
    `listener` and `singleton` wait as long as another host has the lock, so they are entered in the background of a
    listener. While entered they renew the lock. If it is lost, the body is cancelled and HostLockLost (host/locks.py)
    is raised; a listener lets it out and is restarted. They raise StorageError and StorageUnreachable.
    `on_wait`: called once if another host has the lock, so that a listener need not keep the host from starting.
    """

    def listener(
        self, function_name: str, *, on_wait: Callable[[], None] | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Wait for the listener lock of a function; hold it while entered."""

    def singleton(self, scope: str, *, on_wait: Callable[[], None] | None = None) -> AbstractAsyncContextManager[None]:
        """Wait for the lock of that scope; hold it while entered."""

    @property
    def is_primary(self) -> bool:
        """Whether this host is the primary host at the moment. Kept up to date while `running` is entered."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Try to become and to remain the primary host while entered; errors are logged and the attempt is repeated.

        The host does not enter it: an extension that needs `is_primary` does, in its `run`.
        """
