"""JSON of orchestrator functions: the trigger's value with the history, and the response with the actions.

Source: durable-extension, OrchestrationTriggerAttributeBindingProvider.cs and OutOfProcOrchestrationShim.cs;
azure-functions-durable 1.7.0, models/OrchestratorState.py.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from typing import Any

from emulator import bound_json as json
from emulator.dotnet.json_reader import read_first
from emulator.dotnet.json_writer import json_text, newtonsoft_text
from emulator.durable.core.events import ExecutionStarted, HistoryEvent
from emulator.durable.core.replay.actions import (
    Action,
    CallActivity,
    CallEntity,
    CallHttp,
    CallSubOrchestrator,
    ContinueAsNew,
    CreateTimer,
    OrchestratorResponse,
    Raised,
    SignalEntity,
    WaitForExternalEvent,
    WhenAll,
    WhenAny,
)
from emulator.durable.core.replay.retries import LONGEST_INTERVAL, RetryOptions
from emulator.durable.core.state import SOURCE_INSTANCE_ID
from emulator.durable.executor import OrchestratorRequest
from emulator.extensions.durable.protocol.history import boolean_text, event_pieces, indented_text, string_text
from emulator.instant import Instant
from emulator.worker.large_text import LARGE_CHARACTERS
from emulator.worker.port import FunctionFailed

_STATE_LABEL = "\n\n$OutOfProcData$:"
_STATUS_LIMIT_KB = 16
_MILLISECOND = timedelta(milliseconds=1)

# Raised when members are missing or of another type, when a number is too large for a duration, or when the JSON is
# nested too deeply.
_WRONG_SHAPE = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


class UnreadableResponse(Exception):
    """The function's return value is not a response. The text becomes the orchestration's error."""


# The context ---------------------------------------------------------------------------------------------------


def context_text(request: OrchestratorRequest, *, http_poll_interval: timedelta) -> str:
    """Return the trigger's value, byte for byte as the extension writes it.

    Raises JsonReaderError if the input is not JSON, even by Newtonsoft's rules.
    """
    return "".join(context_pieces(request, http_poll_interval=http_poll_interval))


def context_pieces(
    request: OrchestratorRequest, *, http_poll_interval: timedelta, once_from: int | None = None
) -> list[str]:
    """Return the pieces of `context_text`, so that a large payload is not copied at each step.

    `once_from`: an input of at least so many characters is left out of the history, and is only the member `input`.
    """
    started = request.started
    parent = None if started.parent is None else started.parent.instance.instance_id
    members = {
        "input": _input_text(started.input),
        "instanceId": string_text(started.instance.instance_id),
        "isReplaying": boolean_text(started.is_played),
        "parentInstanceId": string_text(parent),
        "sourceInstanceId": string_text((started.tags or {}).get(SOURCE_INSTANCE_ID)),
        # The highest schema of the response. Older releases of the SDK know only the first of these members.
        "upperSchemaVersion": "1",
        "upperSchemaVersionNew": "3",
        "longRunningTimerIntervalDuration": '"3.00:00:00"',
        "maximumShortTimerDuration": '"6.00:00:00"',
        # The missing letter is the extension's.
        "defaultHttpAsyncRequestSleepTimeMillseconds": str(http_poll_interval // _MILLISECOND),
    }
    pieces = ['{\n  "history": [\n']
    for number, event in enumerate(chain(request.past, request.new)):
        if number:
            pieces.append(",\n")
        pieces += event_pieces(_without_input(event, once_from))
    pieces.append("\n  ]")
    for name, member in members.items():
        pieces += (f',\n  "{name}": ', member)
    pieces.append("\n}")
    return pieces


def _input_text(text: str | None) -> str:
    if text is None:
        return "null"
    try:
        # Much faster than the other reader, and nearly all inputs are strict JSON. A start over HTTP stores the body as
        # it was posted, so it may contain what only Newtonsoft reads.
        value = json.loads(text)
    except (ValueError, RecursionError):
        return indented_text(read_first(text), "  ")
    # A large JSON string that would be written again in the same way is used as it is.
    if (
        isinstance(value, str)
        and len(text) >= LARGE_CHARACTERS
        and text[0] == text[-1] == '"'
        # These are the escapes that the writer does not use.
        and "\\u" not in text
        and "\\/" not in text
    ):
        return text
    return indented_text(value, "  ")


def _without_input(event: HistoryEvent, longest: int | None) -> HistoryEvent:
    if longest is None or not isinstance(event, ExecutionStarted) or len(event.input or "") < longest:
        return event
    return replace(event, input=None)


# The response --------------------------------------------------------------------------------------------------


def response_of(returned: str | None) -> OrchestratorResponse:
    """Read what the function returned."""
    state = None if returned is None else _loaded(returned)
    # An orchestrator that is written without the SDK may return nothing; it has completed then.
    if state is None:
        return OrchestratorResponse(actions=(), is_done=True)
    return _response(state, stack="")


def response_in_failure(failure: FunctionFailed) -> OrchestratorResponse:
    """Read the response in the exception that the function raised."""
    # The SDK appends the state, with the actions so far, to the message of the user's exception.
    _, label, state = failure.text.partition(_STATE_LABEL)
    if label:
        # The SDK raises its own exception from the user's, whose stack is the one to show.
        original = failure.cause.__cause__ if failure.cause is not None else None
        stack = failure.stack if original is None else "".join(traceback.format_tb(original.__traceback__))
        return _response(_loaded(state), stack=stack)
    return cannot_run(f"One or more errors occurred. ({failure})", failure.stack)


def cannot_run(message: str, stack: str = "") -> OrchestratorResponse:
    """Return the response for a function that could not be called, or whose response cannot be used."""
    return OrchestratorResponse(actions=None, raised=Raised(message, stack))


def _response(state: object, stack: str) -> OrchestratorResponse:
    if not isinstance(state, dict):
        return cannot_run("Out of proc orchestrators must return a valid JSON schema")
    try:
        error = state.get("error")
        return OrchestratorResponse(
            actions=_actions(state),
            is_done=bool(state.get("isDone")),
            output=_json_or_none(state.get("output")),
            raised=Raised(str(error), stack) if error else None,
            custom_status=_custom_status(state.get("customStatus")),
        )
    except UnreadableResponse as unreadable:
        return cannot_run(str(unreadable))
    except _WRONG_SHAPE as error:
        return cannot_run(f"The response of the out-of-proc orchestrator cannot be read ({error!r}).")


def _loaded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # A plain string is refused with the same message as other JSON that is no response.
        return text


def _json_or_none(value: object) -> str | None:
    return None if value is None else newtonsoft_text(value, keep_surrogates=True)


def _custom_status(value: object) -> str | None:
    text = _json_or_none(value)
    # .NET measures the text as it keeps it in memory, two bytes per character.
    size = len(text.encode("utf-16-le")) / 1024 if text else 0
    if size > _STATUS_LIMIT_KB:
        raise UnreadableResponse(
            f"The UTF-16 size of the JSON-serialized payload must not exceed {_STATUS_LIMIT_KB} KB. "
            f"The current payload size is {int(size)} KB."
        )
    return text


# The actions ---------------------------------------------------------------------------------------------------


def _actions(state: Mapping[str, Any]) -> Sequence[Action]:
    lists = state.get("actions") or []
    if not state.get("schemaVersion"):
        # The first schema has one list per yield and no compound actions: the host continues when any action of a list
        # has completed.
        return [WhenAny([_action(action) for action in actions]) for actions in lists if actions]
    if len(lists) != 1:
        raise UnreadableResponse(
            f"With OOProc schema V{state['schemaVersion'] + 1}, expected actions array to be of length 1 in outer "
            f"layer but got size: {len(lists)}"
        )
    return [_action(action) for action in lists[0]]


def _action(members: Mapping[str, Any]) -> Action:
    kind = members.get("actionType")
    read = _READERS.get(kind) if isinstance(kind, int) else None
    if read is None:
        raise UnreadableResponse(f"Received an unexpected action type from the out-of-proc function: '{kind}'.")
    try:
        return read(members)
    except _WRONG_SHAPE as error:
        raise UnreadableResponse(f"The action {json_text(members)} cannot be read ({error!r}).") from error


def _call_activity(members: Mapping[str, Any]) -> Action:
    return CallActivity(members["functionName"], members.get("input"), _retry(members))


def _call_sub_orchestrator(members: Mapping[str, Any]) -> Action:
    return CallSubOrchestrator(
        members["functionName"],
        members.get("input"),
        members.get("instanceId"),
        members.get("version"),
        _retry(members),
    )


def _retry(members: Mapping[str, Any]) -> RetryOptions | None:
    options = members.get("retryOptions")
    if options is None:
        return None
    longest, timeout = options.get("maxRetryIntervalInMilliseconds"), options.get("retryTimeoutInMilliseconds")
    return RetryOptions(
        first_interval=options["firstRetryIntervalInMilliseconds"] * _MILLISECOND,
        max_attempts=int(options["maxNumberOfAttempts"]),
        backoff_coefficient=options.get("backoffCoefficient") or 1.0,
        # 0 and null mean "no limit" here.
        max_interval=longest * _MILLISECOND if longest else LONGEST_INTERVAL,
        timeout=timeout * _MILLISECOND if timeout else None,
    )


def _signal_entity(members: Mapping[str, Any]) -> Action:
    due = members.get("fireAt")
    return SignalEntity(
        members["instanceId"], members["operation"], members.get("input"), Instant.parse(due) if due else None
    )


def _call_http(members: Mapping[str, Any]) -> Action:
    request = members["httpRequest"]
    return CallHttp(
        method=request["method"],
        uri=request["uri"],
        content=request.get("content"),
        headers=request.get("headers") or {},
        token_source=request.get("tokenSource"),
        polls=bool(request.get("asynchronousPatternEnabled")),
    )


def _compound(members: Mapping[str, Any]) -> Sequence[Action]:
    return [_action(action) for action in members["compoundActions"]]


# By the SDK's ActionType. Every second one of the first four is the call with a retry policy.
_READERS: Mapping[int, Callable[[Mapping[str, Any]], Action]] = {
    0: _call_activity,
    1: _call_activity,
    2: _call_sub_orchestrator,
    3: _call_sub_orchestrator,
    4: lambda members: ContinueAsNew(members.get("input")),
    5: lambda members: CreateTimer(Instant.parse(members["fireAt"]), bool(members.get("isCanceled"))),
    6: lambda members: WaitForExternalEvent(members["externalEventName"]),
    7: lambda members: CallEntity(members["instanceId"], members["operation"], members.get("input")),
    8: _call_http,
    9: _signal_entity,
    10: _signal_entity,
    11: lambda members: WhenAny(_compound(members)),
    12: lambda members: WhenAll(_compound(members)),
}
