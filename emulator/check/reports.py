"""Reports of a check: lines for people, JSON, and SARIF for code scanning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from emulator import __version__
from emulator.check.checking import Report
from emulator.check.findings import RULES, Finding, Level

_COLOURS: Final = {Level.ERROR: "\x1b[91m", Level.WARNING: "\x1b[93m", Level.INFO: "\x1b[96m"}
_PLAIN: Final = "\x1b[0m"
# SARIF has other words.
_SARIF_LEVELS: Final = {Level.ERROR: "error", Level.WARNING: "warning", Level.INFO: "note"}
_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def text_report(report: Report, *, colour: bool = False) -> str:
    """Return a line for each finding, `file:line:column: level CODE message`, and a summary."""
    lines = [_line(finding, colour=colour) for finding in report.findings]
    counts = [
        _counted(report.count(level), word)
        for level, word in ((Level.ERROR, "error"), (Level.WARNING, "warning"), (Level.INFO, "note"))
        if report.count(level)
    ]
    functions = _counted(report.functions, "function")
    summary = f"{', '.join(counts)} in {functions}." if counts else f"Nothing found in {functions}."
    return "\n".join([*lines, summary, ""])


def _line(finding: Finding, *, colour: bool) -> str:
    place = f"{finding.file}:{finding.line}" + (f":{finding.column}" if finding.column else "")
    before, after = (_COLOURS[finding.level], _PLAIN) if colour else ("", "")
    # A message of the app, such as that of an exception, may have several lines.
    return f"{place}: {before}{finding.level.value}{after} {finding.code} {' '.join(finding.message.split())}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def rule_lines() -> str:
    """Return a line for each rule: code, level and title."""
    return "".join(f"{rule.code}  {rule.level.value:7}  {rule.title}\n" for rule in RULES.values())


def json_report(report: Report) -> dict[str, Any]:
    """Return the members of the report as JSON. `column` is null where it is not known."""
    return {
        "app": str(report.root),
        "functions": report.functions,
        "errors": report.count(Level.ERROR),
        "warnings": report.count(Level.WARNING),
        "notes": report.count(Level.INFO),
        "findings": [
            {
                "code": finding.code,
                "level": finding.level.value,
                "title": RULES[finding.code].title,
                "file": finding.file,
                "line": finding.line,
                "column": finding.column or None,
                "message": finding.message,
            }
            for finding in report.findings
        ],
    }


def sarif_report(report: Report) -> dict[str, Any]:
    """Return the report as a SARIF 2.1.0 log. Paths are relative to the repository, as code scanning needs them."""
    base = next((folder for folder in (report.root, *report.root.parents) if (folder / ".git").exists()), report.root)
    # SARIF refers to rules by their position in the list.
    codes = list(RULES)
    return {
        "$schema": _SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "azemu check",
                        "semanticVersion": __version__,
                        "rules": [
                            {
                                "id": rule.code,
                                "shortDescription": {"text": rule.title},
                                "defaultConfiguration": {"level": _SARIF_LEVELS[rule.level]},
                            }
                            for rule in RULES.values()
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"ROOT": {"uri": f"{base.as_uri()}/"}},
                "results": [
                    _result(finding, report.root, base, codes.index(finding.code)) for finding in report.findings
                ],
            }
        ],
    }


def _result(finding: Finding, root: Path, base: Path, rule: int) -> dict[str, Any]:
    path = root / finding.file
    file = path.relative_to(base).as_posix() if path.is_relative_to(base) else finding.file
    region = {"startLine": finding.line, **({"startColumn": finding.column} if finding.column else {})}
    return {
        "ruleId": finding.code,
        "ruleIndex": rule,
        "level": _SARIF_LEVELS[finding.level],
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(file), "uriBaseId": "ROOT"},
                    "region": region,
                }
            }
        ],
    }
