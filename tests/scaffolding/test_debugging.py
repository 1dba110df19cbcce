"""What the launch files of `azemu init` start, under a real debugger: a breakpoint stops the app's functions."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.processes import PROJECT, get, started
from tests.scaffolding.commands import azemu
from tests.scaffolding.debugger import connected
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
def with_debugpy(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str | None]:
    """Environment variables with which Python finds debugpy. It is installed if it is missing."""
    spec = importlib.util.find_spec("debugpy")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parents[1]
    else:
        folder = tmp_path_factory.mktemp("debugpy")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "debugpy"]
        if subprocess.run(install, capture_output=True, check=False).returncode:
            pytest.skip("debugpy is not installed, and no package index has it")
    return {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(folder)]), "PYTHONWARNINGS": None}


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    azemu("init", tmp_path / "services" / "web", "--template", "http")
    return tmp_path / "services" / "web"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def resolved(entry: Any, workspace: Path) -> Any:
    """Replace the variables of VS Code in a configuration or task."""
    text = json.dumps(entry)
    text = text.replace("${workspaceFolder}", workspace.as_posix())
    return json.loads(text.replace("${command:python.interpreterPath}", Path(sys.executable).as_posix()))


def stops_at_a_breakpoint(app: Path, port: int, options: list[str], **how: Any) -> None:
    script = app / "function_app.py"
    line = next(n for n, text in enumerate(script.read_text().splitlines(), 1) if "return func.HttpResponse(f" in text)
    with started(app, *options, **how) as running, connected(port) as debugger:
        debugger.attach(script, line)
        url = running.url()
        answers: list[str] = []
        request = threading.Thread(target=lambda: answers.append(get(f"{url}?name=Ada")))
        request.start()
        assert debugger.stopped_in() == ("hello", line)
        request.join()
        assert answers == ["Hello, Ada."]
        # debugpy's own process has the standard output, too, and ends with the debugged process and the connection.
        running.interrupt()
        running.process.wait(timeout=PATIENCE_SECONDS)


@pytest.mark.azurite
def test_run_and_debug(app: Path, tmp_path: Path, with_debugpy: Mapping[str, str | None]) -> None:
    """With Azurite, whose own process must not be debugged: it would wait for the editor, and end with the session."""
    workspace = app.parents[1]
    launch = json.loads((workspace / ".vscode" / "launch.json").read_text())
    entry = resolved(launch["configurations"][0], workspace)
    assert (entry["request"], Path(entry["cwd"])) == ("launch", app)
    port = free_port()
    # What VS Code's launcher runs, but here debugpy waits for the client.
    debugpy = ("-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client")
    command = (sys.executable, *debugpy, "-m", entry["module"])
    [start, *options] = entry["args"]
    assert start == "start"
    env = {**with_debugpy, "AZEMU_DATA": str(tmp_path / "data")}
    stops_at_a_breakpoint(app, port, [*options, "--storage", "azurite"], env=env, command=command)


def test_start_and_attach(app: Path, with_debugpy: Mapping[str, str | None]) -> None:
    workspace = app.parents[1]
    launch = json.loads((workspace / ".vscode" / "launch.json").read_text())
    tasks = json.loads((workspace / ".vscode" / "tasks.json").read_text())["tasks"]
    entry = launch["configurations"][1]
    [task] = [task for task in tasks if task["label"] == entry["preLaunchTask"]]
    task = resolved(task, workspace)
    assert Path(task["options"]["cwd"]) == app
    port = free_port()
    arguments = [word.replace(str(entry["connect"]["port"]), str(port)) for word in task["args"]]
    [*words, start] = arguments[:3]
    assert start == "start"
    options = [*arguments[3:], "--storage", "builtin:memory"]
    stops_at_a_breakpoint(app, port, options, env=with_debugpy, command=(task["command"], *words))


def test_what_vs_code_does_for_a_task_of_the_command_func(app: Path, with_debugpy: Mapping[str, str | None]) -> None:
    """The extension for Azure Functions runs `func host start` with this setting in the environment."""
    port = free_port()
    setting = {"languageWorkers__python__arguments": f"-m debugpy --listen 127.0.0.1:{port}"}
    stops_at_a_breakpoint(app, port, ["--storage", "builtin:memory"], env={**with_debugpy, **setting})
