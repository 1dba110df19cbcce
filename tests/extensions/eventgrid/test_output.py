"""Event Grid outputs: requests to a topic, events that stay in the app, mistakes in settings and events."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from emulator.testing import InvocationFailed, start
from tests.extensions.eventgrid.topic import Topic, identity_endpoint, open_topic
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import HTTP_APP, RunningApp, run_app, write_app
from tests.waiting import eventually

APP = """
import typing
from datetime import datetime, timezone

def publishes(name="event", **members):
    members = members or {"topic_endpoint_uri": "TopicUri", "topic_key_setting": "TopicKey"}
    return app.event_grid_output(arg_name=name, **members)

def made(number):
    return func.EventGridOutputEvent(
        id=f"id-{number}", subject="s", event_type="my.type", data_version="1.0", data={"n": number},
        event_time=datetime(2026, 11, 29, 3, 0, 0, 123000, timezone.utc),
    )

@app.route(route="one")
@publishes()
def one(req: func.HttpRequest, event: func.Out[func.EventGridOutputEvent]) -> str:
    event.set(made(1))
    return "published"

@app.route(route="many")
@publishes()
def many(req: func.HttpRequest, event: func.Out[typing.List[func.EventGridOutputEvent]]) -> str:
    event.set([made(1), made(2)])
    return "published"

@app.route(route="text", methods=["POST"])
@publishes()
def text(req: func.HttpRequest, event: func.Out[str]) -> str:
    event.set(req.get_body().decode())
    return "published"

@app.route(route="texts", methods=["POST"])
@publishes()
def texts(req: func.HttpRequest, event: func.Out[typing.List[str]]) -> str:
    # JSON texts in a list: their dates are not rewritten.
    event.set([json.dumps(item) for item in req.get_json()])
    return "published"

@app.route(route="none")
@publishes()
def none(req: func.HttpRequest, event: func.Out[str]) -> str:
    return "published"

@app.route(route="fails")
@publishes()
def fails(req: func.HttpRequest, event: func.Out[str]) -> str:
    event.set("{}")
    raise ValueError("after set")

@app.route(route="unknown")
@publishes(topic_endpoint_uri="NoSuchSetting", topic_key_setting="TopicKey")
def unknown(req: func.HttpRequest, event: func.Out[func.EventGridOutputEvent]) -> str:
    event.set(made(1))
    return "published"

@app.route(route="connected")
@publishes(connection="Topic")
def connected(req: func.HttpRequest, event: func.Out[func.EventGridOutputEvent]) -> str:
    event.set(made(1))
    return "published"

@app.route(route="bare")
@app.generic_output_binding(arg_name="event", type="EventGrid")
def bare(req: func.HttpRequest, event: func.Out[str]) -> str:
    event.set(json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}))
    return "published"

seen = []

@app.route(route="show")
def show(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(seen))

@app.event_grid_trigger(arg_name="event")
def first(event: func.EventGridEvent):
    seen.append(["first", event.id, event.topic, event.get_json()])

@app.event_grid_trigger(arg_name="event")
@publishes(name="$return")
def second(event: func.EventGridEvent):
    seen.append(["second", event.id, getattr(event, "topic", None), event.get_json()])
    if event.subject == "again":
        return json.dumps({
            "id": "again", "subject": "s", "eventType": "t", "eventTime": "2026-01-01T00:00:00Z", "dataVersion": "1",
            "data": 5,
        })
