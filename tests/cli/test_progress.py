"""What commands show at a terminal while something takes long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment, started
from tests.running_apps import HTTP_APP, write_app
from tests.waiting import PATIENCE_SECONDS

if sys.platform == "win32":
    pytest.skip("opens a terminal in the POSIX way", allow_module_level=True)

WAIT = """\
def wait():
    while not os.path.exists({file!r}):
        time.sleep(0.01)
"""


def shown_at_a_terminal(*words: str, cwd: Path, until: str, then: Path) -> str:
    """Run a command whose standard error is a terminal. When that shows `until`, create the file `then`."""
    terminal, end_of_command = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "azemu", *words],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=end_of_command,
    )
    os.close(end_of_command)
    shown = b""
    try:
        # Without the text, the command waits for the file until the time limit of the test.
        while until.encode() not in shown:
            shown += os.read(terminal, 1024)
        then.touch()
        process.communicate(timeout=PATIENCE_SECONDS)
        shown += os.read(terminal, 1 << 16)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    return shown.decode()


def test_a_check_shows_that_the_import_of_the_app_takes_long(tmp_path: Path) -> None:
    file = tmp_path / "go"
    app = write_app(tmp_path / "app", HTTP_APP, "import os, time\n", WAIT.format(file=str(file)), "wait()\n")
    shown = shown_at_a_terminal("check", cwd=app, until="Checking the app (1 s) …", then=file)
    assert shown.splitlines()[-1].strip() == ""


def test_a_command_shows_that_the_host_takes_long(tmp_path: Path) -> None:
    file = tmp_path / "go"
    function = '@app.route(route="slow")\ndef slow(req: func.HttpRequest) -> str:\n    wait()\n    return "done"\n'
    app = write_app(tmp_path / "app", HTTP_APP, "import os, time\n", WAIT.format(file=str(file)), function)
    with started(app) as running:
        running.url()
        shown = shown_at_a_terminal("invoke", "slow", cwd=app, until="Waiting for the host (1 s) …", then=file)
    # The line is removed again. The result is printed to the standard output, which is no terminal here.
    assert shown.splitlines()[-1].strip() == ""
