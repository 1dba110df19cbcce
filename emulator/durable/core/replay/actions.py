"""What a Python orchestrator asks for: the SDK's action list, and the answer that carries it.

The list is cumulative. In every episode the function returns all actions since the execution began, in the same
order; only the `is_canceled` of a timer may change. `replay` finds out which of them are new. Inputs are the JSON texts
that the SDK wrote. Source: azure-functions-durable 1.7.0, models/actions/*.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emulator.durable.core.replay.retries import RetryOptions
from emulator.instant import Instant


@dataclass(frozen=True, slots=True)
class CallActivity:
    name: str
    input: str | None
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class CallSubOrchestrator:
    """`instance_id` None or blank: made from the caller's execution id and the action's number."""

    name: str
    input: str | None
    instance_id: str | None = None
    version: str | None = None
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class ContinueAsNew:
    input: str | None


@dataclass(frozen=True, slots=True)
class CreateTimer:
    fire_at: Instant
    is_canceled: bool = False


@dataclass(frozen=True, slots=True)
class WaitForExternalEvent:
    name: str


@dataclass(frozen=True, slots=True)
class CallEntity:
    """`instance_id`: the entity's, `@name@key`."""

    instance_id: str
    operation: str
    input: str | None


@dataclass(frozen=True, slots=True)
class SignalEntity:
    """`due`: when the signal is to arrive; None: at once."""

    instance_id: str
    operation: str
    input: str | None
    due: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHttp:
    """`headers`: a text, or several, per name. `token_source`: the SDK's JSON object as it is.

    `polls`: a 202 with a Location is followed (asynchronousPatternEnabled).
    """

    method: str
    uri: str
    content: str | None = None
    headers: Mapping[str, object] = field(default_factory=dict)
    token_source: Mapping[str, object] | None = None
    polls: bool = False


@dataclass(frozen=True, slots=True)
class WhenAny:
    actions: Sequence[Action]


@dataclass(frozen=True, slots=True)
class WhenAll:
    actions: Sequence[Action]


Action = (
    CallActivity
    | CallSubOrchestrator
    | ContinueAsNew
    | CreateTimer
    | WaitForExternalEvent
    | CallEntity
    | SignalEntity
    | CallHttp
    | WhenAny
    | WhenAll
)


@dataclass(frozen=True, slots=True)
class Raised:
    """The function raised. `stack`: what a parent is shown after `StackTrace: `."""

    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the function said in one episode. `output`, `custom_status`: JSON texts or None.

    `actions` None: it did not come so far as to name any (`raised` says why); then there is nothing to compare the
    history with.
    """

    actions: Sequence[Action] | None
    is_done: bool = False
    output: str | None = None
    raised: Raised | None = None
    custom_status: str | None = None
