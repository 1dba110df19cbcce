"""The language of messages, docstrings, comments and pages: plain technical English (see CONTRIBUTING.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What is easy to find, and what to write instead.
UNUSUAL = {
    r"(?<![Tt]here )\b(?:is|are) no (?:valid )?(?:[A-Z]\w+|number|file|time|text|task|list|object|name|path)\b": (
        "is not a …"
    ),
    r"\b(?:goes|went) on\b": "continues",
    r"\bnothing but\b": "only",
    r"\b(?:whoever|can be had|in vain|made up for)\b": "a plain word",
}
FILES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if "protocol" not in page.relative_to(ROOT).parts),
    *(file for folder in ("emulator", "samples", "release", "fuzz") for file in sorted((ROOT / folder).rglob("*.py"))),
]


@pytest.mark.parametrize("pattern", UNUSUAL)
def test_texts_are_plain(pattern: str) -> None:
    unusual = re.compile(pattern)
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in FILES
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if unusual.search(line)
    ]
    assert found == [], f"write {UNUSUAL[pattern]}"
