"""Queue messages, byte for byte."""

from __future__ import annotations

import base64
import json

import pytest

from emulator.durable.azurestorage.messaging import wire
from emulator.durable.azurestorage.messaging.wire import MessageData, UnreadableMessage
from emulator.durable.azurestorage.names import HubNames
from emulator.durable.core.events import EventRaised, TaskCompleted, TaskFailed
from emulator.durable.core.identity import OrchestrationInstance
from emulator.durable.core.messages import TaskMessage
from emulator.instant import Instant
from tests.recordings import GOLDEN, MIDFLIGHT, SCENARIOS, RecordingSet, as_sent, message_blobs

NOON = Instant.parse("2026-06-24T12:00:00Z")


@pytest.mark.parametrize(("recordings", "scenario"), SCENARIOS, ids=str)
def test_recorded_messages_are_read_and_written_back(recordings: RecordingSet, scenario: str) -> None:
    for _, text in recordings.messages(scenario):
        assert wire.encode(wire.decode(text)) == text
    for _, text in message_blobs(recordings.hub(scenario)):
        assert wire.encode(wire.decode(text)) == text


@pytest.mark.parametrize(("recordings", "name"), MIDFLIGHT, ids=str)
def test_messages_of_killed_hosts_are_read_and_written_back(recordings: RecordingSet, name: str) -> None:
    storage = recordings.midflight(name)["storage"]
    texts = [message["text"] for found in storage["queues"].values() for message in found]
    texts += [text for _, text in message_blobs(storage)]
    for text in texts:
        assert wire.encode(wire.decode(text)) == text


@pytest.mark.parametrize(("recordings", "scenario"), SCENARIOS, ids=str)
def test_recorded_messages_are_in_the_queue_of_their_instance(recordings: RecordingSet, scenario: str) -> None:
    for queue, text in recordings.messages(scenario):
        message = wire.decode(text).message
        if message is not None and "-control-" in queue:
            names = HubNames(hub=queue.partition("-control-")[0], partition_count=4)
            assert queue == names.control_queue_of(message.target.instance_id)


def completed(result: str | None = '"ok"') -> MessageData:
    event = TaskCompleted(timestamp=NOON, task_scheduled_id=3, result=result)
    message = TaskMessage(event, OrchestrationInstance("i1", "e1"))
    return MessageData(activity_id="3f2504e0-4f89-41d3-9a0c-0305e82c3006", message=message, sequence_number=7)


def test_base64_is_read_like_plain_text() -> None:
    text = wire.encode(completed('"żółć 🐍"'))
    assert wire.decode(base64.b64encode(text.encode()).decode()) == completed('"żółć 🐍"')


def test_type_names_may_contain_an_assembly() -> None:
    text = wire.encode(completed()).replace("TaskCompletedEvent", "TaskCompletedEvent, DurableTask.Core")
    assert wire.decode(text) == completed()


def test_unknown_members_are_ignored_and_missing_members_have_defaults() -> None:
    found = json.loads(wire.encode(completed()))
    event = found["TaskMessage"]["Event"]
    for member in ("EventId", "IsPlayed", "Timestamp", "Result", "EventType"):
        del event[member]
    event["Novelty"] = {"$type": "Some.Type", "x": 1}
    read = wire.decode(json.dumps(found), received_at=NOON)
    assert read == completed(None)


def test_tags_need_no_type_name() -> None:
    [text] = [text for _, text in GOLDEN.messages("chain") if "TaskScheduledEvent" in text][:1]
    untyped = json.loads(text)
    untyped["TaskMessage"]["OrchestrationExecutionContext"]["OrchestrationTags"] = {"a": "b"}
    read = wire.decode(json.dumps(untyped)).message
    assert read is not None
    assert read.context_tags == {"a": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "aGVsbG8=",
        "",
        "[]",
        "{",
        '{"TaskMessage":{"Event":{"$type":"System.Diagnostics.Process"},"OrchestrationInstance":{"InstanceId":"i"}}}',
        '{"TaskMessage":{"Event":{},"OrchestrationInstance":{"InstanceId":"i"}}}',
        '{"TaskMessage":{"Event":{"$type":"DurableTask.Core.History.TaskCompletedEvent"}}}',
        wire.encode(completed()).replace('"SequenceNumber":7', '"SequenceNumber":"soon"'),
        wire.encode(completed()).replace('"EventId":-1', '"EventId":[]'),
        wire.encode(completed("x")).replace('"Result":"x"', '"Result":{}'),
        '{"TaskMessage":' + "[" * 100_000,
    ],
)
def test_other_texts_raise_unreadable_message(text: str) -> None:
    with pytest.raises(UnreadableMessage, match="not a Durable Task message"):
        wire.decode(text)


def test_numbers_and_strings_are_converted_as_by_newtonsoft() -> None:
    text = wire.encode(completed("5"))
    assert wire.decode(
        text.replace('"Result":"5"', '"Result":5').replace('"EventId":-1', '"EventId":"-1"')
    ) == completed("5")


def test_only_characters_forbidden_by_xml_or_newtonsoft_are_escaped() -> None:
    event = EventRaised(timestamp=NOON, name="n", input='é\u2028\x85\ufffe\ud800"\\\n\x7f🐍')
    data = MessageData(activity_id="a", message=TaskMessage(event, OrchestrationInstance("i", None)), sequence_number=1)
    text = wire.encode(data)
    assert '"Input":"é\\u2028\\u0085\\ufffe\\ud800\\"\\\\\\n\x7f🐍"' in text
    assert wire.decode(text) == data


def test_failure_details_contain_inner_failure() -> None:
    found = json.loads(wire.encode(completed()))
    details = {
        "$type": "DurableTask.Core.FailureDetails",
        "ErrorType": "ValueError",
        "ErrorMessage": "boom",
        "StackTrace": "line 9",
        "InnerFailure": {
            "$type": "DurableTask.Core.FailureDetails",
            "ErrorType": "KeyError",
            "ErrorMessage": "k",
            "StackTrace": None,
            "InnerFailure": None,
            "IsNonRetriable": True,
            "Properties": None,
        },
        "IsNonRetriable": False,
        "Properties": {"answer": 42},
    }
    found["TaskMessage"]["Event"] = {
        "$type": "DurableTask.Core.History.TaskFailedEvent",
        "EventType": 6,
        "TaskScheduledId": 0,
        "Reason": "boom",
        "Details": None,
        "FailureDetails": details,
        "EventId": -1,
        "IsPlayed": False,
        "Timestamp": "2026-06-24T10:00:01.2345678Z",
    }
    text = as_sent(found)
    data = wire.decode(text)
    assert data.message is not None
    assert isinstance(data.message.event, TaskFailed)
    assert wire.encode(data) == text
