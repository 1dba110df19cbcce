"""Commands whose port is used by another program, which may even imitate a part of azemu."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from emulator.cli import host_client
from emulator.cli.command import main
from emulator.cli.host_client import HostClient, HostNotRunning
from tests.processes import started
from tests.running_apps import HTTP_APP, write_app

STATUS = {"id": "some-app", "state": "Running", "versionDetails": "4.1048.0 (azemu 1.0, Python 3.11)"}
APP = """
@app.route(route="hello", auth_level="function")
def hello(req: func.HttpRequest):
    return "hello"
"""


@dataclass
class Foreign:
    """Another program at a port. `status`: its answer to a question for the host's status; None: as to all others."""

    port: int
    answer: tuple[int, str, bytes] = (200, "text/html", b"<h1>It works!</h1>")
    status: Mapping[str, object] | None = None
    keys: list[str] = field(default_factory=list)


@contextmanager
def foreign_server() -> Iterator[Foreign]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("x-functions-key"):
                foreign.keys.append(self.headers["x-functions-key"])
            code, kind, body = foreign.answer
            if foreign.status is not None and self.path.startswith("/admin/host/status"):
                code, kind, body = 200, "application/json", json.dumps(foreign.status).encode()
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if code == 302:
                self.send_header("Location", "http://localhost:1/")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("localhost", 0), Handler) as server:
        foreign = Foreign(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield foreign
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Foreign]:
    with foreign_server() as foreign:
        yield foreign


COMMANDS = (
    ("invoke", "hello"),
    ("send", "queue", "orders", "text"),
    ("send", "eventgrid", "hello", "{}"),
    ("durable", "list"),
    ("durable", "list", "--json"),
    ("durable", "show", "a"),
    ("durable", "start", "a"),
    ("durable", "start", "a", "--wait"),
    ("durable", "restart", "a"),
    ("durable", "purge", "a", "--yes"),
    ("durable", "purge", "--status", "Completed", "--yes"),
    ("durable", "entities"),
    ("history", "export", "a"),
    ("history", "fork", "a"),
    ("history", "fork", "a", "--at", "1"),
    ("history", "replay", "a"),
    ("why",),
    ("why", "a"),
    ("logs",),
    ("logs", "--follow"),
    ("report",),
    ("keys", "list"),
    ("keys", "show", "default"),
    ("keys", "set", "mine"),
)
ANSWERS = {
    "page": (200, "text/html", b"<h1>It works!</h1>"),
    "object": (200, "application/json", b"{}"),
    "array": (200, "application/json", b'[1, {"name": 5}]'),
    "other types": (200, "application/json", b'{"instances": 1, "keys": null, "id": 5, "error": []}'),
    "nested": (200, "application/json", b"[" * 100_000),
    "redirection": (302, "text/plain", b""),
    "failure": (500, "application/json", b'{"error": {"message": {}}}'),
    "events": (200, "text/event-stream", b"data: x\n\ndata: {}\n\n"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_each_command_says_which_server_has_answered_what(
    server: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: tuple[int, str, bytes]
) -> None:
    """The server imitates the status of azemu, so that the commands go on to their own requests."""
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    server.answer, server.status = answer, STATUS
    for words in COMMANDS:
        code = main([*words, "--app", str(app), "--port", str(server.port)])
        out, err = capsys.readouterr()
        assert (code, out) == (1, ""), words
        assert f"http://localhost:{server.port}/" in err, words
        assert f"status {answer[0]}" in err, words


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        ((200, "text/html", b"<h1>It works!</h1>"), None, "status 200 with text/html, which begins with: <h1>It works"),
        ((200, "application/json", b'{"state": 5}'), None, "application/json"),
        ((302, "text/plain", b""), None, "status 302 with no body"),
        ((200, "text/plain", b"x" * 3_000_000), None, "status 200 with text/plain"),
        # The host of Core Tools has the same API.
        ((404, "text/plain", b""), {**STATUS, "versionDetails": "4.1048.100"}, "Azure Functions host 4.1048.100"),
    ],
    ids=["page", "JSON", "redirection", "huge", "Core Tools"],
)
def test_a_server_that_is_not_azemu_is_named(
    server: Foreign,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    answer: tuple[int, str, bytes],
    status: Mapping[str, object] | None,
    says: str,
) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    server.answer, server.status = answer, status
    for port in (["--port", str(server.port)], []):
        if not port:
            settings = {"IsEncrypted": False, "Values": {}, "Host": {"LocalHttpPort": server.port}}
            (app / "local.settings.json").write_text(json.dumps(settings))
        assert main(["logs", "--app", str(app), *port]) == 1
        err = capsys.readouterr().err
        assert f"The server at http://localhost:{server.port} is not azemu" in err
        assert says in err


