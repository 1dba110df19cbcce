"""Export and import of histories: another hub continues what was exported, and nothing is replaced."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from emulator.durable.core.events import OrchestratorCompleted
from emulator.histories.document import UnreadableHistory, read_document
from emulator.testing import AppUnderTest, replay, start
from tests.histories.test_fork import APP, IMPORTS
from tests.running_apps import DURABLE_APP, write_app
from tests.waiting import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    large = """
@app.orchestration_trigger(context_name="context")
def large(context):
    text = yield context.call_activity("repeat", context.get_input())
    return len(text)

@app.activity_trigger(input_name="times")
def repeat(times: int) -> str:
    return "x" * times
"""
    return write_app(tmp_path / "shop", DURABLE_APP, IMPORTS + APP + large)


@asynccontextmanager
async def two_apps(folder: Path) -> AsyncIterator[tuple[AppUnderTest, AppUnderTest]]:
    """The app on two stores that know nothing of each other."""
    async with start(folder) as first, start(folder) as second:
        yield first, second


async def export(app: AppUnderTest, instance: str, status: int = 200) -> Any:
    answer = await app.get(f"/azemu/api/instances/{instance}/export")
    assert answer.status == status, answer.text
    return answer.json()


async def import_file(app: AppUnderTest, file: Any, status: int = 201, **members: Any) -> Any:
    answer = await app.post("/azemu/api/imports", json={"file": file, **members})
    assert answer.status == status, answer.text
    return answer.json()


async def test_an_instance_that_has_ended_is_stored_as_it_is(folder: Path) -> None:
    async with two_apps(folder) as (first, second):
        await first.client.start_new("large", instance_id="big", client_input=100_000)
        await first.wait("big")
        file = await export(first, "big")
        assert await import_file(second, file) == {
            "instanceId": "big",
            "instances": [{"instanceId": "big", "name": "large", "continues": False}],
        }
        status = await second.client.get_status("big")
        assert (status.output, status.input_, status.runtime_status.name) == (100_000, "100000", "Completed")
        assert await second.history("big") == await first.history("big")
        refused = await import_file(second, file, 409)
        assert refused["error"]["message"].startswith('There is an instance "big" already, and it is left as it is.')
        await import_file(second, file, id="copy")
        assert (await second.wait("copy")).output == 100_000


async def test_the_file_is_read_by_replay(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    async with start(folder) as app:
        await app.client.start_new("large", instance_id="big", client_input=100_000)
        await app.wait("big")
        path.write_text(json.dumps(await export(app, "big")))
    assert replay(folder, path) == 2
    assert replay(folder, path, instance_id="big") == 2
    with pytest.raises(UnreadableHistory, match='no instance "other", only: big'):
        replay(folder, path, instance_id="other")


@pytest.mark.parametrize("new_id", [None, "new"])
async def test_a_running_parent_and_its_child_continue_together(folder: Path, new_id: str | None) -> None:
    async with two_apps(folder) as (first, second):
        await first.client.start_new("parent", instance_id="p-1")
        await first.run_until_idle(limit=timedelta(minutes=1))
        file = await export(first, "p-1")
        child = file["instances"][1]["instanceId"]
        created = await import_file(second, file, id=new_id)
        [parent, imported] = created["instances"]
        assert (parent["instanceId"], parent["continues"], imported["continues"]) == (new_id or "p-1", True, True)
        assert (imported["instanceId"] == child) is (new_id is None)
        await second.client.raise_event(imported["instanceId"], "approve", 3)
        assert (await second.wait(parent["instanceId"])).output == {"child": ["pear", 4, 3, "paid 4"]}
        assert sum(line.message.startswith("pricing") for line in second.logs) == 0
        assert (await first.client.get_status("p-1")).runtime_status.name == "Running"


async def test_a_timer_fires_at_its_recorded_time(folder: Path) -> None:
    async with start(folder) as app:
        await app.client.start_new("order", instance_id="o-1", client_input="apple")
        await app.advance(days=1)
        file = await export(app, "o-1")
        await import_file(app, file, id="o-2")
        begin = app.now
        assert (await app.wait("o-2")).output == "expired"
        assert timedelta(days=1, hours=23) < app.now - begin <= timedelta(days=2)


async def test_open_activities_run_again(folder: Path) -> None:
    async with two_apps(folder) as (first, second):
        await first.client.start_new("fan", instance_id="f-1")
        await first.wait("f-1")
        file = await export(first, "f-1")
        # As if it was exported after the first result had arrived: an episode that is not complete.
        history = file["instances"][0]["history"]
        file["instances"][0]["history"] = history[: [event["EventType"] for event in history].index(13) + 2]
        await import_file(second, file)
        assert (await second.wait("f-1")).output == 6
        assert sum(line.message.startswith("pricing") for line in second.logs) in (2, 3)


async def test_what_cannot_be_exported_is_named(folder: Path) -> None:
    async with start(folder) as app:
        assert (await export(app, "missing", 404))["error"]["message"] == (
            'There is no instance "missing" in this task hub.'
        )
        assert "is an entity" in (await export(app, "%40counter%40c", 400))["error"]["message"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([], "not a history file of azemu"),
        ({"format": "azemu-history", "version": 2}, "has the version 2. This azemu reads version 1."),
        ({"format": "azemu-history", "version": 1, "instances": []}, "has no instances"),
        ({"format": "azemu-history", "version": 1, "instances": [{}]}, 'an object with an "instanceId"'),
        ({"format": "azemu-history", "version": 1, "instances": [{"instanceId": "i"}]}, 'has no list "history"'),
        (
            {"format": "azemu-history", "version": 1, "instances": [{"instanceId": "i", "history": [{"a": 1}]}]},
            "cannot be read",
        ),
    ],
)
async def test_damaged_files_are_refused(folder: Path, content: Any, text: str) -> None:
    with pytest.raises(UnreadableHistory, match=text):
        read_document(content)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("child twice", "2 times. Keep one of them."),
        ("reversed", "so it is not complete"),
        ("too large", "PropertyValueTooLarge"),
    ],
)
async def test_a_refused_file_leaves_nothing_behind(folder: Path, name: str, text: str) -> None:
    async with two_apps(folder) as (first, second):
        await first.client.start_new("parent", instance_id="p")
        await first.settle()
        file = await export(first, "p")
        parent, child = file["instances"]
        match name:
            case "child twice":
                file["instances"].append(child)
            case "reversed":
                parent["history"].reverse()
            case "too large":
                next(event for event in parent["history"] if "Version" in event)["Version"] = "v" * 40_000
        answer = await import_file(second, file, 400)
        assert text in answer["error"]["message"]
        assert (await second.get("/azemu/api/instances")).json()["total"] == 0
        assert await second.rows("TestHubNameHistory") == []


@pytest.mark.soak
async def test_a_fork_continues_on_azurite(folder: Path, azurite: str) -> None:
    settings = {"AzureWebJobsStorage": azurite, "AzureFunctionsJobHost__extensions__durableTask__hubName": "ForkHub"}
    async with start(folder, storage=None, clock="real", settings=settings) as app:
        await app.client.start_new("large", instance_id="big", client_input=100_000)
        assert (await app.wait("big")).output == 100_000
        await app.client.start_new("order", instance_id="o-1", client_input="apple")
        await eventually_waiting(app, "o-1")
        at = len(await app.history("o-1"))
        for instance, members in (("o-1", {"at": at, "id": "o-2"}), ("big", {"at": 0, "input": 7, "id": "small"})):
            answer = await app.post(f"/azemu/api/instances/{instance}/forks", json=members)
            assert answer.status == 201, answer.text
        file = await export(app, "big")
        await import_file(app, file, id="copy")
        assert (await app.wait("copy")).output == 100_000
        await app.client.raise_event("o-2", "approve", 1)
        assert (await app.wait("o-2")).output == ["apple", 5, 1, "paid 5"]
        assert (await app.wait("small")).output == 7
        assert (await app.client.get_status("o-1")).runtime_status.name == "Running"


async def eventually_waiting(app: AppUnderTest, instance: str) -> None:
    async def waits() -> bool:
        return sum(isinstance(event, OrchestratorCompleted) for event in await app.history(instance)) == 2

    await eventually(waits, "the second episode")