"""
PUBLISHED = {
    "id": "id-1",
    "subject": "s",
    "data": {"n": 1},
    "eventType": "my.type",
    "eventTime": "2026-11-29T03:00:00.1230000Z",
    "dataVersion": "1.0",
}


@pytest.fixture
async def topic() -> AsyncIterator[Topic]:
    async with open_topic() as topic:
        yield topic


@pytest.fixture
async def site(tmp_path: Path, topic: Topic) -> AsyncIterator[RunningApp]:
    settings = {"TopicUri": topic.endpoint, "TopicKey": "a2V5"}
    async with run_app(tmp_path, HTTP_APP, APP, settings=settings) as site:
        yield site


async def test_all_events_of_a_run_are_published_together(site: RunningApp, topic: Topic) -> None:
    assert (await site.get("/api/one")).text == "published"
    assert (await site.get("/api/many")).text == "published"
    first, second = topic.requests
    assert first.path == "/api/events?api-version=2018-01-01"
    assert (first.headers["aeg-sas-key"], first.headers["Content-Type"]) == ("a2V5", "application/json")
    assert first.events == [PUBLISHED]
    assert second.events == [PUBLISHED, {**PUBLISHED, "id": "id-2", "data": {"n": 2}}]


async def test_nothing_is_published_for_no_value_and_for_a_failure(site: RunningApp, topic: Topic) -> None:
    assert (await site.get("/api/none")).status == 200
    assert (await site.get("/api/fails")).status == 500
    assert (await site.post("/api/text", "[]")).status == 200
    assert topic.requests == []


async def test_texts_are_events_of_either_schema(site: RunningApp, topic: Topic) -> None:
    cloud = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "time": "2026-01-01T00:00:00Z", "x": "e"}
    assert (await site.post("/api/text", json.dumps({**PUBLISHED, "metadataVersion": "1"}))).status == 200
    assert (await site.post("/api/text", json.dumps([cloud, cloud]))).status == 200
    event_grid, clouds = topic.requests
    assert event_grid.events == [PUBLISHED]
    assert clouds.headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert clouds.events == [{**cloud, "time": "2026-01-01T00:00:00+00:00"}] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "An Event Grid output needs JSON."),
        ('{"a": 1}', "The source property must be specified in each CloudEvent."),
        ('{"specversion": "1.0", "source": "s", "type": "t"}', "The id property must be specified in each CloudEvent."),
        ('"text"', "An item of an Event Grid output must be the JSON object of one event."),
        ("[[1]]", "An item of an Event Grid output must be the JSON object of one event."),
        (json.dumps({**PUBLISHED, "subject": None}), "Value cannot be null. (Parameter 'Subject')"),
        (json.dumps({**PUBLISHED, "eventTime": "soon"}), "The 'eventTime' of the event is 'soon'; allowed: a time"),
        (
            json.dumps([PUBLISHED, {"specversion": "1.0", "id": "1", "subject": "s", "source": "/s", "type": "t"}]),
            "Value cannot be null. (Parameter 'EventType')",
        ),
    ],
)
async def test_what_is_no_event(
    site: RunningApp, topic: Topic, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    assert (await site.post("/api/text", text)).status == 500
    assert f"Error while handling parameter event after function returned: {message}"[:60] in caplog.text
    assert message in caplog.text
    assert topic.requests == []


async def test_an_error_of_the_topic_fails_the_run(
    site: RunningApp, topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    topic.status = lambda: 400
    assert (await site.get("/api/one")).status == 500
    assert "Service request failed.\nStatus: 400 (Bad Request)\nthe reason" in caplog.text
    assert f"Topic: {topic.endpoint} (app setting 'TopicUri')" in caplog.text
    assert len(topic.requests) == 1


async def test_temporary_errors_are_retried(site: RunningApp, topic: Topic) -> None:
    statuses = iter([503, 200])
    topic.status = lambda: next(statuses)
    assert (await site.get("/api/one")).status == 200
    assert [request.events for request in topic.requests] == [[PUBLISHED]] * 2


# Settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({}, "bare", "Specify either the 'Connection' property or both 'TopicKeySetting' and 'TopicEndpointUri'"),
        ({}, "unknown", "Unable to resolve app setting for property 'EventGridAttribute.TopicEndpointUri'."),
        ({}, "unknown", "'topicEndpointUri' names the setting 'NoSuchSetting', which does not exist."),
        (
            {"TopicUri": "https://t.invalid/api/events"},
            "one",
            "'topicKeySetting' names the setting 'TopicKey', which has no value.",
        ),
        ({"TopicUri": "topic"}, "one", "The 'TopicEndpointUri' property must be a valid absolute Uri."),
        ({"TopicUri": "http://x:99999/"}, "one", "The value of the setting 'TopicUri' is 'http://x:99999/'"),
        ({}, "connected", "The Event Grid connection 'Topic' does not exist. Add 'Topic__topicEndpointUri' to"),
        ({"Topic__topicEndpointUri": "nowhere"}, "connected", "The value of the setting 'Topic__topicEndpointUri' is"),
    ],
)
async def test_wrong_settings_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: Mapping[str, str], path: str, message: str
) -> None:
    async with run_app(tmp_path, HTTP_APP, APP, settings=settings) as site:
        assert (await site.get(f"/api/{path}")).status == 500
    assert message in caplog.text


async def test_a_connection_signs_in_with_an_identity(
    tmp_path: Path, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("azure.identity")
    async with identity_endpoint() as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", "secret")
        settings = {"Topic__topicEndpointUri": topic.endpoint, "Topic__credential": "managedidentity"}
        async with run_app(tmp_path, HTTP_APP, APP, settings=settings) as site:
            assert (await site.get("/api/connected")).text == "published"
    [request] = topic.requests
    assert request.headers["Authorization"] == "Bearer token for https://eventgrid.azure.net"
    assert "aeg-sas-key" not in request.headers
    assert request.events == [PUBLISHED]


async def test_an_empty_endpoint_of_a_connection_is_local(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP, settings={"Topic__topicEndpointUri": ""}) as site:
        assert (await site.get("/api/connected")).text == "published"
        assert [run[0] for run in await shown(site, 2)] == ["first", "second"]


async def test_a_topic_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    async with open_topic() as topic:
        endpoint = topic.endpoint
    write_app(tmp_path, HTTP_APP, APP)
    # In virtual time the pauses between the attempts take no time.
    async with start(tmp_path, settings={"TopicUri": endpoint, "TopicKey": "k"}) as app:
        with pytest.raises(InvocationFailed):
            await app.invoke("second", {**PUBLISHED, "subject": "again"})
        assert f"Topic: {endpoint} (app setting 'TopicUri')" in app.console


# Local topics ------------------------------------------------------------------------------------------------


async def shown(site: RunningApp, count: int) -> list[list[Any]]:
    async def complete() -> list[list[Any]] | None:
        runs = (await site.get("/api/show")).json()
        return sorted(runs) if len(runs) >= count else None

    return await eventually(complete, f"{count} runs")


async def test_an_empty_setting_delivers_events_to_the_functions_of_the_app(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with run_app(tmp_path, HTTP_APP, APP, settings={"TopicUri": ""}) as site:
        assert (await site.get("/api/many")).text == "published"
        runs = await shown(site, 4)
        assert runs == [
            [name, f"id-{number}", "/topics/TopicUri", {"n": number}]
            for name in ("first", "second")
            for number in (1, 2)
        ]
    assert (
        "Output 'event' (eventGrid): the topic of the setting 'TopicUri' is local. Events: 2, delivered to: first"
        in (caplog.text)
    )


async def test_a_publisher_does_not_get_its_own_events(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP, settings={"TopicUri": ""}) as site:
        event = json.dumps({**PUBLISHED, "id": "start", "subject": "again"})
        assert (await site.post("/api/text", event)).status == 200
        runs = await shown(site, 3)
        assert [(name, event_id) for name, event_id, *_ in runs] == [
            ("first", "again"),
            ("first", "start"),
            ("second", "start"),
        ]


async def test_the_address_of_this_host_chooses_a_function(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP, settings={"TopicUri": ""}) as site:
        port = site.app.port
    webhook = f"http://localhost:{port}/runtime/webhooks/EventGrid?functionName=first"
    async with run_app(tmp_path, HTTP_APP, APP, settings={"TopicUri": webhook}, port=port) as site:
        assert (await site.get("/api/one")).text == "published"
        assert await shown(site, 1) == [["first", "id-1", "/topics/TopicUri", {"n": 1}]]


async def test_an_http_function_can_take_the_place_of_a_topic(tmp_path: Path) -> None:
    fake = """
