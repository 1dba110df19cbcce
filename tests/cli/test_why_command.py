"""`azemu why`, and the endpoints below /azemu/api/why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emulator.cli.command import main
from tests.processes import started
from tests.running_apps import DURABLE_APP, run_app, write_app
from tests.waiting import eventually

APP = """
@app.orchestration_trigger(context_name="context")
def order(context):
    return (yield context.wait_for_external_event("approval"))
"""


def test_the_running_host_explains_and_storage_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", DURABLE_APP, APP)

    def azemu(*words: str, code: int = 0) -> tuple[str, str]:
        assert main([*words, "--app", str(app)]) == code
        return capsys.readouterr()

    with started(app, "--storage", "builtin") as host:
        host.wait_for("For detailed output")
        azemu("durable", "start", "order", "--id", "o-1")
        line = len((app / "function_app.py").read_text().splitlines())
        text = f'"o-1" (order) waits for the event "approval" at function_app.py:{line}, which was never raised.'
        while True:
            found = json.loads(azemu("why", "o-1", "--json")[0])
            if found["cause"] == "event-not-raised":
                break
        assert found["version"] == 1
        assert [(cause["event"], cause["file"], cause["line"]) for cause in found["causes"]] == [
            ("approval", "function_app.py", line)
        ]
        advice = "  What to do: Raise it: azemu durable raise o-1 approval [DATA]"
        assert azemu("why", "o-1")[0].splitlines() == [text, advice]
        assert azemu("why")[0].splitlines() == [text, advice]
        azemu("durable", "start", "order", "--id", "o-2")
        azemu("durable", "raise", "o-2", "Aproval")
        while "aproval" not in azemu("why", "--problems")[0].lower():
            pass
        out, err = azemu("why", "--problems")
        assert out.startswith('"o-2" (order) waits for the event "approval"')
        assert (out.count("(order)"), err) == (1, "")
        out, err = azemu("why", "--top", "1")
        assert (out.count("(order)"), out.startswith('"o-2"')) == (1, True)
        assert err.startswith("There are more than 1. Show more with --top N")
        every = json.loads(azemu("why", "--top", "0", "--json")[0])
        assert [one["instanceId"] for one in every["instances"]] == ["o-2", "o-1"]
        assert every["hasMore"] is False
        assert 'does not exist in the task hub "TestHubName"; similar ones are o-1' in azemu("why", "o", code=1)[0]
    none = "None of the 2 instances that have not ended has a problem: they wait or are worked on.\n"
    assert azemu("why", "--problems", "--storage", "builtin")[0] == none
    out, err = azemu("why", "o-1", "--storage", "builtin")
    assert out.startswith('"o-1" (order) waits for an external event, which was never raised.')
    assert "The line of code is not known: it needs a running host of this app." in out
    assert err.startswith('Using the task hub "TestHubName" in built-in storage')


def test_a_hub_in_another_account_is_explained_and_its_histories_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write_app(tmp_path / "app", DURABLE_APP, APP)
    values = {"AzureWebJobsStorage": "builtin:default.db", "Orders": "builtin:orders.db"}
    (app / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))

    def azemu(*words: str, code: int = 0) -> tuple[str, str]:
        assert main([*words, "--app", str(app)]) == code
        return capsys.readouterr()

    azemu("durable", "start", "order", "--id", "o-1", "--connection", "Orders")
    out, err = azemu("why", "o-1", "--connection", "Orders")
    assert out.startswith('"o-1" (order) has work to do, but no host runs on the task hub "TestHubName".')
    assert "orders.db" in err
    assert "o-1" in azemu("durable", "list", "--connection", "Orders")[0]
    # It is there, but has no history before it runs.
    _, err = azemu("history", "export", "o-1", "--connection", "Orders", code=1)
    assert 'The instance "o-1" has no history yet' in err
    # The account of the app has no such hub.
    assert azemu("why", "o-1", code=1)[1].endswith("for another storage --storage STORAGE.\n")


async def test_the_api_explains_one_instance_and_all(tmp_path: Path) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, APP) as app:
        await app.post("/runtime/webhooks/durabletask/orchestrators/order/a%25b", b"")

        async def waits() -> bool:
            answer = await app.get("/azemu/api/why/a%25b")
            return bool(answer.json()["cause"] == "event-not-raised")

        await eventually(waits, "the wait")
        every = (await app.get("/azemu/api/why")).json()
        assert [one["instanceId"] for one in every["instances"]] == ["a%b"]
        assert every["hasMore"] is False
        streamed = await app.get("/azemu/api/why?stream=true")
        events = [line for line in streamed.text.splitlines() if line.startswith("data: ")]
        assert [json.loads(line.removeprefix("data: ")) for line in events] == every["instances"]
        assert (await app.get("/azemu/api/why?limit=x")).status == 400


async def test_an_app_without_durable_functions_has_nothing_to_explain(tmp_path: Path) -> None:
    async with run_app(write_app(tmp_path / "app")) as app:
        answer = await app.get("/azemu/api/why")
        assert (answer.status, answer.json()["error"]["message"]) == (404, "The app has no durable functions.")
