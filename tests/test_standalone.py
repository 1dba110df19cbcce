"""The repository needs nothing outside itself, and the protocol sections that the code cites exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROTOCOL = ROOT / "docs" / "protocol"
CITING = [
    *sorted((ROOT / "emulator").rglob("*.py")),
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "tests").rglob("*.md")),
]

# Spelled in two parts: this file is searched too.
_OUTSIDE = "sha" + "red"
# Apps have folders of this name, too, so what is in it belongs to the pattern.
_MENTION = re.compile(rf"\b{_OUTSIDE}[\"'/ ]+(spec|golden|cases|style|hooks)\b")

_SECTION = r"(?:\d+(?:\.\d+)*|[A-Z]\b)"
_CITATION = re.compile(
    r"(?P<path>docs/protocol/)?(?P<name>[\w-]+)\.md`?"
    rf"(?:,? (?:chapters?|sections?|appendix))? ?(?P<sections>{_SECTION}(?:(?:, | and | or | to |-){_SECTION})*)?"
)
_HEADING = re.compile(r"^#+ (?:Appendix )?(\d+(?:\.\d+)*|[A-Z])[.:]? ", re.MULTILINE)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a Git checkout")
def test_no_tracked_file_mentions_a_folder_outside_the_repository() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True, text=True)
    names = listing.stdout.splitlines()
    mentions = [
        f"{name}:{number}"
        for name in names
        if (ROOT / name).is_file() and (text := _text(ROOT / name)) is not None
        for number, line in enumerate(text.splitlines(), 1)
        if _MENTION.search(line)
    ]
    assert len(names) > 300
    assert mentions == []


def test_every_cited_protocol_section_exists() -> None:
    cited = [(page, name, section) for page in CITING for name, section in citations(page)]
    missing = [
        f"{page.relative_to(ROOT)}: {name}.md {section or ''}"
        for page, name, section in cited
        if name not in documents() or (section is not None and section not in sections(name))
    ]
    assert len(cited) > 150
    assert missing == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Source: docs/protocol/x.md 2.5 and 2.6.", [("x", "2.5"), ("x", "2.6")]),
        ("Source: docs/protocol/x.md chapters 3.6 to 3.8 (a.cs).", [("x", "3.6"), ("x", "3.8")]),
        ("docs/protocol/x.md\nappendix A (b.cs)", [("x", "A")]),
        ("    # docs/protocol/x.md\n    # 1.3.", [("x", "1.3")]),
        ("docs/protocol/x.md 1.1-1.3, no number", [("x", "1.1"), ("x", "1.3")]),
        ("Source: docs/protocol/x.md.", [("x", None)]),
    ],
)
def test_forms_of_a_citation(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert list(citations_in(text)) == expected


def citations(page: Path) -> Iterator[tuple[str, str | None]]:
    """Yield document and section of every citation. A short form without a folder counts if the document exists."""
    # The examples of this module's own test cite a document that does not exist.
    return citations_in(page.read_text(encoding="utf-8")) if page != Path(__file__) else iter(())


def citations_in(text: str) -> Iterator[tuple[str, str | None]]:
    for citation in _CITATION.finditer(re.sub(r"\s*\n\s*(?:# )?", " ", text)):
        if citation["path"] or citation["name"] in documents():
            for section in re.findall(_SECTION, citation["sections"] or "") or [None]:
                yield citation["name"], section


@cache
def documents() -> frozenset[str]:
    return frozenset(path.stem for path in PROTOCOL.glob("*.md") if path.stem != "README")


@cache
def sections(document: str) -> frozenset[str]:
    return frozenset(_HEADING.findall((PROTOCOL / f"{document}.md").read_text(encoding="utf-8")))


def _text(path: Path) -> str | None:
    """Return the content of a text file, or None for a binary one."""
    data = path.read_bytes()
    return None if b"\0" in data else data.decode("utf-8")
