"""The sessions of the documentation: each command is run, and prints what the page shows."""

from __future__ import annotations

from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import pytest

from emulator.cli.command import main
from emulator.cli.commands import Command, find_command
from emulator.cli.parsing import parser_of
from emulator.testing import Answer, SyncAppUnderTest, start_sync
from tests.doc_sessions import Step, curl_of, matches, session_of

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    page for folder in ("how-to", "reference") for page in sorted((DOCS / folder).glob("*.md")) if session_of(page)
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_prints_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        reader = Reader(stack, monkeypatch, capsys)
        for step in session_of(page):
            printed = reader.run(step)
            assert matches(step.output, printed), f"$ {' '.join(step.words)}\n{printed}"


class Reader:
    """Somebody who enters the commands of a page one after the other."""

    def __init__(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._stack = stack
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self._app: SyncAppUnderTest | None = None

    def run(self, step: Step) -> str:
        """Run a command and return what it prints; nothing if the page does not show it."""
        match step.words:
            case ["cd", folder]:
                self._monkeypatch.chdir(folder)
                return ""
            case ["azemu", "start", *options]:
                # No process: the same app in memory, and in virtual time.
                parser_of(_command("start").parse_options).parse(options)
                self._app = self._stack.enter_context(start_sync(Path.cwd()))
                return step.output
            case ["curl", *words]:
                return self._sent(words)
            case ["azemu", *words]:
                printed = self._called(words)
                return printed if step.output else ""
        raise AssertionError(f"no test knows the command {step.words}")

    def _called(self, words: list[str]) -> str:
        command = _command(*words)
        takes_port = "--port" in parser_of(command.parse_options)._option_string_actions
        if self._app is not None and takes_port:
            # Outside of tests, the command finds the host of the folder.
            words = [*words, "--port", self._app.url.rpartition(":")[2]]
        self._capsys.readouterr()
        code = main(words)
        printed, error = self._capsys.readouterr()
        assert code == 0, error
        self._settle()
        return printed

    def _sent(self, words: list[str]) -> str:
        assert self._app is not None, "the page must start the app first"
        request = curl_of(words)
        answer = self._app.request(request.method, request.target, headers=request.headers, data=request.body)
        self._settle()
        return f"{_head(answer)}\n{answer.text}" if request.shows_head else answer.text

    def _settle(self) -> None:
        if self._app is not None:
            self._app.settle()


def _command(*words: str) -> Command:
    found = find_command(words)
    assert found is not None, words
    return found


def _head(answer: Answer) -> str:
    status = HTTPStatus(answer.status)
    lines = [f"HTTP/1.1 {status} {status.phrase}", *(f"{name}: {value}" for name, value in answer.headers.items()), ""]
    return "\n".join(lines)
