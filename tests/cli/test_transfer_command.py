"""The command `azemu storage` on built-in stores in files."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin
from emulator.storage.port import StorageUnreachable
from emulator.storage.transfer.types import Progress
from tests.running_apps import DURABLE_APP, run_app, write_app
from tests.storage.bench import bodies, collected, insert, row
from tests.waiting import eventually


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "local.settings.json").write_text(
        '{"IsEncrypted": false, "Values": {"AzureWebJobsStorage": "builtin:here.db", "Other": "builtin:there.db"}}'
    )
    return tmp_path


@pytest.fixture(autouse=True)
def in_app(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)
    monkeypatch.chdir(app)


def fill(file: Path) -> None:
    async def work() -> None:
        async with open_builtin(file, SystemClock()) as account:
            for hub in ("One", "Two"):
                for name in (f"{hub.lower()}-control-00", f"{hub.lower()}-workitems"):
                    await account.queue(name).create()
                    await account.queue(name).put(name)
                table = account.table(f"{hub}Instances")
                await table.create()
                await table.submit([insert(row("i1", "", Name=hub))])

    asyncio.run(work())


def names(file: Path) -> tuple[list[str], list[str]]:
    async def work() -> tuple[list[str], list[str]]:
        async with open_builtin(file, SystemClock()) as account:
            return await collected(account.queues()), await collected(account.tables())

    return asyncio.run(work())


def test_hub_is_exported_and_imported(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(app / "here.db")
    assert main(["storage", "export", "hub.jsonl", "--hub", "One"]) == 0
    assert (
        "Exported 3 queues, tables and containers to hub.jsonl: 2 messages, 1 rows, 0 blobs." in capsys.readouterr().out
    )
    assert main(["storage", "import", "hub.jsonl", "--to", "Other"]) == 0
    assert names(app / "there.db") == (["one-control-00", "one-workitems"], ["OneInstances"])


def test_everything_is_copied_from_store_to_store(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(app / "here.db")
    assert main(["storage", "copy", "--from", "AzureWebJobsStorage", "--to", "builtin:copy.db"]) == 0
    assert "Copied 6" in capsys.readouterr().out
    assert names(app / "copy.db") == names(app / "here.db")
    assert list((app / ".azemu").glob("copy-*")) == []

    async def work() -> list[str]:
        async with open_builtin(app / "copy.db", SystemClock()) as account:
            return await bodies(account.queue("two-workitems"))

    assert asyncio.run(work()) == ["two-workitems"]


def test_interrupted_copy_is_repeated_without_force(
    app: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(app / "here.db")
    copy = ["storage", "copy", "--from", "AzureWebJobsStorage", "--to", "Other"]

    def interrupt(self: object, progress: Progress) -> None:
        if str(progress.item) == "queue one-control-00" and progress.total > 6:  # Bytes of the file: the import.
            raise StorageUnreachable("The connection was lost.")

    with monkeypatch.context() as patch:
        patch.setattr("emulator.cli.transferring._TransferProgress.show", interrupt)
        assert main(copy) == 1
    assert "OneInstances" in names(app / "there.db")[1]
    assert list((app / ".azemu").glob("copy-*")) == []
    capsys.readouterr()
    assert main(copy) == 0
    assert "Copied 6 queues, tables and containers: 4 messages, 2 rows" in capsys.readouterr().out
    assert names(app / "there.db") == names(app / "here.db")


def test_file_that_an_earlier_version_left_of_a_copy_is_replaced(app: Path) -> None:
    fill(app / "here.db")
    copy = ["storage", "copy", "--from", "AzureWebJobsStorage", "--to", "Other"]
    left = app / ".azemu" / f"{copy_id(app)}.jsonl"
    left.parent.mkdir(exist_ok=True)
    left.write_text("not an export")
    assert main(copy) == 0
    assert not left.exists()


def copy_id(app: Path) -> str:
    """The name that all versions of azemu give to the file of a copy from here.db to there.db."""
    what = f"built-in storage in {app / 'here.db'}\nbuilt-in storage in {app / 'there.db'}\n"
    return f"copy-{hashlib.sha256(what.encode()).hexdigest()[:12]}"


def test_a_second_copy_is_refused_without_force(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(app / "here.db")
    copy = ["storage", "copy", "--from", "AzureWebJobsStorage", "--to", "Other"]
    assert main(copy) == 0
    assert main(copy) == 1
    assert "is not empty" in capsys.readouterr().err
    assert list((app / ".azemu").glob("copy-*")) == []
    assert main([*copy, "--force"]) == 0


async def test_task_hub_of_a_running_host_is_not_overwritten(
    app: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    host = write_app(
        tmp_path_factory.mktemp("host"),
        DURABLE_APP,
        """
        @app.orchestration_trigger(context_name="context")
        def flow(context):
            return "done"
            yield
        """,
    )
    save = ["storage", "export", "hub.jsonl", "--from", "builtin:there.db", "--hub", "TestHubName"]
    load = ["storage", "import", "hub.jsonl", "--to", "builtin:there.db", "--force"]
    copy = ["storage", "copy", "--from", "builtin:there.db", "--to", "builtin:there.db", "--force"]
    async with run_app(host, storage=f"builtin:{app / 'there.db'}") as running:
        # An instance runs only when the host has its leases.
        url = (await running.post("/runtime/webhooks/durabletask/orchestrators/flow")).json()["statusQueryGetUri"]

        async def has_run() -> bool | None:
            async with running.session.get(url) as answer:
                return (await answer.json())["runtimeStatus"] == "Completed" or None

        await eventually(has_run, "end of the instance")
        assert await asyncio.to_thread(main, save) == 0
        for command in (load, copy):
            capsys.readouterr()
            assert await asyncio.to_thread(main, command) == 1
            message = capsys.readouterr().err
            assert 'The task hub "TestHubName" in ' in message
            assert "is used by the running host" in message
    # A host that stops in order releases its leases.
    assert await asyncio.to_thread(main, load) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["export", "x.jsonl", "--from", "Nowhere"], "AzureWebJobsNowhere"),
        (["import", "absent.jsonl"], "absent.jsonl"),
        (["export", "x.jsonl", "--hub", "NoSuchHub"], "NoSuchHub"),
    ],
)
def test_missing_things_are_named(app: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    fill(app / "here.db")
    assert main(["storage", *words]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["export", "kept.jsonl", "--force", "--from", "builtin:missing.db"],
        ["copy", "--from", "builtin:missing.db", "--to", "Other"],
    ],
)
def test_missing_source_store_is_an_error_and_is_not_created(
    app: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = app / "kept.jsonl"
    kept.write_text("the last good export")
    assert main(["storage", *words]) == 1
    assert f"There is no built-in store at {app / 'missing.db'}. Check --from" in capsys.readouterr().err
    assert kept.read_text() == "the last good export"
    assert not (app / "missing.db").exists()
