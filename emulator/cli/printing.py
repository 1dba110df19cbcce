"""Output of commands: tables, JSON documents, questions, and progress at a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self

from emulator import bound_json as json
from emulator.errors import EmulatorError
from emulator.host.console.output import use_colour

JSON_VERSION: Final = 1
"""Version of the JSON documents. It changes only when a member is removed or changes its meaning."""

_COLOURS: Final = {
    "Completed": "\x1b[32m",
    "Running": "\x1b[36m",
    "Failed": "\x1b[91m",
    "Terminated": "\x1b[91m",
    "Canceled": "\x1b[91m",
    "Suspended": "\x1b[33m",
    "Pending": "\x1b[33m",
}
_PLAIN: Final = "\x1b[0m"
_GAP: Final = "  "
# Progress is shown for what takes longer than this.
_QUIET_SECONDS: Final = 1.0
_PROGRESS_SECONDS: Final = 0.2


class Declined(EmulatorError):
    """The user has not confirmed a deletion."""


def print_json(members: Mapping[str, Any]) -> None:
    """Print one JSON document: the version and the members."""
    sys.stdout.write(f"{json_text({'version': JSON_VERSION, **members}, indent=2)}\n")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON that the standard output can contain without loss, whatever its encoding is."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


class Table:
    """Table that is printed in parts. The first part decides the widths of the columns; longer cells stay whole.

    The texts of statuses have colours at a terminal.
    """

    def __init__(self, *titles: str) -> None:
        self._titles = titles
        self._widths: list[int] | None = None
        self._colours = _COLOURS if use_colour(sys.stdout, os.environ) else {}

    def print(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows; before the first ones, the titles."""
        if not rows:
            return
        if self._widths is None:
            self._widths = [max(map(len, column)) for column in zip(self._titles, *rows, strict=True)]
            self._line(self._titles)
        for row in rows:
            self._line([one_line(cell) for cell in row])
        sys.stdout.flush()

    def _line(self, cells: Sequence[str]) -> None:
        assert self._widths is not None
        padded = [f"{cell:{width}}" for cell, width in zip(cells, self._widths, strict=True)]
        # The last column needs no spaces behind it.
        padded[-1] = cells[-1]
        coloured = [
            f"{self._colours[cell]}{text}{_PLAIN}" if cell in self._colours else text
            for cell, text in zip(cells, padded, strict=True)
        ]
        sys.stdout.write(f"{_GAP.join(coloured).rstrip()}\n")


def one_line(text: str, limit: int | None = None) -> str:
    """Return a text without control characters, which could change the terminal; cut to `limit` characters."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return shown if limit is None or len(shown) <= limit else f"{shown[: limit - 1]}…"


def shown_lines(text: str) -> str:
    """Return a text of several lines without control characters, which could change the terminal."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def shown_value(value: Any) -> str:
    """Return a value of JSON as text for users: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def confirm(question: str, *, yes: bool, always: bool = False) -> None:
    """Ask the user at a terminal. Return if the answer is yes or `yes` (the option --yes) is given.

    Without a terminal nothing is asked, unless `always`: then --yes is required. Raises Declined.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        if always:
            raise Declined(f"{question} There is no terminal to ask at. Confirm it with --yes.")
        return
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Declined("Nothing was deleted.")


class ProgressLine:
    """Progress of a command: one line of the standard error that is overwritten. At a terminal only, after a second."""

    def __init__(self) -> None:
        self.is_terminal = sys.stderr.isatty()
        self._next = time.monotonic() + _QUIET_SECONDS
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove the line, so that something else can be printed."""
        # Spaces instead of an escape sequence, which older consoles of Windows would show.
        if self._width:
            with suppress(OSError):
                sys.stderr.write(f"\r{'':{self._width}}\r")
                sys.stderr.flush()
            self._width = 0

    def show(self, text: str) -> None:
        """Show a text instead of the last one."""
        now = time.monotonic()
        # A fast command shows nothing, and a log file has no line that is overwritten.
        if not self.is_terminal or now < self._next:
            return
        self._next = now + _PROGRESS_SECONDS
        # A line that the terminal breaks could not be overwritten. Its last column belongs to the cursor.
        text = one_line(text, shutil.get_terminal_size().columns - 1)
        sys.stderr.write(f"\r{text:{self._width}}")
        sys.stderr.flush()
        self._width = len(text)

    def print(self, text: str) -> None:
        """Print a line that stays, instead of the progress."""
        self.clear()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Show `doing` and the seconds, at a terminal after a second: for what tells nothing about its progress."""
    line = ProgressLine()
    if not line.is_terminal:
        yield
        return
    ended = threading.Event()

    # In a thread, because what takes long is a call that blocks, such as a request or the import of an app.
    def count() -> None:
        started = time.monotonic()
        with line:
            while not ended.wait(_PROGRESS_SECONDS):
                line.show(f"{doing} ({time.monotonic() - started:.0f} s) …")

    thread = threading.Thread(target=count, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
