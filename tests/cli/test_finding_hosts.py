"""How commands find the running host of a folder."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.process.host_record import recorded_hosts
from tests.processes import started
from tests.running_apps import HTTP_APP, write_app

APP = """
import os

@app.route(route="where", auth_level="anonymous")
def where(req: func.HttpRequest):
    return os.environ["WEBSITE_HOSTNAME"]
"""


def test_a_host_is_found_by_its_folder_until_it_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    (app / "below").mkdir()
    other = write_app(tmp_path / "other", HTTP_APP, APP)

    def where(folder: Path) -> tuple[int, str, str]:
        code = main(["invoke", "where", "--app", str(folder)])
        return (code, *capsys.readouterr())

    with started(app, "--no-reload") as first:
        port = first.wait_for(r"http://localhost:(\d+)/")[1]
        [record] = (app / ".azemu" / "ports").glob("*.json")
        if sys.platform != "win32":
            assert record.stat().st_mode & 0o777 == 0o600
        assert where(app / "below") == (0, f"localhost:{port}", "")

        # The other app was killed, and now this host has its port.
        (other / ".azemu" / "ports").mkdir(parents=True)
        (other / ".azemu" / "ports" / record.name).write_bytes(record.read_bytes())
        settings = {"IsEncrypted": False, "Values": {}, "Host": {"LocalHttpPort": int(port)}}
        (other / "local.settings.json").write_text(json.dumps(settings))
        code, out, err = where(other)
        assert (code, out) == (1, "")
        assert err.startswith(f"No host of the app in {other} is running.")

        # A folder that cannot be written has no records.
        record.unlink()
        (app / "local.settings.json").write_text(json.dumps(settings))
        assert where(app) == (0, f"localhost:{port}", "")
        first.interrupt()
        first.wait()
    assert list((app / ".azemu" / "ports").glob("*.json")) == []
    assert where(app)[0] == 1


@pytest.mark.soak
def test_of_two_hosts_the_newest_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    # With and without a supervisor, which writes the record in another process.
    with started(app) as first, started(app, "--no-reload", "--dashboard-path", "none") as second:
        ports = [host.wait_for(r"http://localhost:(\d+)/")[1] for host in (first, second)]
        assert main(["invoke", "where", "--app", str(app)]) == 0
        out, err = capsys.readouterr()
        assert out == f"localhost:{ports[1]}"
        assert f"at the ports {ports[1]}, {ports[0]}. Using port {ports[1]}, which was started last" in err
        for command in ("open", "logs"):
            assert main([command, "--app", str(app)]) == 1
            assert f"The host at port {ports[1]} was started with --dashboard-path none" in capsys.readouterr().err
        second.interrupt()
        second.wait()
        assert main(["invoke", "where", "--app", str(app)]) == 0
        assert capsys.readouterr() == (f"localhost:{ports[0]}", "")
        first.interrupt()
        first.wait()
    assert list((app / ".azemu" / "ports").glob("*.json")) == []


def test_a_command_outside_of_an_app_asks_for_the_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["invoke", "where", "--app", str(tmp_path)]) == 1
    assert "To use a running host from any folder, name its port with --port N." in capsys.readouterr().err


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100_000,
        b'HTTP/1.1 200 OK\r\n\r\n{"state": 5}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    ],
    ids=["no HTTP", "nested", "other JSON", "cut"],
)
def test_a_server_that_is_not_azemu_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], response: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(response)

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        assert main(["why", "--app", str(write_app(tmp_path)), "--port", str(port)]) == 1
        thread.join()
    assert f"localhost:{port}" in capsys.readouterr().err


RECORD = {"port": 1, "address": "127.0.0.1", "startedAt": "2026-11-30T00:00:00+00:00", "dashboard": "azemu"}


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[1]",
        json.dumps({**RECORD, "port": float("inf")}),
        json.dumps({**RECORD, "port": 10**30}),
        json.dumps({**RECORD, "port": True}),
        json.dumps({**RECORD, "address": "user:secret@127.0.0.1"}),
        json.dumps({**RECORD, "address": "a b\r\nX: y"}),
        json.dumps({**RECORD, "address": 5}),
        json.dumps({**RECORD, "dashboard": {"a": 1}}),
        json.dumps({**RECORD, "dashboard": "../admin"}),
        None,
    ],
    ids=lambda content: "pipe" if content is None else str(content)[:60],
)
def test_a_record_that_no_host_has_written_is_no_host(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    app = write_app(tmp_path, HTTP_APP, APP, settings={})
    record = app / ".azemu" / "ports" / "1.json"
    record.parent.mkdir(parents=True)
    if content is not None:
        record.write_text(content)
    elif sys.platform == "win32":
        pytest.skip("Windows has no named pipes in folders")
    else:
        os.mkfifo(record)
    assert recorded_hosts(app) == []
    assert main(["logs", "--app", str(app)]) == 1
    assert capsys.readouterr().err.startswith(f"No host of the app in {app} is running.")