taken = []

@app.route(route="events", methods=["POST"])
def events(req: func.HttpRequest) -> str:
    taken.append([req.headers.get("aeg-sas-key"), req.params["api-version"], req.get_json()])
    return ""

@app.route(route="taken")
def show_taken(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(taken))
"""
    async with run_app(tmp_path, HTTP_APP, APP, fake, settings={"TopicUri": ""}) as site:
        port = site.app.port
    settings = {"TopicUri": f"http://127.0.0.1:{port}/api/events", "TopicKey": "k"}
    async with run_app(tmp_path, HTTP_APP, APP, fake, settings=settings, port=port) as site:
        assert (await site.get("/api/one")).text == "published"
        assert (await site.get("/api/taken")).json() == [["k", "2018-01-01", [PUBLISHED]]]


# Recording ---------------------------------------------------------------------------------------------------


async def test_the_recorded_calls_publish_the_recorded_events(site: RunningApp, topic: Topic) -> None:
    """`eventgrid_output`, the calls with events as text: EGOut makes its events in .NET.

    The list of two events as one text fails there and is two items for the Functions host; `null` cannot be set in
    Python. In a recorded list the recorder rewrote the dates before the extension got them.
    """
    steps = TRIGGERS.steps("eventgrid_output")
    calls = [
        (call, answer)
        for call, answer in pairwise(steps)
        if call["test"] in ("call EGOutString", "call EGOutMany")
        and call["text"] is not None
        and not (call["test"] == "call EGOutString" and call["text"].startswith("["))
    ]
    assert len(calls) == 7
    for call, answer in calls:
        try:
            content = json.loads(call["text"])
        except ValueError:
            recorded = await site.post("/api/text", call["text"])
        else:
            recorded = await site.post("/api/texts", json.dumps(content if isinstance(content, list) else [content]))
        assert recorded.status == answer["status"], call["text"]
    expected = [
        (request["topic"], request["headers"], json.loads(request["body"]))
        for request in TRIGGERS.http("eventgrid_output")
        # Those with generated ids are EGOut's.
        if any(event["id"].startswith(("id-", "ce-")) for event in json.loads(request["body"]))
    ]
    assert len(topic.requests) == len(expected)
    for request, (path, headers, events) in zip(topic.requests, expected, strict=True):
        assert request.path == path
        assert {name: request.headers[name] for name in headers} == headers
        assert without_recorded_dates(request.events) == without_recorded_dates(events)


def without_recorded_dates(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "data": {**event["data"], "when": None}} for event in events]
