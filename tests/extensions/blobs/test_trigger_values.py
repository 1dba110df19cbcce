"""Value, metadata and log texts of a blob, and messages of the internal queue, as recorded from the extension."""

from __future__ import annotations

import base64
import json
from datetime import datetime

import pytest

from emulator.extensions.blobs.trigger_events import blob_event, details_of
from emulator.extensions.blobs.trigger_messages import (
    NoTriggerMessage,
    TriggerMessage,
    message_text,
    read_message,
    stored_text,
)
from emulator.storage.port import BlobProperties, QueueMessage
from emulator.worker.port import Datum
from tests.recordings.triggers import TRIGGERS

SCENARIOS = ("blob_first", "blob_types", "blob_patterns", "blob_two_functions")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_metadata_are_those_that_were_recorded(scenario: str) -> None:
    """All blobs of the scenario: names, order, and each value as JSON."""
    count = 0
    for line in TRIGGERS.received(scenario):
        if line["event"] != "start":
            continue
        recorded = {name: value["json"] for name, value in line["bindingData"].items()}
        properties = recorded["Properties"]
        container, _, blob = recorded["BlobTrigger"].partition("/")
        captures = dict(list(recorded.items())[4:])
        event = blob_event(
            Datum("bytes", b""),
            BlobProperties(
                blob,
                properties["ContentLength"],
                '"0x1"',
                datetime.fromisoformat(properties["LastModified"]),
                content_type=properties["ContentType"],
                metadata=recorded["Metadata"],
                created_at=datetime.fromisoformat(properties["CreatedOn"]),
                content_md5=base64.b64decode(properties["ContentHash"]),
            ),
            container=container,
            uri=recorded["Uri"],
            captures=captures,
        )
        sent = {
            name: datum.value if datum.type == "string" else json.loads(datum.value)
            for name, datum in event.metadata.items()
        }
        assert list(sent) == list(recorded)
        assert list(sent["Properties"]) == list(properties)
        assert sent == recorded
        count += 1
    assert count


def test_messages_have_the_recorded_text() -> None:
    texts = {
        line["plain"]: line["stored"]
        for scenario in ("blob_first", "blob_patterns", "blob_eventgrid")
        for line in TRIGGERS.changes(scenario)
        # The others were put by calls of the webhook that are refused here: without a function, or with a wrong one.
        if line["op"] == "put" and '"FunctionId": "Host.Functions.' in line["plain"]
    }
    for text, stored in texts.items():
        message = read_message(text)
        assert message_text(message) == text
        assert stored_text(message) == stored
    assert len(texts) > 30


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "null", "{}", '{"Type":"Other"}', '{"Type":"BlobTrigger","FunctionId":null}', "[" * 100_000],
)
def test_other_texts_are_no_messages(text: str) -> None:
    with pytest.raises(NoTriggerMessage):
        read_message(text)


def test_a_name_beyond_ascii_survives_the_queue() -> None:
    message = TriggerMessage(function="f", container="c-work", blob="ü ö/{x}\u2028.txt", etag='"0x1"')
    assert read_message(base64.b64decode(stored_text(message)).decode()) == message


def test_trigger_details_are_as_recorded() -> None:
    recorded = next(line for line in TRIGGERS.log("blob_first").splitlines() if "Trigger Details: " in line)
    details = dict(part.split(": ", 1) for part in recorded.split("Trigger Details: ")[1].split(", "))
    message = QueueMessage(
        details["MessageId"],
        "",
        "",
        int(details["DequeueCount"]),
        datetime.fromisoformat(details["InsertedOn"]),
        datetime.fromisoformat(details["InsertedOn"]),
    )
    properties = BlobProperties(
        "a",
        0,
        "",
        datetime.fromisoformat(details["BlobLastModified"]),
        created_at=datetime.fromisoformat(details["BlobCreated"]),
    )
    assert details_of(message, properties) == details
