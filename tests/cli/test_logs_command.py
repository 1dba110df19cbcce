"""`azemu logs`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.cli.command import main
from tests.processes import environment, started
from tests.running_apps import HTTP_APP, write_app
from tests.waiting import PATIENCE_SECONDS

APP = """
@app.route(route="greet")
def greet(req: func.HttpRequest):
    logging.warning("first\\x1b[31m line")
    return "hello"

@app.route(route="other")
def other(req: func.HttpRequest):
    logging.warning("of another function")
    return "hello"
"""


def test_lines_are_filtered_and_followed_across_a_restart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write_app(tmp_path / "app", HTTP_APP, APP)

    def azemu(*words: str) -> str:
        assert main([*words, "--app", str(app)]) == 0
        return capsys.readouterr().out

    with started(app) as host:
        host.wait_for("For detailed output")
        azemu("invoke", "greet")
        azemu("invoke", "other")
        # Control characters of a message would change the terminal.
        [line] = azemu("logs", "--function", "GREET", "--level", "warning").splitlines()
        assert line.endswith("] first[31m line")
        logged = json.loads(azemu("logs", "--level", "Warning", "--last", "1", "--json"))
        assert logged["version"] == 1
        assert [(line["level"], line["message"]) for line in logged["lines"]] == [("Warning", "of another function")]

        following = subprocess.Popen(
            [sys.executable, "-m", "azemu", "logs", "--follow", "--function", "greet", "--level", "Warning", "--json"],
            cwd=app,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert following.stdout is not None
            assert json.loads(following.stdout.readline())["message"] == "first\x1b[31m line"
            write_app(app, HTTP_APP, APP.replace("first", "second"))
            host.wait_for("Restarting the host")
            azemu("invoke", "greet")
            assert json.loads(following.stdout.readline())["message"] == "second\x1b[31m line"
            host.interrupt()
            host.wait()
            out, err = following.communicate(timeout=PATIENCE_SECONDS)
        finally:
            following.kill()
            following.wait()
    assert (following.returncode, out, err) == (0, "", "The host has stopped.\n")
