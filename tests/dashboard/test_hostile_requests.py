"""Requests that are malformed or hostile: each gets a status and a reason, and shows nothing that it must not."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from emulator.dashboard.api import storage_blobs
from emulator.dashboard.api.settings import is_secret
from emulator.dashboard.parts import MAX_STREAMS
from emulator.storage.port import Operation, Row, TableOperation
from emulator.testing import AppUnderTest
from tests.running_apps import DURABLE_APP, run_app, write_app
from tests.storage_calls import StorageCalls

FLOW = """
@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.wait_for_external_event("go"))
"""
STORED = (
    *("storage/queues", "storage/queues/orders/messages", "storage/tables/rows1/rows"),
    *("storage/containers/files/blobs", "storage/containers/files/blob?name=a"),
    *("storage/containers/files/download?name=a", "instances", "instances/one", "instances/one/timeline"),
    *("instances/one/history", "instances/one/rows", "instances/one/source", "entities", "entity?id=@a@b"),
)


NUMBERS = ["-1", "x", "٣", "1e3", "0" * 5000 + "7" * 30, "9" * 5000, "000000000000" + "9" * 20]
NUMBERED = [
    "storage/tables/dashhubinstances/rows?limit=",
    "logs?last=",
    "instances?skip=",
    "instances-changes?version=",
    "instances/one/history?from=",
    "why?limit=",
]


async def test_wrong_numbers_are_refused(app: AppUnderTest) -> None:
    for path in NUMBERED:
        for number in NUMBERS:
            answer = await app.get(f"/azemu/api/{path}{number}")
            assert answer.status == 400, (path, number[:30])
            assert "must be a number from 0 to" in answer.json()["error"]["message"]
    assert (await app.get("/azemu/api/instances?limit=" + "0" * 5000 + "5")).status == 200


async def test_no_setting_is_shown_by_messages_about_connections(app: AppUnderTest) -> None:
    for name in ("%API_SECRET%", "API_SECRET", "PATH", "GREETING"):
        for path in ("storage/queues", "storage/tables", "storage/containers", "storage/queues/orders/messages"):
            answer = await app.get(f"/azemu/api/{path}", params={"connection": name})
            assert (answer.status, "s3cr3t" in answer.text) == (404, False)
    assert (await app.get("/azemu/api/storage/queues", params={"connection": "azurewebjobsstorage"})).status == 200


async def test_half_surrogate_pairs_are_answered(app: AppUnderTest) -> None:
    answer = await app.post("/azemu/api/storage/queues/orders-poison/requeue", data='{"id": "\\ud800"}')
    assert answer.status == 404


async def test_too_many_event_streams_are_refused_and_the_app_answers(tmp_path: Path) -> None:
    async with (
        run_app(write_app(tmp_path)) as app,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client,
    ):
        url = f"{app.url}/azemu/api/changes"
        streams = [await client.get(url) for _ in range(MAX_STREAMS)]
        assert {stream.status for stream in streams} == {200}
        for path in ("changes", "logs?follow=true", "logs"):
            refused = await app.get(f"/azemu/api/{path}")
            assert (refused.status, "100 event streams are open" in refused.text) == (503, True)
        assert (await app.get("/api/hello")).status == 200
        streams[0].close()
        while (freed := await client.get(url)).status == 503:
            freed.release()
        assert freed.status == 200
        for stream in (freed, *streams):
            stream.close()


async def test_storage_that_is_down_is_the_reason_of_503(tmp_path: Path) -> None:
    calls = StorageCalls()
    async with run_app(write_app(tmp_path, DURABLE_APP, FLOW), around_account=calls.around) as app:
        stream = app.session.get(f"{app.url}/azemu/api/instances-changes?version=7")
        search = f"{app.url}/azemu/api/instances-search?payload=x"
        async with stream as open_stream:
            assert await open_stream.content.readline() == b": open\n"
            calls.cut_off = True
            for path in STORED:
                answer = await app.get(f"/azemu/api/{path}")
                assert (answer.status, "error" in answer.json()) == (503, True), path
            # The status of a stream has been sent, so its last event has the reason.
            for text in (await open_stream.text(), await (await app.session.get(search)).text()):
                *_, kind, data, _, _ = text.split("\n")
                assert (kind, '"status": 503' in data) == ("event: error", True)
            assert (await app.get("/azemu/api/home")).status == 200
        calls.cut_off = False


async def test_an_instance_with_a_broken_history_still_shows_its_rows(tmp_path: Path) -> None:
    host = {"extensions": {"durableTask": {"hubName": "Broken"}}}
    async with run_app(write_app(tmp_path, DURABLE_APP, FLOW, host=host)) as app:
        account = app.app.accounts("AzureWebJobsStorage")
        status, event = Row("one", "", {"RuntimeStatus": "Nope"}), Row("one", "0" * 16, {"EventType": "Nope"})
        for table, row in (("BrokenInstances", status), ("BrokenHistory", event)):
            await account.table(table).submit([TableOperation(Operation.INSERT, row)])
        instance = (await app.get("/azemu/api/instances/one")).json()
        assert (instance["status"], "unknown EventType 'Nope'" in instance["historyError"]) == ("Unknown", True)
        rows = (await app.get("/azemu/api/instances/one/rows")).json()
        assert [len(rows["history"]), rows["status"] is not None] == [1, True]
        refused = await app.get("/azemu/api/instances/one/timeline")
        assert (refused.status, "unknown EventType" in refused.text) == (500, True)


async def test_a_download_of_a_blob_that_changes_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storage_blobs, "_DOWNLOAD_BYTES", 1_000_000)
    async with run_app(write_app(tmp_path, DURABLE_APP, FLOW)) as app:
        container = app.app.accounts("AzureWebJobsStorage").container("files")
        await container.create()
        await container.write("big", b"x" * 20_000_000)
        async with app.session.get(f"{app.url}/azemu/api/storage/containers/files/download?name=big") as response:
            assert response.status == 200
            await container.write("big", b"y")
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
    assert "The download of the blob files/big has ended early" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASS", "hunter2"),
        ("PRIVATE_PEM", "x"),
        ("SLACK_WEBHOOK", "https://hooks.slack.example/T0/B0/x"),
        ("SIGNER", "-----BEGIN PRIVATE KEY-----"),
        ("USER", "eyJhbGciOiJIUzI1NiJ9.e30.x"),
        ("GH", "ghp_0123456789abcdef"),
        ("CALLBACK", "https://app.example/api/f?code=abc"),
        ("DATABASE", "postgres://user:pw@db/shop"),
    ],
)
def test_secrets_are_recognised(name: str, value: str) -> None:
    assert is_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AzureWebJobsStorage", "UseDevelopmentStorage=true"),
        ("WEBSITE_AUTH_ENABLED", "False"),
        ("TIME_ZONE", "Europe/Berlin"),
        ("TASK_URL", "https://app.example/task-one?page=2"),
    ],
)
def test_other_values_are_shown(name: str, value: str) -> None:
    assert not is_secret(name, value)
