"""Functions of triggers that nothing listens to, invoked with data of the caller: what their parameters contain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.running_apps import HTTP_APP, RunningApp, run_app

# Each function returns what it sees as the value of its generic output, which the admin API shows.
TRIGGERS = """
import typing

def shows(function):
    return app.generic_output_binding(arg_name="$return", type="custom")(function)

@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
@shows
def tick(timer: func.TimerRequest):
    return {"late": timer.past_due, "adjusts": timer.schedule["AdjustForDST"]}

@app.queue_trigger(arg_name="item", queue_name="items", connection="C")
@shows
def queue_item(item: func.QueueMessage):
    return {"body": item.get_body().decode(), "count": item.dequeue_count, "kept_days":
            (item.expiration_time - item.insertion_time).days, "id": bool(item.id)}

@app.queue_trigger(arg_name="item", queue_name="items", connection="C", data_type="BINARY")
@shows
def queue_bytes(item: bytes):
    return [item[0], len(item)]

@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
@shows
def bus(msg: func.ServiceBusMessage):
    return {"body": msg.get_body().decode(), "count": msg.delivery_count, "subject": msg.subject,
            "properties": [msg.application_properties, msg.user_properties], "id": bool(msg.message_id)}

@app.service_bus_topic_trigger(
    arg_name="msgs", topic_name="t", subscription_name="s", connection="C", cardinality="many"
)
@shows
def bus_many(msgs: typing.List[func.ServiceBusMessage]):
    return [[msg.get_body().decode(), msg.sequence_number, msg.subject, msg.user_properties] for msg in msgs]

@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
@shows
def bus_text(msg: str):
    return [msg]

@app.event_hub_message_trigger(arg_name="event", event_hub_name="h", connection="C")
@shows
def hub(event: func.EventHubEvent):
    return {"body": event.get_body().decode(), "key": event.partition_key, "offset": event.offset,
            "device": event.iothub_metadata}

@app.event_hub_message_trigger(arg_name="events", event_hub_name="h", connection="C", cardinality="many")
@shows
def hub_many(events: typing.List[func.EventHubEvent]):
    return [[event.get_body().decode(), event.sequence_number, event.partition_key] for event in events]

@app.event_hub_message_trigger(arg_name="event", event_hub_name="h", connection="C")
@shows
def hub_text(event: str):
    return [event]

@app.kafka_trigger(arg_name="record", topic="t", broker_list="b")
@shows
def kafka(record: func.KafkaEvent):
    return [json.loads(record.get_body())["Value"], record.topic, record.key, record.offset]

@app.kafka_trigger(arg_name="records", topic="t", broker_list="b", cardinality="many")
@shows
def kafka_many(records: typing.List[func.KafkaEvent]):
    return [[json.loads(record.get_body())["Value"], record.topic, record.key, record.offset] for record in records]

@app.cosmos_db_trigger(arg_name="docs", connection="C", database_name="d", container_name="c")
@shows
def cosmos(docs: func.DocumentList):
    return [dict(doc) for doc in docs]

@app.sql_trigger(arg_name="changes", table_name="t", connection_string_setting="C")
@shows
def sql(changes: str):
    return json.loads(changes)

@app.mysql_trigger(arg_name="changes", table_name="t", connection_string_setting="C")
@shows
def mysql(changes: func.MySqlRowList):
    return [dict(row) for row in changes]

@app.event_grid_trigger(arg_name="event")
@shows
def grid(event: func.EventGridEvent):
    return [event.subject, event.get_json()]

@app.generic_trigger(arg_name="message", type="rabbitMQTrigger", queueName="q")
@shows
def rabbit(message: str):
    return [message]

@app.generic_trigger(arg_name="message", type="acmeTrigger")
@shows
def custom_bytes(message: bytes):
    return [message.hex()]

@app.mcp_tool_trigger(arg_name="call", tool_name="weather", description="d")
@shows
def tool(call: str):
    return json.loads(call)

@app.mcp_tool_trigger(arg_name="call", tool_name="save", description="d")
@app.blob_output(
    arg_name="file",
    path="notes/{mcptoolargs.name}-{mcptoolargs.n}-{mcptoolargs.on}.txt",
    connection="AzureWebJobsStorage",
)
def save(call: str, file: func.Out[str]) -> str:
    file.set(json.loads(call)["arguments"]["text"])
    return "saved"

@app.mcp_prompt_trigger(arg_name="call", prompt_name="load")
@app.blob_input(arg_name="file", path="notes/{mcppromptargs.name}.txt", connection="AzureWebJobsStorage")
@shows
def load(call: str, file: str):
    return [file]

@app.mcp_resource_trigger(arg_name="call", uri="notes", resource_name="r")
@app.blob_input(arg_name="file", path="{mcpresourceuri}", connection="AzureWebJobsStorage")
@shows
def resource(call: str, file: str):
    return [file]
