"""`azemu keys`, `azemu open` and `azemu logs`, for one running host."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.command import main
from tests.processes import environment, get, started
from tests.running_apps import HTTP_APP, write_app

APP = """
@app.route(route="greet", auth_level=func.AuthLevel.FUNCTION)
def greet(req: func.HttpRequest):
    return "hello"

@app.route(route="warn")
def warn(req: func.HttpRequest):
    logging.warning("a\\x1b[31m line")
    return "hello"

@app.route(route="other")
def other(req: func.HttpRequest):
    logging.warning("of another function")
    return "hello"
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_app(tmp_path_factory.mktemp("app"), HTTP_APP, APP, settings={"AzureWebJobsStorage": "builtin:memory"})


@pytest.fixture(scope="module")
def port(app: Path) -> Iterator[str]:
    with started(app, "--enable-auth", "--no-reload", "--dashboard-path", "panel") as host:
        yield host.wait_for(r"http://localhost:(\d+)/")[1]


@pytest.fixture
def run(app: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--app", str(app)])
        return (code, *capsys.readouterr())

    return run


def test_keys_of_a_running_host_are_set_used_and_deleted(run: Run, port: str) -> None:
    code, value, _ = run("keys", "set", "partner")
    assert code == 0
    assert get(f"http://localhost:{port}/api/greet?code={value.strip()}") == "hello"
    assert run("keys", "set", "mine", "secret-1", "--function", "greet")[:2] == (0, "secret-1\n")
    assert get(f"http://localhost:{port}/api/greet?code=secret-1") == "hello"
    assert run("keys", "show", "MINE", "--function", "greet")[:2] == (0, "secret-1\n")

    code, out, _ = run("keys")
    assert code == 0
    rows = [line.rsplit(maxsplit=2) for line in out.splitlines()]
    assert rows[0] == ["SCOPE", "NAME", "VALUE"]
    # Of a short key, less than of a generated one.
    assert ["function greet", "mine", "s…"] in rows
    assert [scope.strip() for scope, name, _ in rows if name in ("_master", "partner")] == ["master", "host"]
    # Values are shown only when they are asked for.
    assert "secret-1" not in out
    listed = json.loads(run("keys", "list", "--json")[1])
    assert listed["version"] == 1
    assert {key["value"] for key in listed["keys"]} == {None}
    shown = json.loads(run("keys", "list", "--json", "--show")[1])["keys"]
    assert {"scope": "function", "function": "greet", "name": "mine", "value": "secret-1"} in shown

    assert run("keys", "delete", "partner")[:2] == (0, "")
    assert run("keys", "delete", "partner") == (1, "", "There is no host key 'partner'.\n")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("show", "nope"), 1, "There is no host key 'nope'. Known names: default"),
        (("show", "default", "--function", "gret"), 1, "The app has no function 'gret'."),
        (("delete", "_master"), 1, "The master key cannot be deleted. `azemu keys set _master` replaces it."),
        (("set", "a", "@missing.txt"), 1, "The file 'missing.txt' cannot be read"),
        (("set", "a", ""), 1, "The value of the key is empty"),
        (("show", "a", "--function", "greet", "--system"), 2, "--function and --system exclude each other"),
    ],
)
def test_what_is_wrong_with_a_key_is_explained(
    run: Run, port: str, words: tuple[str, ...], code: int, message: str
) -> None:
    done = run("keys", *words)
    assert done[:2] == (code, "")
    assert message in done[2]


def test_keys_are_read_from_their_files_when_no_host_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    assert main(["keys", "set", "partner", "secret-2", "--app", str(app)]) == 0
    assert main(["keys", "show", "partner", "--app", str(app)]) == 0
    assert capsys.readouterr().out == "secret-2\nsecret-2\n"
    if sys.platform != "win32":
        assert (app / ".azemu" / "secrets" / "host.json").stat().st_mode & 0o777 == 0o600
    assert main(["keys", "show", "default", "--function", "greet", "--app", str(app)]) == 1
    assert "No keys of function 'greet' are stored." in capsys.readouterr().err


def test_the_dashboard_is_opened_with_the_key_in_the_fragment(
    run: Run, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    master = run("keys", "show", "_master")[1].strip()
    url = f"http://localhost:{port}/panel/#code={master}"
    # The replaced function returns None, as if no browser could be started.
    code, out, err = run("open")
    assert (code, out, opened) == (0, f"{url}\n", [url])
    assert err == "No browser could be started. Open the URL yourself.\n"
    assert json.loads(run("open", "--no-browser", "--json")[1]) == {"version": 1, "url": url}
    assert opened == [url]


def test_an_app_without_durable_functions_is_named(run: Run, port: str) -> None:
    code, out, err = run("durable", "list")
    assert (code, out, err) == (1, "", f"The app of the host at port {port} has no durable functions.\n")


def test_log_lines_are_filtered_and_followed(run: Run, app: Path, port: str) -> None:
    for function in ("warn", "other"):
        assert run("invoke", function)[:2] == (0, "hello")
    # Control characters of a message would change the terminal.
    [line] = run("logs", "--function", "WARN", "--level", "warning")[1].splitlines()
    assert line.endswith("] a[31m line")
    logged = json.loads(run("logs", "--level", "Warning", "--last", "1", "--json")[1])
    assert logged["version"] == 1
    assert [(line["level"], line["message"]) for line in logged["lines"]] == [("Warning", "of another function")]
    with following(app, "--function", "warn", "--level", "Warning") as lines:
        assert next(lines)["message"] == "a\x1b[31m line"
        run("invoke", "warn")
        assert next(lines)["message"] == "a\x1b[31m line"
    assert run("logs", "--level", "loud")[0] == 2


@contextmanager
def following(app: Path, *words: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Run `azemu logs --follow`. Yields the lines that it prints; after them, it must have ended without an error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "azemu", "logs", "--follow", "--json", *words],
        cwd=app,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield map(json.loads, process.stdout)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.soak
def test_a_log_is_followed_across_a_restart_until_the_host_stops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)
    with started(app) as host:
        host.wait_for("For detailed output")
        assert main(["invoke", "warn", "--app", str(app)]) == 0
        with following(app, "--function", "warn", "--level", "Warning") as lines:
            assert next(lines)["message"] == "a\x1b[31m line"
            write_app(app, HTTP_APP, APP.replace("a\\x1b[31m line", "new line"))
            host.wait_for("Restarting the host")
            assert main(["invoke", "warn", "--app", str(app)]) == 0
            assert next(lines)["message"] == "new line"
            host.interrupt()
            assert list(lines) == []
