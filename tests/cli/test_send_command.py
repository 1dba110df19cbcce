"""`azemu send` with and without a running host."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.clock import SystemClock
from emulator.config.queue_options import QueueMessageEncoding
from emulator.host.sending import read_blob, read_messages
from emulator.storage.builtin import open_builtin
from tests.processes import started
from tests.running_apps import HTTP_APP, write_app

AZURE = f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={base64.b64encode(b'key').decode()}"
APP = """
@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "hello"

@app.queue_trigger(arg_name="message", queue_name="work-items", connection="AzureWebJobsStorage")
def on_work(message: func.QueueMessage):
    pass
"""


@dataclass(frozen=True)
class Done:
    """What a command has printed to the standard error, and its exit code. It prints nothing else."""

    code: int
    stderr: str


@dataclass(frozen=True)
class Sender:
    """An app with a store in a file, and the command for it, which runs in this process."""

    app: Path
    port: str | None = None
    capsys: pytest.CaptureFixture[str] | None = None

    def send(self, *words: str) -> Done:
        assert self.capsys is not None
        self.capsys.readouterr()
        code = main(["send", *words, "--app", str(self.app), *(("--port", self.port) if self.port else ())])
        out, err = self.capsys.readouterr()
        assert out == ""
        return Done(code, err)

    def messages(self, queue: str, *, file: str = "store.db") -> list[str | bytes]:
        async def read() -> list[str | bytes]:
            async with open_builtin(self.app / file, SystemClock()) as account:
                return await read_messages(account, queue, encoding=QueueMessageEncoding.BASE64)

        return asyncio.run(read())

    def blob(self, path: str) -> bytes | None:
        async def read() -> bytes | None:
            async with open_builtin(self.app / "store.db", SystemClock()) as account:
                return await read_blob(account, path)

        return asyncio.run(read())


def new_app(folder: Path, *, port: int | None = None) -> Path:
    values = {
        "AzureWebJobsStorage": f"builtin:{folder / 'store.db'}",
        "Other": f"builtin:{folder / 'other.db'}",
        "Cloud": AZURE,
    }
    write_app(folder, HTTP_APP, APP)
    host = {"LocalHttpPort": port} if port else {}
    (folder / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values, "Host": host}))
    return folder


@pytest.fixture
def alone(tmp_path: Path, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]) -> Sender:
    """No host runs."""
    return Sender(new_app(tmp_path / "app", port=unused_tcp_port), capsys=capsys)


@pytest.fixture
def served(running: Sender, capsys: pytest.CaptureFixture[str]) -> Sender:
    return replace(running, capsys=capsys)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """One host for all tests of this module, with keys."""
    app = new_app(tmp_path_factory.mktemp("app"))
    with started(app, "--enable-auth", "--no-reload") as host:
        port = host.wait_for(r"http://localhost:(\d+)/")[1]
        yield Sender(app, port)


@pytest.fixture(params=["alone", "served"])
def sender(request: pytest.FixtureRequest) -> Sender:
    """The command with and without a running host does the same."""
    sender: Sender = request.getfixturevalue(request.param)
    return sender


def test_a_message_is_put_into_a_queue(sender: Sender) -> None:
    done = sender.send("queue", "Orders", '{"id": 7}')
    assert done.code == 0
    assert done.stderr.startswith("Sent the message into queue 'Orders' of ")
    # Without its host, the message may lie in another storage than that of a host at another port.
    assert ("No host of this app is running." in done.stderr) == (sender.port is None)
    (sender.app / "order.txt").write_bytes(b"\xff\x00")
    assert sender.send("queue", "orders", f"@{sender.app / 'order.txt'}").code == 0
    assert sorted(map(repr, sender.messages("orders"))) == sorted(map(repr, ['{"id": 7}', b"\xff\x00"]))


def test_the_connection_is_chosen(sender: Sender) -> None:
    assert sender.send("queue", "elsewhere", "text", "--connection", "Other").code == 0
    assert sender.messages("elsewhere", file="other.db") == ["text"]
    assert sender.messages("elsewhere") == []


def test_a_blob_is_written(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    (sender.app / "cat.png").write_bytes(b"\x89PNG")
    assert sender.send("blob", "images/sub/a b.png", str(sender.app / "cat.png")).code == 0
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe")))
    assert sender.send("blob", "images/pipe.txt", "-", "--content-type", "text/plain").code == 0
    assert (sender.blob("images/sub/a b.png"), sender.blob("images/pipe.txt")) == (b"\x89PNG", b"from a pipe")


def test_the_file_of_a_blob_may_be_written_as_in_the_other_commands(sender: Sender) -> None:
    (sender.app / "cat.png").write_bytes(b"cat")
    assert sender.send("blob", "images/cat.png", f"@{sender.app / 'cat.png'}").code == 0
    assert sender.blob("images/cat.png") == b"cat"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("queue", "a", "x", "--connection", "Cloud"), "The connection 'Cloud' leads to"),
        (("queue", "a", "x", "--connection", "Missing"), "'AzureWebJobsMissing' does not exist"),
        (("queue", "a!", "x"), "a!"),
        (("blob", "images", "-"), "'images' is not the path of a blob. Write container/name"),
        (("blob", "images/x", "missing.png"), "The file 'missing.png' cannot be read: No such file"),
        (
            ("blob", "images/x", "text"),
            "The content of a blob is taken from a file, or from the standard input with -.",
        ),
    ],
)
def test_what_cannot_be_sent_is_explained(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    done = sender.send(*words)
    assert done.code == 1
    assert message in done.stderr


def test_a_queue_or_container_that_was_created_is_named_if_no_function_listens_on_it(sender: Sender) -> None:
    """Its name may be misspelled: on Azure, too, the message would lie there for ever."""
    done = sender.send("queue", "work-itms", "text")
    assert done.code == 0
    note = "Queue 'work-itms' did not exist and was created. Functions of this app listen on 'work-items' (on_work)."
    assert done.stderr.splitlines()[-1] == note
    assert "was created" not in sender.send("queue", "work-itms", "text").stderr
    # A queue of a function is created by the first message, too.
    assert "was created" not in sender.send("queue", "Work-Items", "text").stderr
    (sender.app / "cat.png").write_bytes(b"cat")
    done = sender.send("blob", "pictures-2/cat.png", str(sender.app / "cat.png"))
    assert "Container 'pictures-2' did not exist and was created. No function of this app has a blobTrigger." in (
        done.stderr.splitlines()
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("eventgrid", "hello", "{}"), "Function 'hello' has a httpTrigger. Only functions with an Event Grid trigger"),
        (("eventgrid", "helo", "{}"), "has no function 'helo'"),
        (("eventgrid", "hello", "{"), "The event is not JSON"),
        (("eventgrid", "hello", "[1]"), "An event is a JSON object, or an array of objects."),
        (("queue", "a", "x", "--key", "wrong"), "checks keys (--enable-auth). Pass its master key with --key KEY"),
    ],
)
def test_what_a_host_refuses_is_explained(served: Sender, words: tuple[str, ...], message: str) -> None:
    done = served.send(*words)
    assert done.code == 1
    assert message in done.stderr


def test_an_event_needs_a_running_host(alone: Sender) -> None:
    done = alone.send("eventgrid", "hello", "{}")
    assert done.code == 1
    assert done.stderr.startswith(f"No host of the app in {alone.app} is running. Start it with `azemu start`")


def test_the_host_of_another_app_is_not_used(
    running: Sender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert running.port is not None
    other = Sender(new_app(tmp_path / "other", port=int(running.port)), capsys=capsys)
    assert other.send("queue", "mine", "text").code == 0
    assert (other.messages("mine"), running.messages("mine")) == (["text"], [])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "'azemu send' needs one more word. Commands:"),
        (("que", "a", "b"), "unknown command 'send que'. Did you mean 'azemu send queue'?"),
        (("queue", "a"), "the following arguments are required: TEXT"),
        (("blob", "a/b", "c", "--yess"), "unknown argument '--yess'. Did you mean '--yes'?"),
    ],
)
def test_wrong_arguments_end_with_exit_code_2(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["send", *words]) == 2
    assert message in capsys.readouterr().err