"""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, HTTP_APP, TRIGGERS) as site:
        yield site


async def seen(site: RunningApp, function: str, **request: Any) -> Any:
    answer = await site.request("POST", f"/admin/azemu/functions/{function}/invoke", json=request)
    assert answer.status == 200, answer.text
    return answer.json()["outputs"][0]["value"]


async def test_each_trigger_gets_the_values_that_its_service_sends(site: RunningApp) -> None:
    """One host for all of them: starting it takes longer than the calls."""
    assert await seen(site, "tick", input="") == {"late": False, "adjusts": True}
    assert await seen(site, "tick", input='{"IsPastDue": true}') == {"late": True, "adjusts": True}
    assert await seen(site, "queue_item", input="hi") == {"body": "hi", "count": 1, "kept_days": 7, "id": True}
    assert await seen(site, "queue_item", input="hi", metadata={"dequeuecount": 4}) == {
        "body": "hi",
        "count": 4,
        "kept_days": 7,
        "id": True,
    }
    assert await seen(site, "queue_bytes", inputBase64="/wA=") == [255, 2]
    assert await seen(site, "bus_text", input='{"a": 1}') == ['{"a": 1}']
    assert await seen(site, "hub_text", input="plain") == ["plain"]
    assert await seen(site, "rabbit", input='["a"]') == ['["a"]']
    assert await seen(site, "rabbit", input={"a": 1}) == ['{"a": 1}']
    assert await seen(site, "custom_bytes", input="ab") == ["6162"]
    assert await seen(site, "custom_bytes", inputBase64="/w==") == ["ff"]
    assert await seen(site, "tool", input={"city": "Rome"}) == {"name": "weather", "arguments": {"city": "Rome"}}


async def test_paths_contain_arguments_of_mcp_calls(site: RunningApp) -> None:
    arguments = {"name": "a", "n": 7, "on": True, "text": "note"}
    for request in (arguments, {"name": "save", "arguments": arguments}):
        await site.request("POST", "/admin/azemu/functions/save/invoke", json={"input": request})
    assert await seen(site, "load", input={"name": "a-7-True"}) == ["note"]
    assert await seen(site, "load", input={"name": "load", "arguments": {"name": "a-7-True"}}) == ["note"]
    assert await seen(site, "resource", input={"uri": "notes/a-7-True.txt"}) == ["note"]


async def test_messages_have_the_metadata_of_their_broker(site: RunningApp) -> None:
    chosen = {"ApplicationProperties": {"kind": "x"}, "Subject": "s", "DeliveryCount": 3}
    assert await seen(site, "bus", input="order", metadata=chosen) == {
        "body": "order",
        "count": 3,
        "subject": "s",
        "properties": [{"kind": "x"}, {"kind": "x"}],
        "id": True,
    }
    assert await seen(site, "hub", input="e", metadata={"PartitionKey": "k", "iothub-connection-device-id": "d1"}) == {
        "body": "e",
        "key": "k",
        "offset": "0",
        "device": {"connection-device-id": "d1"},
    }
    assert await seen(site, "kafka", input="r", metadata={"Key": "k", "Offset": 7}) == ["r", "t", "k", 7]


async def test_a_json_array_is_a_list_of_messages_for_cardinality_many(site: RunningApp) -> None:
    assert await seen(site, "bus_many", input='["a", {"b": 2}]', metadata={"Subject": "s"}) == [
        ["a", 1, "s", {}],
        ['{"b":2}', 2, "s", {}],
    ]
    assert await seen(site, "bus_many", input="alone") == [["alone", 1, None, {}]]
    assert await seen(site, "hub_many", input=["x", "y"], metadata={"PartitionKey": "k"}) == [
        ["x", 0, "k"],
        ["y", 1, "k"],
    ]
    assert await seen(site, "kafka_many", input=["x", "y"], metadata={"Key": "k"}) == [
        ["x", "t", "k", 0],
        ["y", "t", "k", 1],
    ]


async def test_documents_rows_and_events(site: RunningApp) -> None:
    assert await seen(site, "cosmos", input={"id": "1"}) == [{"id": "1"}]
    assert await seen(site, "cosmos", input=[{"id": "1"}, {"id": "2"}]) == [{"id": "1"}, {"id": "2"}]
    assert await seen(site, "sql", input={"id": 1}) == [{"Operation": 0, "Item": {"id": 1}}]
    assert await seen(site, "sql", input=[{"Operation": 2, "Item": {"id": 1}}]) == [{"Operation": 2, "Item": {"id": 1}}]
    assert await seen(site, "mysql", input=[{"id": 1}]) == [{"Operation": 0, "Item": {"id": 1}}]
    assert await seen(site, "grid", input={"subject": "s", "data": {"x": 1}}) == ["s", {"x": 1}]


@pytest.mark.parametrize(
    ("function", "text", "message"),
    [
        ("cosmos", "nope", "The input of function 'cosmos' (cosmosDBTrigger) must be JSON: a document"),
        ("sql", "[1]", "The input of function 'sql' (sqlTrigger) must be JSON: a row"),
        ("grid", "nope", "Unable to parse nope to Newtonsoft.Json.Linq.JObject. The input must be"),
    ],
)
async def test_input_that_the_service_could_not_send_is_refused(
    site: RunningApp, function: str, text: str, message: str
) -> None:
    answer = await site.request("POST", f"/admin/azemu/functions/{function}/invoke", json={"input": text})
    assert (answer.status, answer.json()["error"][: len(message)]) == (400, message)
