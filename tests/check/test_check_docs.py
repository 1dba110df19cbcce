"""docs/check.md lists every rule, and the tests show every rule."""

from __future__ import annotations

import re
from pathlib import Path

from emulator.check.findings import RULES

ROOT = Path(__file__).parents[2]


def test_page_lists_every_rule_with_its_level() -> None:
    page = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (AZ\d+) \| (error|warning|info) \|", page, re.MULTILINE)
    assert listed == [(rule.code, rule.level.value) for rule in RULES.values()]


def test_every_rule_is_part_of_a_test() -> None:
    tests = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    shown = {code for path in tests for code in re.findall(r"AZ\d+", path.read_text(encoding="utf-8"))}
    assert set(RULES) - shown == set()
