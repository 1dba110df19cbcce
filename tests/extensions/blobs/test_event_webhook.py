"""The webhook for blob events, over HTTP: the recordings `blob_eventgrid*`, situation 27."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.extensions.blobs.blob_apps import BlobApp, run_blob_app, trigger
from tests.recordings.triggers import TRIGGERS
from tests.waiting import eventually

WEBHOOK = "/runtime/webhooks/blobs"
NOTIFICATION = {"aeg-event-type": "Notification"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[BlobApp]:
    functions = (
        trigger("BEventGrid", "c-work/in/{name}", source="EventGrid"),
        trigger("scanned", "other/{name}"),
        trigger("disabled", "other/{name}", source="EventGrid"),
    )
    async with run_blob_app(tmp_path, *functions, settings={"AzureWebJobs.disabled.Disabled": "true"}) as app:
        yield app


async def post(app: BlobApp, body: Any, function: str = "Host.Functions.BEventGrid", **options: Any) -> int:
    data = body if isinstance(body, str) else json.dumps(body)
    options = {"headers": NOTIFICATION, **options}
    return (await app.running.post(f"{WEBHOOK}?functionName={function}", data=data, **options)).status


def event(path: str, **members: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:10000/devstoreaccount1/{path}"
    data = {"api": "PutBlob", "eTag": "0x8D", "blobType": "BlockBlob", "url": url}
    return {"id": "1", "eventType": "Microsoft.Storage.BlobCreated", "subject": "s", "data": data, **members}


async def test_answers_are_those_that_were_recorded(app: BlobApp) -> None:
    """Except for functions that the app does not have, which the extension accepts."""
    compared = 0
    for call in TRIGGERS.http("blob_eventgrid"):
        known = call["path"].endswith("=Host.Functions.BEventGrid")
        answer = await app.running.request(call["method"], call["path"], headers=call["headers"], data=call["body"])
        assert answer.status == (call["status"] if known else 404), call["note"]
        if call["status"] == 200:
            assert answer.text == (call["answer"] or "")
            if "Content-Type" in call["answer_headers"]:
                assert answer.headers["Content-Type"] == call["answer_headers"]["Content-Type"]
            origin = call["answer_headers"].get("Webhook-Allowed-Origin")
            assert answer.headers.get("Webhook-Allowed-Origin") == origin
        compared += 1
    assert compared > 18


async def test_each_event_runs_the_function_and_uploading_does_so_locally(app: BlobApp, tmp_path: Path) -> None:
    await app.upload("c-work/in/a.txt", "one")
    # Azure's storage would tell Event Grid; local storage is watched instead.
    [first] = await app.wait_for_runs(1)
    assert (first["name"], bytes.fromhex(first["content"])) == ("c-work/in/a.txt", b"one")
    assert await post(app, [event("c-work/in/a.txt")]) == 202
    await app.wait_for_runs(2)
    # The same event, two in one body, the other schema, another event type.
    assert await post(app, [event("c-work/in/a.txt")]) == 202
    await app.wait_for_runs(3)
    assert await post(app, [event("c-work/in/a.txt"), event("c-work/in/a.txt")]) == 202
    await app.wait_for_runs(5)
    cloud_event = {
        "specversion": "1.0",
        "type": "t",
        "source": "/s",
        "id": "2",
        "data": event("c-work/in/a.txt")["data"],
    }
    assert await post(app, cloud_event) == 202
    await app.wait_for_runs(6)
    assert await post(app, event("c-work/in/a.txt", eventType="Microsoft.Storage.BlobDeleted")) == 202
    await app.wait_for_runs(7)


async def test_an_event_may_be_of_any_blob_that_exists(app: BlobApp, caplog: pytest.LogCaptureFixture) -> None:
    """The recordings `blob_eventgrid_paths` and `blob_eventgrid_subject`: only data.url counts."""
    await app.upload("c-work/out/a.txt", "outside of the pattern")
    await app.upload("call/in/ü b%2F.txt", "another container")
    assert await post(app, [event("c-work/in/gone.txt"), event("nowhere/x")]) == 202
    assert await post(app, [event("c-work/out/a.txt", subject="/blobServices/default/containers/x/blobs/y")]) == 202
    assert await post(app, [event("call/in/%C3%BC%20b%252F.txt")]) == 202
    lines = await app.wait_for_runs(2)
    assert sorted(line["name"] for line in lines) == ["c-work/out/a.txt", "call/in/ü b%2F.txt"]
    assert "New blob detected(EventGrid): c-work/out/a.txt" in caplog.text


@pytest.mark.parametrize("function", ["", "BEventGrid", "Host.Functions.beventgrid", "Host.Functions.disabled"])
async def test_unknown_functions_are_refused_with_the_names_that_are_known(app: BlobApp, function: str) -> None:
    await app.upload("c-work/out/a.txt")
    answer = await app.running.post(
        f"{WEBHOOK}?functionName={function}", data=json.dumps([event("c-work/out/a.txt")]), headers=NOTIFICATION
    )
    assert answer.status == 404
    assert "This app has: Host.Functions.BEventGrid, Host.Functions.scanned." in answer.text
    # The host goes on.
    assert await post(app, [event("c-work/out/a.txt")]) == 202
    await app.wait_for_runs(1)


async def test_a_body_is_taken_completely_or_not_at_all(app: BlobApp) -> None:
    await app.upload("c-work/out/a.txt")
    for broken in (1, {}, {"data": None}, {"data": {"url": 1}}, {"data": {"url": "http://127.0.0.1/account"}}):
        assert await post(app, [event("c-work/out/a.txt"), broken]) == 500
    assert await post(app, [event("c-work/out/a.txt")]) == 202
    await app.wait_for_runs(1)
    assert len(app.received) == 1


async def test_the_size_of_a_body_is_limited(app: BlobApp) -> None:
    await app.upload("c-work/in/a.txt")
    await app.wait_for_runs(1)
    padded = json.dumps([event("c-work/in/a.txt", padding="x" * 2**21)]).encode()
    path = f"{WEBHOOK}?functionName=Host.Functions.BEventGrid"
    assert (await app.running.post(path, data=io.BytesIO(padded), headers=NOTIFICATION)).status == 202
    await app.wait_for_runs(2)
    too_large = io.BytesIO(bytes(2**24 + 1))
    assert (await app.running.post(path, data=too_large, headers=NOTIFICATION, expect100=True)).status == 413


async def test_the_start_says_where_events_are_posted(app: BlobApp, caplog: pytest.LogCaptureFixture) -> None:
    url = f"{app.running.url}{WEBHOOK}?functionName=Host.Functions.BEventGrid"
    text = f"Function 'BEventGrid' takes blob events at {url}, and is called for new blobs of the local storage"
    assert any(text in record.getMessage() for record in caplog.get_records("setup"))


async def test_a_blob_that_fails_after_an_event_is_poisoned(app: BlobApp) -> None:
    await app.upload("c-work/out/bad", "fail")
    assert await post(app, [event("c-work/out/bad")]) == 202
    await eventually(lambda: app.messages("webjobs-blobtrigger-poison"), "a poison message")
    assert len(app.received) == 5
