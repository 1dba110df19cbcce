"""JSON between the host and Python functions, for cases that are not in the recordings."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from emulator.durable.core.identity import EntityId
from emulator.durable.core.replay.actions import (
    CallActivity,
    CallHttp,
    CallSubOrchestrator,
    CreateTimer,
    OrchestratorResponse,
    Raised,
    SignalEntity,
    WhenAny,
)
from emulator.durable.core.replay.retries import RetryOptions
from emulator.durable.executor import EntityBatch, EntityOperation, OrchestratorRequest
from emulator.extensions.durable.protocol import activities, entities, orchestrators
from emulator.worker.port import Datum, FunctionFailed
from tests.durable.core.episodes import BEGIN, started

# Nested too deeply for Python's parser.
DEEP = "[" * 100_000 + "]" * 100_000

# Activities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("input_text", "value"),
    [
        ('["\\"Tokyo\\""]', '"Tokyo"'),
        ('["{\\"n\\": 2}"]', '{"n": 2}'),
        ('["null"]', "null"),
        # What orchestrators in other languages send:
        ('["Tokyo"]', "Tokyo"),
        ('[{"n":2}]', '{"n":2}'),
        ("[5]", "5"),
        ("[true]", "True"),
        ("[null]", "null"),
        (None, "null"),
    ],
)
def test_trigger_values(input_text: str | None, value: str) -> None:
    assert activities.trigger_value(input_text) == value


@pytest.mark.parametrize("input_text", ["[]", "[1,2]", "{}", "5", "not json"])
def test_activity_input_without_exactly_one_element_is_refused(input_text: str) -> None:
    with pytest.raises(activities.UnreadableInput, match="must be a JSON array of one element"):
        activities.trigger_value(input_text)


@pytest.mark.parametrize(
    ("returned", "result"),
    [
        (None, None),
        (Datum("json", "null"), None),
        (Datum("json", '{"a": [1, 2.5, "é"]}'), '{"a":[1,2.5,"é"]}'),
        (Datum("json", '"text"'), '"text"'),
        (Datum("string", "text"), '"text"'),
        (Datum("json", DEEP), f'"{DEEP}"'),
    ],
)
def test_activity_results(returned: Datum | None, result: str | None) -> None:
    assert activities.result_of(returned) == result


def test_failure_details_are_one_line_of_json_with_the_traceback() -> None:
    """User code parses the second line of the exception's text."""
    failure = FunctionFailed(type_name="ValueError", text="boom", stack='  File "a.py", line 7, in x\n')
    failed = activities.failure_of("X", failure)
    assert failed.reason == "Activity function 'X' failed: ValueError: boom"
    seen_by_python = f"{failed.reason} \n {failed.details}"
    details = json.loads(seen_by_python.split("\n")[1])
    assert details["Message"] == "ValueError: boom"
    assert details["InnerException"]["RemoteStackTrace"] == '  File "a.py", line 7, in x\n'


# Answers of orchestrators --------------------------------------------------------------------------------------


def answer(*actions: dict[str, Any], **more: Any) -> OrchestratorResponse:
    state = {"isDone": False, "schemaVersion": 2, "actions": [list(actions)], **more}
    return orchestrators.response_of(json.dumps(state))


def test_retry_options() -> None:
    options = {
        "firstRetryIntervalInMilliseconds": 1500,
        "maxNumberOfAttempts": 4,
        "backoffCoefficient": 2.0,
        "maxRetryIntervalInMilliseconds": 60_000,
        "retryTimeoutInMilliseconds": 3_600_000,
    }
    action = {"functionName": "F", "input": "1", "retryOptions": options}
    retry = RetryOptions(
        first_interval=timedelta(seconds=1.5),
        max_attempts=4,
        backoff_coefficient=2.0,
        max_interval=timedelta(minutes=1),
        timeout=timedelta(hours=1),
    )
    assert answer({"actionType": 1, **action}, {"actionType": 3, **action, "instanceId": "c"}).actions == [
        CallActivity("F", "1", retry),
        CallSubOrchestrator("F", "1", "c", None, retry),
    ]


def test_timers_signals_and_requests() -> None:
    due = "2026-03-01T09:00:00.000000Z"
    found = answer(
        {"actionType": 5, "fireAt": due, "isCanceled": True},
        {"actionType": 10, "instanceId": "@e@k", "operation": "ping", "input": "1", "fireAt": due},
        {"actionType": 8, "httpRequest": {"method": "GET", "uri": "u", "content": None, "headers": None}},
    )
    assert found.actions == [
        CreateTimer(BEGIN, is_canceled=True),
        SignalEntity("@e@k", "ping", "1", BEGIN),
        CallHttp(method="GET", uri="u"),
    ]


