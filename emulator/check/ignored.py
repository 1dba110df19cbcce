"""Patterns of .funcignore and .gitignore files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


class IgnoreFile:
    """The patterns of one file in the form of .gitignore. Later patterns win; `!` includes again."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._patterns: list[tuple[re.Pattern[str], bool, bool]] = []
        for line in lines:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            negated = text.startswith("!")
            text = text.removeprefix("!")
            only_folders = text.endswith("/")
            self._patterns.append((regular_expression(text.rstrip("/")), negated, only_folders))

    @classmethod
    def read(cls, path: Path) -> IgnoreFile | None:
        """Read a file; None if there is none."""
        try:
            return cls(path.read_text("utf-8-sig", errors="replace").splitlines())
        except OSError:
            return None

    def excludes(self, file: str) -> bool:
        """Whether a file is excluded, itself or with a folder above it. `file`: relative, with slashes."""
        parts = file.split("/")
        # As in Git, a file cannot be included again if a folder above it is excluded.
        return any(self._matches("/".join(parts[:end]), is_folder=end < len(parts)) for end in range(1, len(parts) + 1))

    def _matches(self, path: str, *, is_folder: bool) -> bool:
        excluded = False
        # The last pattern that matches decides.
        for expression, negated, only_folders in self._patterns:
            if (is_folder or not only_folders) and expression.fullmatch(path):
                excluded = not negated
        return excluded


def regular_expression(pattern: str) -> re.Pattern[str]:
    """Return the regular expression of a pattern, for whole paths with slashes."""
    # A slash in front or in the middle binds the pattern to the folder of the file.
    anchored = "/" in pattern
    parts = []
    rest = pattern.lstrip("/")
    while rest:
        if rest.startswith("**/"):
            parts.append("(?:.*/)?")
            rest = rest[3:]
        elif rest.startswith("**"):
            parts.append(".*")
            rest = rest[2:]
        elif rest[0] == "*":
            parts.append("[^/]*")
            rest = rest[1:]
        elif rest[0] == "?":
            parts.append("[^/]")
            rest = rest[1:]
        elif rest[0] == "[" and (end := rest.find("]", 2)) > 0:
            inside = rest[1:end].replace("\\", "\\\\")
            parts.append(f"[{'^' + inside[1:] if inside[0] == '!' else inside}]")
            rest = rest[end + 1 :]
        else:
            parts.append(re.escape(rest[0]))
            rest = rest[1:]
    try:
        return re.compile(("" if anchored else "(?:.*/)?") + "".join(parts))
    except re.error:
        return re.compile(re.escape(pattern))
