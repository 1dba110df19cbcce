"""Patterns of .funcignore and .gitignore files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from pathlib import Path
from typing import Final

from emulator.regular_files import read_regular_text


class IgnoreFile:
    """The patterns of one file in the form of .gitignore. Later patterns win; `!` includes again."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns: list[tuple[Callable[[str], bool], bool, bool]] = []
        for line in lines:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            negated = text.startswith("!")
            text = text.removeprefix("!")
            only_folders = text.endswith("/")
            self._patterns.append((matcher(text.rstrip("/")), negated, only_folders))

    @classmethod
    def read(cls, path: Path) -> IgnoreFile | None:
        """Read a file; None if there is none. Raises OSError if it cannot be read."""
        try:
            return cls(read_regular_text(path, errors="replace").splitlines())
        except FileNotFoundError:
            return None

    def excludes(self, file: str) -> bool:
        """Whether a file is excluded, itself or with a folder above it. `file`: relative, with slashes."""
        parts = file.split("/")
        # As in Git, a file cannot be included again if a folder above it is excluded.
        return any(self._matches("/".join(parts[:end]), is_folder=end < len(parts)) for end in range(1, len(parts) + 1))

    def _matches(self, path: str, *, is_folder: bool) -> bool:
        excluded = False
        # The last pattern that matches decides.
        for matches, negated, only_folders in self._patterns:
            if (is_folder or not only_folders) and matches(path):
                excluded = not negated
        return excluded


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return the condition that a pattern states about whole paths with slashes. Takes linear time in their length."""
    # One for each folder or file of the path; None: any number of folders.
    wanted = [
        None if len(part) > 1 and not part.strip("*") else _segment(part)
        for part in pattern.removeprefix("/").split("/")
    ]
    # A slash in front or in the middle binds the pattern to the folder of the file.
    if "/" not in pattern:
        wanted.insert(0, None)
    # As the end of a pattern, `**` means everything in a folder, but not the folder itself.
    if wanted[-1] is None:
        wanted.append(_segment("*"))

    def matches(path: str) -> bool:
        parts = path.split("/")
        position, at, star, retry = 0, 0, -1, 0
        while at < len(parts):
            part = wanted[position] if position < len(wanted) else _NOTHING
            if part is None:
                star, retry = position, at
                position += 1
            elif part.match(parts[at]):
                position, at = position + 1, at + 1
            # Only the last `**` has to be tried with more folders: what is before it matches already.
            elif star >= 0:
                retry += 1
                position, at = star + 1, retry
            else:
                return False
        return all(part is None for part in wanted[position:])

    return matches


# Matches no text.
_NOTHING: Final = re.compile(r"(?!)")


def _segment(pattern: str) -> re.Pattern[str]:
    # The expressions of fnmatch do not backtrack over several stars. In it, only ! negates a set.
    try:
        return re.compile(translate(pattern.replace("[^", "[!")))
    except re.error:
        return re.compile(rf"{re.escape(pattern)}\Z")
