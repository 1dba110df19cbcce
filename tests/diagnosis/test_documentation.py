"""docs/why.md: the list of causes. tests/test_doc_sessions.py runs its examples."""

from __future__ import annotations

from emulator.diagnosis.finding import Cause
from emulator.diagnosis.texts import TEXTS
from release.why_reference import FILE, with_causes


def test_every_cause_has_a_text_and_is_in_the_list() -> None:
    assert set(TEXTS) == set(Cause)
    document = FILE.read_text(encoding="utf-8")
    assert document == with_causes(document), "write it again: python -m release.why_reference"
