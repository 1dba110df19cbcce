"""`azemu` as its user starts it: a process, its output line by line, signals, HTTP."""

from __future__ import annotations

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0

# What this test session's own surroundings say must not change what azemu does.
_FOREIGN = ("CI", "NO_COLOR", "FORCE_COLOR", "FUNCTIONS_", "AZURE", "Azure", "WEBSITE_", "PYTHONPATH", "TERM")

# On Windows, Ctrl-Break can be sent to a group only.
_NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)

HELLO = """
import logging

import azure.functions as func

app = func.FunctionApp()


@app.route(route="hello", auth_level=func.AuthLevel.ANONYMOUS)
def hello(req: func.HttpRequest) -> func.HttpResponse:
    logging.info("saying hello")
    return func.HttpResponse("hello")
"""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error", "PYTHONUNBUFFERED": "1", **(extra or {})}


def run(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "emulator", *words],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Running:
    """A started `azemu start`. `seen`: all lines so far, of both streams."""

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
        """The first new line that the pattern is found in."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                raise AssertionError(f"no line like {pattern!r} came after:\n{self.output}") from None
            if line is None:
                raise AssertionError(f"ended without a line like {pattern!r}:\n{self.output}")
            self.seen.append(line)
            if match := re.search(pattern, line):
                return match

    def url(self) -> str:
        """Of the first function in the list, once the host runs."""
        return self.wait_for(r"http://localhost:\d+/[^\s\"]*")[0].replace("localhost", "127.0.0.1")

    def wait(self) -> int:
        """The exit code, after all output was read."""
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self._reader.join(timeout=PATIENCE_SECONDS)
        while (line := self._lines.get_nowait()) is not None:
            self.seen.append(line)
        return code

    def interrupt(self) -> None:
        """Ctrl-C."""
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
def started(app: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`azemu start` in the folder of an app, on a free port; ended hard at the latest when left."""
    words = ["start", *options]
    if "--port" not in options:
        words += ["--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator", *words],
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


def get(url: str, *, method: str = "GET") -> str:
    request = urllib.request.Request(url, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        content: bytes = response.read()
    return content.decode()


def get_json(url: str) -> Any:
    return json.loads(get(url))


def write_app(
    folder: Path, code: str = HELLO, *, host: object = None, settings: Mapping[str, str] | None = None
) -> Path:
    """An app whose files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "function_app.py").write_text(code, encoding="utf-8")
    content = {"version": "2.0"} if host is None else host
    (folder / "host.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    if settings is not None:
        values = {"IsEncrypted": False, "Values": dict(settings)}
        (folder / "local.settings.json").write_text(json.dumps(values), encoding="utf-8")
    return folder
