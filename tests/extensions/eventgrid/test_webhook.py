"""The webhook of the Event Grid trigger, called as by Event Grid and by people: real HTTP, the real SDK."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from emulator.extensions.eventgrid.requests import trigger_event
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import HTTP_APP, Answer, RunningApp, run_app
from tests.waiting import eventually

# Functions leave what they get in `seen`, which the function `show` returns.
APP = """
seen = []

def note(name, event, **facts):
    seen.append({"function": name, **facts})
    subject = getattr(event, "subject", None) if not isinstance(event, str) else json.loads(event).get("subject")
    if subject == "fail":
        raise ValueError("asked to fail")
    if subject and subject.startswith("sleep:"):
        time.sleep(0.2)
        seen.append({"function": name, "awake": True})

@app.route(route="show")
def show(req: func.HttpRequest) -> func.HttpResponse:
    # In a text that is returned the Functions host would rewrite dates.
    shown = func.HttpResponse(json.dumps(seen))
    seen.clear()
    return shown

@app.event_grid_trigger(arg_name="event")
def on_event(event: func.EventGridEvent):
    note("on_event", event, kind=type(event).__name__, data=event.get_json(), subject=event.subject)

@app.event_grid_trigger(arg_name="event")
def on_cloud(event: func.CloudEvent):
    note(
        "on_cloud", event, kind=type(event).__name__, data=event.get_json(), source=getattr(event, "source", None),
        type=getattr(event, "type", None), extensions=getattr(event, "extension_attrs", None),
    )

@app.event_grid_trigger(arg_name="event")
def on_text(event: str):
    note("on_text", event, text=event)

@app.event_grid_trigger(arg_name="event")
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:01")
def on_retry(event: func.EventGridEvent, context: func.Context):
    retry = context.retry_context
    note("on_retry", event, invocation=context.invocation_id, retry=[retry.retry_count, retry.max_retry_count])

@app.event_grid_trigger(arg_name="event")
@app.table_input(
    arg_name="rows", connection="AzureWebJobsStorage", table_name="People", partition_key="{data.team.name}"
)
def on_member(event: func.EventGridEvent, rows: str):
    note("on_member", event, rows=json.loads(rows))

@app.event_grid_trigger(arg_name="event")
@app.table_output(
    arg_name="out", connection="AzureWebJobsStorage", table_name="People", partition_key="{subject}", row_key="1"
)
def on_subject(event: func.EventGridEvent, out: func.Out[str]):
    out.set("{}")
