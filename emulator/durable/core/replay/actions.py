"""Actions of a Python orchestrator, and the response of the SDK that contains them.

The list of actions is cumulative: in every episode the function returns all actions since the execution began, in the
same order; only the `is_canceled` of a timer may change. `replay` finds out which of them are new. Inputs are the JSON
texts that the SDK wrote.
Source: azure-functions-durable 1.7.0, models/actions/*.py; docs/protocol/durable-orchestration.md 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from emulator.durable.core.replay.retries import RetryOptions
from emulator.instant import Instant


@dataclass(frozen=True, slots=True)
class CallActivity:
    """Call of an activity. `retry`: None means one attempt."""

    name: str
    input: str | None
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class CallSubOrchestrator:
    """Call of a sub-orchestrator. `instance_id`: if None or blank, the host derives it from the caller's execution id.

    `version`: None means the host's default version.
    """

    name: str
    input: str | None
    instance_id: str | None = None
    version: str | None = None
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class ContinueAsNew:
    """Request to end this execution and begin the next one with `input`."""

    input: str | None


@dataclass(frozen=True, slots=True)
class CreateTimer:
    """Durable timer. `is_canceled`: whether the function has cancelled it, in this or an earlier episode."""

    fire_at: Instant
    is_canceled: bool = False


@dataclass(frozen=True, slots=True)
class WaitForExternalEvent:
    """Wait for the next external event of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class CallEntity:
    """Call of an entity's operation that waits for the result. `instance_id`: the entity's, `@name@key`."""

    instance_id: str
    operation: str
    input: str | None


@dataclass(frozen=True, slots=True)
class SignalEntity:
    """Call of an entity's operation without a result. `due`: time of delivery; None means at once."""

    instance_id: str
    operation: str
    input: str | None
    due: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHttp:
    """HTTP request that the host makes. `headers`: one text or a list of texts per name.

    `token_source`: the SDK's JSON object, unchanged. `polls`: whether the host follows a 202 with a Location
    (asynchronousPatternEnabled); SDK 1.7.0 never asks for it.
    """

    method: str
    uri: str
    content: str | None = None
    headers: Mapping[str, object] = field(default_factory=dict)
    token_source: Mapping[str, object] | None = None
    polls: bool = False


@dataclass(frozen=True, slots=True)
class WhenAny:
    """Wait for the first of several actions (`task_any`)."""

    actions: Sequence[Action]


@dataclass(frozen=True, slots=True)
class WhenAll:
    """Wait for all of several actions (`task_all`)."""

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
    """Exception of the function. `stack`: the text after `StackTrace: ` in the failure that a parent receives."""

    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorResponse:
    """Response of an orchestrator function in one episode. `output`, `custom_status`: JSON texts or None.

    `actions`: None if the function could not be run or its response could not be read; `raised` then has the reason,
    and the history is not compared with anything.
    """

    actions: Sequence[Action] | None
    is_done: bool = False
    output: str | None = None
    raised: Raised | None = None
    custom_status: str | None = None