def test_the_first_schema_waits_for_any_of_each_list() -> None:
    call = {"actionType": 0, "functionName": "F", "input": "1"}
    state = {"isDone": False, "actions": [[call, call], [], [call]]}
    one = CallActivity("F", "1")
    assert orchestrators.response_of(json.dumps(state)).actions == [WhenAny([one, one]), WhenAny([one])]


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ("[]", "Out of proc orchestrators must return a valid JSON schema"),
        ("text", "Out of proc orchestrators must return a valid JSON schema"),
        (
            '{"isDone":false,"schemaVersion":2,"actions":[[],[]]}',
            "With OOProc schema V3, expected actions array to be of length 1 in outer layer but got size: 2",
        ),
        (
            '{"isDone":false,"schemaVersion":2,"actions":[[{"actionType":99}]]}',
            "Received an unexpected action type from the out-of-proc function: '99'.",
        ),
        (
            '{"isDone":false,"schemaVersion":2,"actions":[[{"actionType":0}]]}',
            "The action {\"actionType\":0} cannot be read (KeyError('functionName')).",
        ),
        (
            '{"isDone":false,"schemaVersion":2,"actions":7}',
            "The response of the out-of-proc orchestrator cannot be read "
            "(TypeError(\"object of type 'int' has no len()\")).",
        ),
        (f'{{"isDone":true,"output":{DEEP}}}', "Out of proc orchestrators must return a valid JSON schema"),
    ],
)
def test_unreadable_response_fails_the_orchestration(returned: str, why: str) -> None:
    assert orchestrators.response_of(returned) == OrchestratorResponse(actions=None, raised=Raised(why))


def test_too_long_retry_interval_fails_the_orchestration() -> None:
    options = {"firstRetryIntervalInMilliseconds": 10**30, "maxNumberOfAttempts": 3}
    found = answer({"actionType": 1, "functionName": "F", "input": "1", "retryOptions": options})
    assert found.raised is not None
    assert found.raised.message.startswith('The action {"actionType":1,')
    assert "cannot be read (OverflowError(" in found.raised.message


def test_timer_without_time_fails_the_orchestration() -> None:
    found = answer({"actionType": 5, "fireAt": None})
    assert found.raised is not None
    assert found.raised.message.startswith('The action {"actionType":5,"fireAt":null} cannot be read')


def test_orchestrator_without_sdk_may_return_nothing() -> None:
    assert orchestrators.response_of(None) == OrchestratorResponse(actions=(), is_done=True)


def test_custom_status_is_limited_to_16_kb_of_utf16() -> None:
    assert answer(customStatus="x" * 8190).custom_status == f'"{"x" * 8190}"'
    assert answer(customStatus="x" * 8191).raised == Raised(
        "The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. The current payload size is 16 KB."
    )


def test_failure_contains_previous_actions_and_user_stack() -> None:
    state = {"isDone": False, "schemaVersion": 2, "actions": [[]], "error": "bad", "customStatus": 1}
    original = ValueError("bad")
    try:
        try:
            raise original
        except ValueError as error:
            raise Exception(f"bad\n\n$OutOfProcData$:{json.dumps(state)}") from error
    except Exception as error:
        failure = FunctionFailed(type_name="Exception", text=str(error), stack="the SDK's frames", cause=error)
    found = orchestrators.response_in_failure(failure)
    assert (found.actions, found.custom_status) == ([], "1")
    assert found.raised is not None
    assert found.raised.message == "bad"
    assert "raise original" in found.raised.stack


def context(input_text: str | None) -> Any:
    start = started(input=input_text)
    request = OrchestratorRequest(started=start, past=[], new=[start])
    return json.loads(orchestrators.context_text(request, http_poll_interval=timedelta(seconds=5)))


def test_context_contains_poll_interval_of_host_json() -> None:
    assert context(None)["defaultHttpAsyncRequestSleepTimeMillseconds"] == 5000


@pytest.mark.parametrize(
    ("input_text", "value"), [(None, None), ('{"a": [1, 2.5]}', {"a": [1, 2.5]}), ("{'a': 1}", {"a": 1})]
)
def test_input_is_read_as_by_newtonsoft(input_text: str | None, value: object) -> None:
    assert context(input_text)["input"] == value


# Entities ------------------------------------------------------------------------------------------------------

BATCH = EntityBatch(
    entity=EntityId("counter", "k"),
    exists=True,
    state="1",
    operations=[EntityOperation("get", None, False, "1")],
)


@pytest.mark.parametrize(
    "returned",
    [
        None,
        "text",
        "{}",
        '{"entityExists":true,"entityState":"1","results":[]}',
        '{"entityExists":true,"entityState":"1","results":[{"isError":false}]}',
    ],
)
def test_unreadable_entity_response_is_refused(returned: str | None) -> None:
    with pytest.raises(entities.UnreadableResponse, match=r"^The entity function"):
        entities.result_of(returned, BATCH)


def test_signals_of_an_entity() -> None:
    signal = {"target": {"name": "Other", "key": "K"}, "name": "ping", "input": "1"}
    returned = {
        "entityExists": True,
        "entityState": "2",
        "results": [{"isError": False, "result": "1"}],
        "signals": [signal],
    }
    [found] = entities.result_of(json.dumps(returned), BATCH).signals
    assert (found.target, found.name, found.input) == (EntityId("other", "K"), "ping", "1")