def test_texts_of_a_server_do_not_change_the_terminal(
    server: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    refusal = {"error": {"message": "\x1b[2J\x1b]0;title\x07no\u202e\nreally not", "Message": "\x1b[2J"}}
    server.answer, server.status = (400, "application/json", json.dumps(refusal).encode()), STATUS
    for words in COMMANDS:
        assert main([*words, "--app", str(app), "--port", str(server.port)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert {letter for letter in err if not letter.isprintable()} == {"\n"}, words


def test_a_line_that_does_not_end_is_given_up(
    server: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host_client, "_MOST_LINE_BYTES", 100_000)
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    server.answer, server.status = (200, "text/event-stream", b"data: " + b"x" * 200_000), STATUS
    assert main(["logs", "--app", str(app), "--port", str(server.port)]) == 1
    assert "a line has no end" in capsys.readouterr().err


def test_a_response_that_does_not_end_is_given_up_in_time(tmp_path: Path) -> None:
    """Each part of it comes before the time limit of the socket."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not ended.wait(0.02):
                    with suppress(OSError):
                        connection.sendall(b"x")

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        try:
            with pytest.raises(HostNotRunning, match=f"localhost:{port} .its response has not ended after 0.3 seconds"):
                HostClient(port, app=tmp_path, key=None).send("GET", "/admin/host/status", seconds=0.3)
        finally:
            ended.set()
            thread.join()


def test_the_stored_key_is_sent_only_to_a_host_of_the_folder(
    server: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    with started(app, "--enable-auth", "--no-reload") as host:
        port = host.wait_for(r"http://localhost:(\d+)/")[1]
        [record] = (app / ".azemu" / "ports").glob("*.json")
        content = json.loads(record.read_text())
        assert main(["invoke", "hello", "--app", str(app)]) == 0
        assert main(["invoke", "hello", "--app", str(app), "--port", port]) == 0
        host.process.kill()
        host.process.wait()
    assert (app / ".azemu" / "secrets" / "host.json").exists()
    # The killed host has left its record; now the other program has a port that this app used.
    record.unlink(missing_ok=True)
    (record.parent / f"{server.port}.json").write_text(json.dumps({**content, "port": server.port}))
    server.answer, server.status = (401, "text/plain", b""), None
    server.keys.clear()
    capsys.readouterr()
    for words in COMMANDS:
        main([*words, "--app", str(app), "--port", str(server.port)])
    for words in (("logs",), ("invoke", "hello"), ("open", "--no-browser")):
        assert main([*words, "--app", str(app)]) == 1
        err = capsys.readouterr().err
        assert f"The server at http://localhost:{server.port} checks keys" in err
        assert "Pass its master key with --key KEY and its port with --port N." in err
    # The file is not necessary: the port of local.settings.json is tried, too.
    (record.parent / f"{server.port}.json").unlink()
    settings = {"IsEncrypted": False, "Values": {}, "Host": {"LocalHttpPort": server.port}}
    (app / "local.settings.json").write_text(json.dumps(settings))
    assert main(["logs", "--app", str(app), "--key", "given"]) == 1
    assert server.keys == []
    assert main(["logs", "--app", str(app), "--key", "given", "--port", str(server.port)]) == 1
    assert set(server.keys) == {"given"}
