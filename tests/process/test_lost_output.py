"""`azemu start` whose output goes nowhere: closed terminal, closed standard streams, full disk."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import environment, get
from tests.running_apps import write_app
from tests.waiting import PATIENCE_SECONDS, eventually_sync

if sys.platform == "win32":
    pytest.skip("terminals and shells of POSIX", allow_module_level=True)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
    return number


def _start(app: Path, port: int, *options: str, redirection: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "azemu", "start", "--port", str(port), "--storage", "builtin:memory", *options]
    return subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *words], cwd=app, env=environment(), start_new_session=True
    )


def _answer(port: int) -> str | None:
    try:
        return get(f"http://127.0.0.1:{port}/api/hello")
    except OSError:
        return None


def _ends(process: subprocess.Popen[bytes], number: int) -> int:
    os.kill(process.pid, number)
    try:
        return process.wait(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()


@pytest.mark.parametrize("mode", [(), ("--no-reload",)])
def test_closed_terminal_stops_the_host(tmp_path: Path, port: int, mode: tuple[str, ...]) -> None:
    terminal, end_of_host = os.openpty()
    process = _start(write_app(tmp_path), port, *mode, redirection=f"<{os.ttyname(end_of_host)} >&0 2>&0")
    try:
        os.close(end_of_host)
        assert eventually_sync(lambda: _answer(port), "answer") == "hello"
    finally:
        # From here on, writing to the terminal is an error. The system sends SIGHUP, and a shell sends another one.
        os.close(terminal)
        code = _ends(process, signal.SIGHUP)
    assert code == 0


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_host_runs_without_output(tmp_path: Path, port: int, redirection: str) -> None:
    if "/dev/full" in redirection and not Path("/dev/full").exists():
        pytest.skip("/dev/full is of Linux")
    process = _start(write_app(tmp_path), port, redirection=redirection)
    try:
        assert eventually_sync(lambda: _answer(port), "answer") == "hello"
    finally:
        code = _ends(process, signal.SIGINT)
    assert code == 0
