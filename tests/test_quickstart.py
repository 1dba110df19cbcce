"""docs/quickstart.md, done as a newcomer does: in an empty folder, with an environment of its own and a browser.

test_doc_sessions.py runs the same commands in memory. These tests also install the wheel, and measure the time from the
first command to the timeline in the dashboard: `pytest -m soak -s tests/test_quickstart.py`. They need a package index;
without Chromium they leave out the steps in the browser.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.doc_sessions import Placeholders, Step, blocks_of, session_of
from tests.processes import PROJECT, Running, environment, started
from tests.waiting import eventually_sync

PAGE = PROJECT / "docs" / "quickstart.md"
# From the installed package to the timeline. How long the installation takes depends on the package index: the rest of
# two minutes is for it.
SECONDS = 60
# Nothing of the checkout, and none of the test session's strictness.
ISOLATED = {"PYTHONPATH": "", "PYTHONWARNINGS": "default", "VIRTUAL_ENV": None}

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(PROJECT)], check=True)
    [wheel] = folder.glob("azemu-*.whl")
    return wheel


@pytest.mark.parametrize("options", [(), ("--storage", "builtin")], ids=["default-storage", "built-in-store"])
def test_the_timeline_is_seen_within_two_minutes(options: tuple[str, ...], wheel: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        newcomer = Newcomer(stack, wheel, tmp_path, options)
        for step in session_of(PAGE):
            newcomer.run(step)
        newcomer.host.interrupt()
        assert newcomer.host.wait() == 0
    print(*(f"{seconds:6.1f} s  {what}" for what, seconds in newcomer.times), sep="\n")
    times = dict(newcomer.times)
    assert times["the timeline is shown"] - times["azemu is installed"] < SECONDS


class Newcomer:
    """Somebody who follows the page. `times`: seconds since the first command, by what was reached then."""

    def __init__(self, stack: ExitStack, wheel: Path, folder: Path, options: tuple[str, ...]) -> None:
        self._stack = stack
        self._wheel = wheel
        self._folder = folder
        self._options = options
        self._variables = environment(ISOLATED)
        self._placeholders = Placeholders()
        self._origin = ""
        self._begin = time.monotonic()
        self.times: list[tuple[str, float]] = []

    def run(self, step: Step) -> None:
        """Run a command as it is on the page. It must print what the page shows."""
        line = self._placeholders.filled(step.line)
        match Step(line, "").words:
            case ["python", "-m", "venv", folder]:
                self._output_of([sys.executable, "-m", "venv", folder])
            case [".", script]:
                scripts = self._folder / (".venv/Scripts" if os.name == "nt" else Path(script).parent)
                self._variables["PATH"] = os.pathsep.join([str(scripts), self._variables["PATH"]])
            case ["pip", *words]:
                self._output_of(["pip", *(str(self._wheel) if word == "azemu" else word for word in words)])
                self._note("azemu is installed")
            case ["cd", folder]:
                self._folder /= folder
            case ["azemu", "start"]:
                self._start()
                self._use_the_dashboard()
            case words:
                words = [word.replace("localhost:7071", self._origin.removeprefix("http://")) for word in words]
                self._run_until_it_matches(words, step)

    def _run_until_it_matches(self, words: list[str], step: Step) -> None:
        printed = ""

        def matches() -> bool:
            nonlocal printed
            printed = self._output_of(words)
            return self._placeholders.matches(step.output or "…", printed)

        if words[:2] == ["azemu", "why"] or words[:3] == ["azemu", "durable", "show"]:
            # The instance may need a moment to get there.
            eventually_sync(matches, f"$ {step.line}")
        else:
            assert matches(), f"$ {step.line}\n{printed}"

    def _start(self) -> None:
        command = (str(shutil.which("azemu", path=self._variables["PATH"])),)
        env = {**ISOLATED, "PATH": self._variables["PATH"]}
        opened = started(self._folder, *self._options, env=env, default_storage=True, command=command)
        self.host: Running = self._stack.enter_context(opened)
        self._origin = self.host.wait_for(r"Dashboard: (http://localhost:\d+)/azemu/")[1]
        self._note("the host runs")
        [shown] = [text for language, text in blocks_of(PAGE) if language == "text"]
        lines = [line for line in shown.splitlines() if line != "…" and not line.startswith("Storage:")]
        expected = [line.replace("http://localhost:7071", self._origin) for line in lines]
        assert [line for line in expected if line not in self.host.seen] == []

    def _use_the_dashboard(self) -> None:
        playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium is None:
            pytest.skip("there is no Chromium: apt-get install chromium, or set CHROMIUM to its path")
        # The words of the page, in bold and in code.
        functions, place_order, send, open_instance = re.findall(
            r"\*\*([\w ]+?)(?: …)?\*\*|`(place_order)`", PAGE.read_text(encoding="utf-8").partition("## 3.")[2]
        )[:4]
        with playwright.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page()
            page.goto(f"{self._origin}/azemu/")
            page.get_by_role("link", name=functions[0]).first.click()
            page.get_by_role("table", name="Functions").get_by_role("link", name=place_order[1]).click()
            page.get_by_role("button", name=send[0]).click()
            page.get_by_text("202 Accepted").wait_for()
            page.get_by_role("link", name=open_instance[0]).click()
            for row in ("charge", "ship"):
                page.get_by_text(row, exact=True).first.wait_for()
            page.get_by_text("Completed").first.wait_for()
            self._note("the timeline is shown")
            browser.close()

    def _output_of(self, command: list[str]) -> str:
        program = shutil.which(command[0], path=self._variables["PATH"])
        assert program is not None, command
        result = subprocess.run(
            [program, *command[1:]],
            cwd=self._folder,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert result.returncode == 0, f"$ {' '.join(command)}\n{result.stdout}"
        return result.stdout

    def _note(self, what: str) -> None:
        self.times.append((what, time.monotonic() - self._begin))
