"""The extension port: how a family of triggers and bindings joins the host.

A trigger is a function that returns an async context manager; while it is entered, it calls `invoke` for every event.
Everything that runs a function goes through the same `Invoke`, which is the Invoker's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from aiohttp import web

from emulator.worker.port import Binding, Datum, FunctionMetadata, Returned


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerEvent:
    """What makes a function run. `value`: the trigger parameter. `metadata`: `trigger_metadata` for Python.

    `binding_data`: names for binding expressions (`{name}`), case-insensitive. `reason`: for the log line
    `Executing 'Functions.F' (Reason='…')`; `details`: for the line `Trigger Details: …` after it.
    `invocation_id` None: the invoker makes one. `trace_parent`, `trace_state`: W3C trace context. `retried`: retry
    policies apply when it fails.
    """

    value: Datum | None
    metadata: Mapping[str, Datum] = field(default_factory=dict)
    binding_data: Mapping[str, object] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    reason: str = "This function was programmatically called via the host APIs."
    invocation_id: str | None = None
    trace_parent: str = ""
    trace_state: str = ""
    retried: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function of the catalog. `trigger`: its only trigger binding. `disabled`: listed but not listened for."""

    metadata: FunctionMetadata
    trigger: Binding
    disabled: bool = False

    @property
    def name(self) -> str:
        return self.metadata.name


class BindingContext:
    """What a reader or writer of one binding may use: the resolved properties and the invocation's facts.

    `properties`: the binding's members with `%settings%` and `{expressions}` resolved for this invocation.
    """

    __slots__ = ("binding", "function", "invocation_id", "properties")

    def __init__(
        self, function: Function, binding: Binding, properties: Mapping[str, object], invocation_id: str
    ) -> None:
        self.function = function
        self.binding = binding
        self.properties = properties
        self.invocation_id = invocation_id


Invoke = Callable[[TriggerEvent], Awaitable[Returned]]
"""Run the function for one event. Raises FunctionFailed, FunctionTimedOut, BindingFailed (host/invoker.py)."""

Listen = Callable[[Function, Binding, Invoke], AbstractAsyncContextManager[None]]
EventByHand = Callable[[Function, Binding, str | None], Awaitable[TriggerEvent]]
"""The event for `POST /admin/functions/{name}` with that input text. Raises EmulatorError if there can be none."""
ReadInput = Callable[[BindingContext], Awaitable[Datum | None]]
WriteOutput = Callable[[BindingContext, Datum], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Routes below /runtime/webhooks/{name}. `handle` gets every method and path; keys are checked before."""

    name: str
    handle: Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One family. `name`: its section in host.json. Keys of the maps are binding types in lower case.

    `by_hand`: by trigger type, where the text alone would not do as the trigger's value.
    `run`: what lives beside the listeners (the durable engine); entered before them, left after them.
    """

    name: str
    triggers: Mapping[str, Listen] = field(default_factory=dict)
    inputs: Mapping[str, ReadInput] = field(default_factory=dict)
    outputs: Mapping[str, WriteOutput] = field(default_factory=dict)
    by_hand: Mapping[str, EventByHand] = field(default_factory=dict)
    webhooks: Sequence[Webhook] = ()
    run: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