"""
EVENT = {
    "id": "id-1",
    "topic": "/subscriptions/x/topic",
    "subject": "s",
    "eventType": "my.type",
    "eventTime": "2026-11-29T03:00:00.1230000Z",
    "dataVersion": "1.0",
    "metadataVersion": "1",
    "data": {"n": 1, "when": "2026-01-02T03:04:05+02:00"},
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "ce-1",
    "source": "/src",
    "type": "my.type",
    "time": "2026-11-29T03:00:00.123Z",
    "data": {"n": 5},
    "myext": "e",
}
NOTIFICATION = {"aeg-event-type": "Notification"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with run_app(tmp_path, HTTP_APP, APP) as site:
        yield site


async def sent(
    site: RunningApp,
    content: object,
    function: str = "on_event",
    *,
    headers: Mapping[str, str] = NOTIFICATION,
    method: str = "POST",
) -> Answer:
    body = content if isinstance(content, str | bytes) else json.dumps(content)
    path = f"/runtime/webhooks/EventGrid?functionName={function}"
    return await site.request(method, path, data=body, headers=headers)


async def seen(site: RunningApp) -> list[dict[str, Any]]:
    return (await site.get("/api/show")).json()  # type: ignore[no-any-return]


# Requests ----------------------------------------------------------------------------------------------------


async def test_the_first_try_with_curl(site: RunningApp) -> None:
    without = await sent(site, [EVENT], headers={})
    assert without.status == 400
    assert "The header aeg-event-type is missing; allowed: Notification" in without.text
    wrong = await sent(site, [EVENT], headers={"AEG-Event-Type": "Notify"})
    assert (wrong.status, "has the value 'notify'" in wrong.text) == (400, True)
    assert await seen(site) == []
    accepted: list[dict[str, Any]] = [{"headers": {"aeg-event-type": "notification"}}, {"method": "PUT"}]
    for options in accepted:
        assert (await sent(site, [EVENT], **options)).status == 202
    answer = await sent(site, EVENT)
    assert (answer.status, answer.body) == (202, b"")
    assert [run["kind"] for run in await seen(site)] == ["EventGridEvent"] * 3


@pytest.mark.parametrize("path", ["EventGrid", "eventgrid", "EVENTGRID/"])
@pytest.mark.parametrize("parameter", ["functionName", "functionname"])
async def test_the_path_ignores_letter_case(site: RunningApp, path: str, parameter: str) -> None:
    answer = await site.post(f"/runtime/webhooks/{path}?{parameter}=on_event", json.dumps(EVENT), headers=NOTIFICATION)
    assert answer.status == 202


@pytest.mark.parametrize("name", ["None", "On_Event", "Host.Functions.on_event", "show", ""])
async def test_unknown_functions_get_404_in_all_requests(
    site: RunningApp, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    requests: list[dict[str, Any]] = [
        {},
        {"headers": {"aeg-event-type": "SubscriptionValidation"}},
        {"headers": {"WebHook-Request-Origin": "eventgrid.azure.net"}, "method": "OPTIONS"},
    ]
    for options in requests:
        answer = await sent(site, [EVENT], name, **options)
        assert (answer.status, answer.text) == (404, f"cannot find function: '{name}'")
    assert (
        f"names the function '{name}', which does not listen to Event Grid. Functions that do: on_cloud, on_event"
        in (caplog.text)
    )


@pytest.mark.parametrize("body", ["nonsense", "", "[1, 2]", "5", '"text"', "null", '[{"id": "1"}, 2]', "{", "[" * 5000])
async def test_a_body_without_events_runs_nothing(site: RunningApp, body: str) -> None:
    assert (await sent(site, body)).status == 500
    assert await seen(site) == []


async def test_no_event_is_no_run(site: RunningApp) -> None:
    assert (await sent(site, [])).status == 202
    assert await seen(site) == []


async def test_any_object_is_an_event(site: RunningApp) -> None:
    assert (await sent(site, [{"x": 1}])).status == 202
    assert await seen(site) == [{"function": "on_event", "kind": "EventGridEvent", "data": None, "subject": None}]


async def test_the_answer_waits_for_all_events_and_one_failure_counts(site: RunningApp) -> None:
    subjects = ("s", "fail", "sleep:2")
    answer = await sent(site, [{**EVENT, "subject": subject} for subject in subjects])
    assert (answer.status, answer.text) == (500, "Exception while executing function: Functions.on_event")
    runs = await seen(site)
    assert sorted(run["subject"] for run in runs if "subject" in run) == sorted(subjects)
    assert runs[-1] == {"function": "on_event", "awake": True}


async def test_unsubscribe(site: RunningApp) -> None:
    assert (await sent(site, [], headers={"aeg-event-type": "Unsubscribe"})).status == 202


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ("eventgrid.azure.net", "eventgrid.azure.net"),
        ("eventgrid.azure.us", "eventgrid.azure.us"),
        ("evil.example", "eventgrid.azure.net"),
        (None, "eventgrid.azure.net"),
    ],
)
async def test_the_handshake_of_cloud_events(site: RunningApp, asked: str | None, allowed: str) -> None:
    headers = {"WebHook-Request-Origin": asked, "WebHook-Request-Rate": "120"} if asked else {}
    answer = await sent(site, "", "on_cloud", headers=headers, method="OPTIONS")
    assert (answer.status, answer.headers["WebHook-Allowed-Origin"], answer.body) == (200, allowed, b"")


async def test_the_webhook_needs_its_system_key(tmp_path: Path) -> None:
    async with run_app(tmp_path, HTTP_APP, APP, enable_auth=True) as site:
        assert (await sent(site, EVENT)).status == 401
        secrets = json.loads((tmp_path / ".azemu" / "secrets" / "host.json").read_text(encoding="utf-8"))
        [key] = [key["value"] for key in secrets["systemKeys"] if key["name"] == "eventgrid_extension"]
        assert (await sent(site, EVENT, f"on_event&code={key}")).status == 202
        assert (await sent(site, EVENT, f"on_event&code={key}x")).status == 401


# Values ------------------------------------------------------------------------------------------------------


async def test_both_schemas_reach_functions_of_both_types(site: RunningApp) -> None:
    for function in ("on_event", "on_cloud"):
        assert (await sent(site, [CLOUD_EVENT], function)).status == 202
        [run] = await seen(site)
        assert (run["kind"], run["data"]) == ("CloudEvent", {"n": 5})
    assert (run["source"], run["type"], run["extensions"]) == ("/src", "my.type", {"myext": "e"})
    assert (await sent(site, [EVENT], "on_cloud")).status == 202
    [run] = await seen(site)
    assert run["kind"] == "EventGridEvent"


async def test_dates_numbers_and_characters_are_not_changed(site: RunningApp) -> None:
    data = {
        "offset": "2026-01-02T03:04:05.1000+09:00",
        "big": 12345678901234567890,
        "text": "ü😀\u2028",
        "no": None,
        "deep": [{"at": "2026-07-02T03:04:05Z"}],
        "key 2026-01-02T03:04:05Z": 1.5,
    }
    assert (await sent(site, [{**EVENT, "data": data}])).status == 202
    [run] = await seen(site)
    assert run["data"] == data
    assert (await sent(site, [EVENT], "on_text")).status == 202
    [run] = await seen(site)
    assert json.loads(run["text"]) == EVENT
    assert (await sent(site, json.dumps(EVENT).encode("utf-8-sig"))).status == 202


async def test_the_log_says_when_the_trigger_fired(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await sent(site, EVENT)
    pattern = r"Executing 'Functions.on_event' \(Reason='EventGrid trigger fired at (\S+)', Id="
    [when] = [match[1] for message in caplog.messages if (match := re.match(pattern, message))]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}[+-]\d\d:\d\d", when)


async def test_expressions_know_data_and_nothing_else(site: RunningApp, caplog: pytest.LogCaptureFixture) -> None:
    table = site.app.accounts("AzureWebJobsStorage").table("People")
    await table.create()
    assert (await sent(site, {**EVENT, "data": {"Team": {"NAME": "red"}}}, "on_member")).status == 202
    assert await seen(site) == [{"function": "on_member", "rows": []}]
    assert (await sent(site, {**EVENT, "data": {"team": {}}}, "on_member")).status == 500
    assert "Error while accessing 'name': property doesn't exist." in caplog.text
    assert (await sent(site, EVENT, "on_subject")).status == 500
    assert "No value for named parameter 'subject'." in caplog.text


async def test_a_manual_run_takes_one_event(site: RunningApp) -> None:
    answer = await site.post("/admin/functions/on_event", json.dumps({"input": json.dumps(EVENT)}))
    assert answer.status == 202

    async def shown() -> list[dict[str, Any]]:
        return await seen(site)

    [run] = await eventually(shown, "the run")
    assert (run["kind"], run["data"]) == ("EventGridEvent", EVENT["data"])
    for text in ("nonsense", "[]", "5"):
        invoke = "/admin/azemu/functions/on_event/invoke"
        refused = await site.request("POST", invoke, json={"input": text})
        assert (refused.status, refused.json()["error"].startswith(f"Unable to parse {text} to")) == (400, True)


# Lifecycle ---------------------------------------------------------------------------------------------------


async def test_retries_run_within_the_request(site: RunningApp) -> None:
    answer = await sent(site, [{**EVENT, "subject": "fail"}], "on_retry")
    assert (answer.status, answer.text) == (500, "Exception while executing function: Functions.on_retry")
    runs = await seen(site)
    recorded = [line for line in TRIGGERS.received("eventgrid_retry") if line["event"] == "start"]
    assert [run["retry"] for run in runs] == [
        [line["retry"]["RetryCount"], line["retry"]["MaxRetryCount"]] for line in recorded
    ]
    # All attempts have one id, here as in the recording.
    assert len({run["invocation"] for run in runs}) == len({line["invocation"] for line in recorded}) == 1


async def test_a_draining_host_asks_event_grid_to_try_again(site: RunningApp) -> None:
    assert (await site.post("/admin/host/drain")).status == 202

    async def refused() -> bool:
        return (await sent(site, EVENT)).status == 503

    await eventually(refused, "the answer of a draining host")
    assert (await sent(site, EVENT, "none")).status == 404


# Recordings --------------------------------------------------------------------------------------------------

# The recorded functions have .NET types. EGEvent and EGCloud refuse the schema of the other, EGBatch takes lists;
# Python's types take both. Their requests are the same as those of EGJObject.
REQUESTS = [request for request in TRIGGERS.http("eventgrid_webhook") if "EGJObject" in request["path"]]
OPTIONS = [
    request
    for request in TRIGGERS.http("eventgrid_webhook")
    if request["method"] == "OPTIONS" or "functionName=None" in request["path"]
]


@pytest.fixture
async def recorded_site(tmp_path: Path) -> AsyncIterator[RunningApp]:
    app = APP.replace("def on_event(", "def EGJObject(").replace("def on_cloud(", "def EGCloud(")
    async with run_app(tmp_path, HTTP_APP, app) as site:
        yield site


async def test_recorded_requests_get_the_recorded_answers(recorded_site: RunningApp) -> None:
    for recorded in (*REQUESTS, *OPTIONS):
        body = recorded["body"]
        answer = await recorded_site.request(
            recorded["method"],
            recorded["path"],
            data=None if body is None else body,
            headers=recorded["headers"],
        )
        assert answer.status == recorded["status"], recorded["note"]
        # Where the recorded host had an unhandled exception, the text is the recorder's. For a missing header azemu
        # says what is missing.
        if "x-unhandled" not in recorded["answer_headers"] and answer.status != 400:
            assert answer.text == recorded["answer"], recorded["note"]
        origin = recorded["answer_headers"].get("Webhook-Allowed-Origin")
        assert answer.headers.get("WebHook-Allowed-Origin") == origin


async def test_recorded_events_reach_the_function_unchanged(recorded_site: RunningApp) -> None:
    """`eventgrid_webhook`, `eventgrid_zone`: values are what was sent. The recorded extension 3.3.0 rewrites dates."""
    requests = [*REQUESTS, *TRIGGERS.http("eventgrid_zone")]
    notifications = [
        request
        for request in requests
        if request["headers"].get("aeg-event-type") == "Notification" and request["status"] in (202, 500)
    ]
    await seen(recorded_site)
    for recorded in notifications:
        try:
            content = json.loads(recorded["body"] or "")
        except ValueError:
            continue
        events = content if isinstance(content, list) else [content]
        if not all(isinstance(event, dict) for event in events):
            continue
        await recorded_site.request("POST", recorded["path"], data=recorded["body"], headers=recorded["headers"])
        runs = [run for run in await seen(recorded_site) if "kind" in run]
        ordered = sorted(json.dumps(run["data"]) for run in runs)
        assert ordered == sorted(json.dumps(event.get("data")) for event in events), recorded["note"]


def test_recorded_binding_data() -> None:
    """Trigger metadata and the names of expressions: `data`, as it came."""
    starts = [line for line in TRIGGERS.received("eventgrid_webhook") if "e" in line.get("parameters", {})]
    compared = 0
    for line in starts:
        value = line["parameters"]["e"]
        if value["type"] != "JObject":
            continue
        made = trigger_event(value["json"])
        # The Functions host leaves out what is null.
        recorded = {name: data["json"] for name, data in line["bindingData"].items() if data["json"] is not None}
        assert {name: json.loads(datum.value) for name, datum in made.metadata.items() if datum.type == "json"} == {
            name: data for name, data in recorded.items() if not isinstance(data, str)
        }
        assert set(made.metadata) == set(recorded)
        assert set(made.binding_data) == {"data"}
        compared += 1
    assert compared > 10
