"""`azemu invoke` against a running `azemu start`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from emulator.cli.command import main
from tests.processes import environment, run, started
from tests.running_apps import HTTP_APP, write_app
from tests.waiting import eventually_sync

APP = """
@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
def tick(timer: func.TimerRequest):
    print("tick")

@app.service_bus_queue_trigger(arg_name="msg", queue_name="q", connection="C")
@app.service_bus_queue_output(arg_name="out", queue_name="q", connection="C")
def consume(msg: func.ServiceBusMessage, out: func.Out[str]):
    out.set(f"{msg.get_body().decode()} {msg.delivery_count}")

@app.generic_trigger(arg_name="message", type="acmeTrigger", data_type="BINARY")
@app.generic_output_binding(arg_name="$return", type="acme")
def size(message: bytes):
    if not message:
        raise ValueError("empty")
    return {"size": len(message)}

@app.route(route="items/{id}/{rest?}", methods=["GET", "PUT"])
@app.cosmos_db_input(arg_name="doc", connection="C", database_name="d", container_name="c")
def item(req: func.HttpRequest, doc: func.DocumentList):
    return f"{req.method} {req.route_params['id']} {req.params.get('q')} {req.get_body().decode()} {doc[0]['n']}"

@app.route(route="fail")
def fail(req: func.HttpRequest):
    return func.HttpResponse("no", status_code=409)
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Done:
    """What a command has printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Host:
    """A running host, and the command for it, which runs in this process: starting one for each call takes long."""

    app: Path
    port: str
    capsys: pytest.CaptureFixture[str] | None = None

    def invoke(self, *words: str, port: bool = True) -> Done:
        assert self.capsys is not None
        self.capsys.readouterr()
        options = ["--app", str(self.app), *(("--port", self.port) if port else ())]
        code = main(["invoke", *words, *options])
        out, err = self.capsys.readouterr()
        return Done(code, out, err)


@pytest.fixture
def host(running_host: Host, capsys: pytest.CaptureFixture[str]) -> Host:
    return replace(running_host, capsys=capsys)


@pytest.fixture(scope="module")
def running_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """One host for all tests of this module, with keys."""
    app = write_app(tmp_path_factory.mktemp("app"), HTTP_APP, APP)
    with started(app, "--storage", "builtin:memory", "--enable-auth") as running:
        port = running.wait_for(r"http://localhost:(\d+)/")[1]
        running.wait_for("does not listen to these triggers yet")
        running.wait_for(rf"azemu invoke consume --port {port}")
        yield Host(app, port)


def test_a_function_is_run_with_the_key_of_the_app_folder(host: Host) -> None:
    done = host.invoke("tick")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "Function 'tick' has run.\n")
    done = host.invoke("consume", "order", "--metadata", "DeliveryCount=3")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "output out (serviceBus): order 3\nFunction 'consume' has run.\n"


def test_data_may_come_from_a_file_or_from_standard_input(host: Host) -> None:
    (host.app / "data.bin").write_bytes(b"\xff\x00\xff")
    done = host.invoke("size", f"@{host.app / 'data.bin'}")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"size": 3})
    piped = subprocess.run(
        [sys.executable, "-m", "emulator", "invoke", "size", "@-", "--port", host.port],
        cwd=host.app,
        env=environment(),
        input=b"1234",
        capture_output=True,
        check=False,
    )
    assert (piped.returncode, json.loads(piped.stdout)) == (0, {"size": 4})


def test_an_http_function_is_called_at_its_route(host: Host) -> None:
    done = host.invoke("ITEM", "--param", "Id=a b", "--param", "q=x", "--input", 'doc={"n": 1}')
    assert (done.returncode, done.stdout) == (0, "GET a b x  1")
    done = host.invoke("item", '{"y": 2}', "--param", "id=1", "--input", 'doc={"n": 2}')
    assert (done.returncode, done.stdout) == (0, 'PUT 1 None {"y": 2} 2')
    # The value was for that call only.
    done = host.invoke("item", "--param", "id=1")
    reason = "The console of the host shows why."
    assert (done.returncode, done.stderr) == (1, f"GET /api/items/1 was answered with status 500. {reason}\n")
    done = host.invoke("fail")
    assert (done.returncode, done.stdout, done.stderr) == (1, "no", "GET /api/fail was answered with status 409.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("size",), "Result: Failure\nException: ValueError: empty\n"),
        (("tikc",), "The app has no function 'tikc'. Did you mean 'tick'?"),
        (("item",), "The route of 'item' is /api/items/{id}/{rest?}. Add --param id=VALUE."),
        (("tick", "@missing.json"), "The file 'missing.json' cannot be read: No such file"),
        (("consume", "x", "--input", "a=1"), "Function 'consume' has no input binding 'a'"),
        (("item", "--param", "id=1", "--input", "dok=1"), "Function 'item' has no input binding 'dok'"),
        (("fail", "--metadata", "a=1"), "--metadata has no effect on 'fail': it is an HTTP function."),
        (("tick", "--key", "wrong"), "checks keys (--enable-auth). Pass its master key with --key KEY"),
    ],
)
def test_a_failure_is_explained(host: Host, words: tuple[str, ...], message: str) -> None:
    done = host.invoke(*words)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_a_host_that_does_not_run_is_reported(tmp_path: Path) -> None:
    # Nothing can listen on port 1 without privileges, and the command must work outside of an app, too.
    done = run("invoke", "tick", "--port", "1", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("No host answers at http://localhost:1 (")
    assert "Start it with `azemu start`" in done.stderr


def test_an_app_that_cannot_be_loaded_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, "raise ValueError('no database')\n")
    with started(app, "--storage", "builtin:memory", "--no-reload", "--port", str(port := free_port())) as running:
        # The server answers while the app is being imported, and the command waits for the end of that.
        running.wait_for("Storage: ")
        eventually_sync(lambda: is_open(port), "open port")
        assert main(["invoke", "f", "--app", str(app), "--port", str(port)]) == 1
    assert "could not load the app.\nResult: Failure\nException: ValueError: no database" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the following arguments are required: NAME"),
        (("f", "--port", "x"), "--port: 'x' is not a port number. Use 1 to 65535."),
        (("f", "--metadata", "x"), "--metadata: 'x' has no value. Write NAME=VALUE."),
        (("f", "--dat", "x"), "unknown argument '--dat'."),
    ],
)
def test_wrong_arguments_end_with_exit_code_2(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["invoke", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, message in err) == ("", True), err
