"""`azemu` as a child process: run a command, start a host, read its output, send signals and HTTP requests."""

from __future__ import annotations

import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest

from emulator.cli.command import main
from tests.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).resolve().parents[1]

# Environment variables of the test session that would change what azemu does. They are not passed on.
_FOREIGN = ("CI", "NO_COLOR", "FORCE_COLOR", "FUNCTIONS_", "AZURE", "Azure", "WEBSITE_", "PYTHONPATH", "TERM")

# On Windows, Ctrl-Break can be sent to process groups only.
_NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return the environment for a process. `extra`: more variables; None removes one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    own = {"PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1"}
    return {name: value for name, value in {**kept, **own, **(extra or {})}.items() if value is not None}


def run(*words: str, cwd: Path, env: Mapping[str, str | None] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "azemu", *words],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def run_in_this_process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command that prints a text or refuses its arguments, which takes a tenth of the time of `run`.

    What starts a host, or depends on the streams of a process, needs `run`.
    """
    output, errors = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
        patch.chdir(cwd)
        kept = environment()
        for name in os.environ.keys() - kept.keys():
            patch.delenv(name)
        try:
            code = main(words)
        finally:
            signal.signal(signal.SIGINT, handler)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


class Running:
    """Running `azemu start`. `seen`: all lines of standard output and standard error that were read so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def output(self) -> str:
        return "\n".join(self.seen)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a new line that contains the pattern. Return the match."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                raise AssertionError(f"no line with {pattern!r} came after:\n{self.output}") from None
            if line is None:
                raise AssertionError(f"azemu ended without a line with {pattern!r}:\n{self.output}")
            self.seen.append(line)
            if match := re.search(pattern, line):
                return match

    def read_so_far(self) -> str:
        """Read the lines that have come, without waiting. Return all output so far."""
        with suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                self.seen.append(line)
            self._lines.put(None)  # The end, for the next reader.
        return self.output

    def url(self) -> str:
        """Wait for the list of functions. Return the URL of its first function."""
        return self.wait_for(r"http://localhost:\d+/[^\s\"]*")[0].replace("localhost", "127.0.0.1")

    def wait(self) -> int:
        """Wait for the end and read all output. Return the exit code."""
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self._reader.join(timeout=PATIENCE_SECONDS)
        while (line := self._lines.get_nowait()) is not None:
            self.seen.append(line)
        return code

    def interrupt(self) -> None:
        """Send what Ctrl-C in a terminal sends."""
        if sys.platform == "win32":
            self.process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            self.process.send_signal(signal.SIGINT)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


@contextmanager
def started(
    app: Path,
    *options: str,
    env: Mapping[str, str | None] | None = None,
    default_storage: bool = False,
    command: Sequence[str] = (sys.executable, "-m", "azemu"),
) -> Iterator[Running]:
    """Run `azemu start` in an app folder on a free port. It is killed at exit if it still runs.

    An app that names no storage gets a store in memory, because most tests need none and Azurite takes a second to
    start. `default_storage`: let azemu decide. `command`: the command `azemu`, by default that of this environment.
    """
    words = ["start", *options]
    settings = app / "local.settings.json"
    texts = (*options, *(env or {}), settings.read_text(encoding="utf-8") if settings.is_file() else "")
    if not default_storage and not any("storage" in text.lower() for text in texts):
        words += ["--storage", "builtin:memory"]
    if "--port" not in options:
        words += ["--port", "0"]
    process = subprocess.Popen(
        [*command, *words],
        cwd=app,
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        creationflags=_NEW_GROUP,
    )
    running = Running(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        running._reader.join(timeout=PATIENCE_SECONDS)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def has_ended(process_id: int) -> bool:
    """Whether no process with this id runs. A zombie, which only waits for its parent to notice, has ended."""
    with suppress(OSError):
        # Linux. The state follows the name, which is in parentheses and may contain any character.
        state = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state == "Z"
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


def get(url: str, *, method: str = "GET") -> str:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        content: bytes = response.read()
    return content.decode()


def get_json(url: str) -> Any:
    return json.loads(get(url))
