"""Permissions of the files that azemu writes into an app's folder."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from emulator.private_files import make_private_folder
from emulator.storage.file_lock import try_lock
from tests.processes import get, started
from tests.running_apps import DURABLE_APP, write_app
from tests.waiting import eventually_sync

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of files")

CODE = """
@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return await client.start_new("flow")

@app.orchestration_trigger(context_name="context")
def flow(context):
    return "done"
    yield

@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *", run_on_startup=True)
def nightly(timer: func.TimerRequest) -> None: ...

@app.queue_trigger(arg_name="message", queue_name="jobs", connection="AzureWebJobsStorage")
def job(message: func.QueueMessage) -> None: ...
"""


def readable_by_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


def test_folder_of_an_app_that_was_renamed_is_not_created_again(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="renamed-app"):
        make_private_folder(tmp_path / "renamed-app" / ".azemu" / "hosts")
    with (
        pytest.raises(FileNotFoundError, match="renamed-app"),
        try_lock(tmp_path / "renamed-app" / ".azemu" / "a.lock"),
    ):
        pass
    assert [*tmp_path.iterdir()] == []


def test_files_of_a_host_are_private(tmp_path: Path) -> None:
    app = write_app(tmp_path, DURABLE_APP, CODE)
    # As an earlier version has created it.
    (app / ".azemu").mkdir(mode=0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    before = os.umask(0o022)
    try:
        with started(app, "--storage", "builtin", "--port", port) as azemu:
            get(azemu.url())
            hosts = app / ".azemu" / "hosts"
            eventually_sync(lambda: [*hosts.rglob("*.ledger")] and [*hosts.glob("*.leases")], "journals")
            assert readable_by_others(app / ".azemu") == []
            written = {path.suffix for path in (app / ".azemu").rglob("*")}
            assert {".db", ".db-wal", ".ledger", ".leases", ".lock", ".json", ".host", ".supervisor"} <= written
    finally:
        os.umask(before)
    assert (app / "host.json").stat().st_mode & 0o777 == 0o644, "files of the app keep their modes"


def test_only_azemus_folders_become_private(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    with try_lock(shared / "new" / "one.lock"):
        assert readable_by_others(shared) == [str(shared)]
