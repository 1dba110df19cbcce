"""Findings of a check, and the table of all rules. docs/check.md explains each rule by its code."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.regular_files import read_regular_text

_SUPPRESSION: Final = re.compile(r"azemu:\s*ignore(?:\[([A-Z0-9,\s]*)\])?")


class Level(enum.Enum):
    """How bad a finding is. ERROR: the app or a function fails on Azure. WARNING: probably. INFO: good to know."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding. `code`: stable, as users write it in suppressions. `title`: one line, for lists."""

    code: str
    level: Level
    title: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `file`: path from the app's folder, with slashes. `line`, `column`: from 1; column 0: unknown."""

    code: str
    file: str
    line: int
    column: int
    message: str

    @property
    def level(self) -> Level:
        return RULES[self.code].level


def unreadable_file(file: str, error: Exception) -> Finding:
    """Return the finding about a file that cannot be read."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return Finding("AZ103", file, 1, 0, f"The file cannot be read: {reason}")


def _rules(level: Level, titles: Mapping[str, str]) -> list[Rule]:
    return [Rule(code, level, title) for code, title in titles.items()]


_ALL: Final[Sequence[Rule]] = (
    *_rules(
        Level.ERROR,
        {
            "AZ101": "The app cannot be loaded",
            "AZ102": "A function cannot be loaded",
            "AZ103": "A file cannot be read or parsed",
            "AZ201": "An orchestrator reads the clock",
            "AZ202": "An orchestrator uses random numbers",
            "AZ203": "An orchestrator creates a random id",
            "AZ205": "An orchestrator does input or output",
            "AZ206": "An orchestrator sleeps",
            "AZ207": "An orchestrator uses threads, processes or asyncio",
            "AZ211": "An orchestrator has a binding",
            "AZ301": "A durable task is not yielded",
            "AZ302": "The result of a durable task is used before it is yielded",
            "AZ303": "An orchestrator has no yield",
            "AZ304": "yield inside a comprehension",
            "AZ305": "An orchestrator is an async function",
            "AZ306": "An orchestrator yields something else than a task",
            "AZ307": "A helper with yield is called without yield from",
            "AZ308": "An orchestrator calls another durable function directly",
            "AZ309": "An entity is an async function or a generator",
            "AZ310": "An activity is a generator",
            "AZ311": "A member that the durable SDK does not have",
            "AZ401": "A binding names no parameter",
            "AZ402": "A parameter has no binding",
            "AZ403": "A durable function that does not exist",
            "AZ404": "A durable function of another kind",
            "AZ405": "A method of the durable client is not awaited",
            "AZ406": "A function with a durable client is not async",
            "AZ501": "host.json is wrong",
            "AZ504": "local.settings.json is wrong",
            "AZ506": "FUNCTIONS_WORKER_RUNTIME is not python",
            "AZ507": "host.json has no extension bundle",
            "AZ510": "functionTimeout is longer than the plan allows",
            "AZ511": "A blob trigger that the plan does not run",
            "AZ605": "requirements.txt has a local package",
            "AZ606": "The plan does not have this version of Python",
            "AZ701": "A secret in a file that is deployed",
            "AZ703": ".funcignore excludes a module that the app imports",
        },
    ),
    *_rules(
        Level.WARNING,
        {
            "AZ104": "The app has no functions",
            "AZ105": "Functions of both programming models",
            "AZ106": "A blueprint is not registered",
            "AZ204": "An orchestrator reads the environment",
            "AZ209": "An orchestrator uses global state",
            "AZ210": "An orchestrator iterates over a set",
            "AZ312": "A member that the listed release of the durable SDK does not have",
            "AZ407": "A blocking call in an async function",
            "AZ408": "A decorator outside of the app's decorators",
            "AZ409": "An activity that nothing calls",
            "AZ411": "An HTTP function that waits longer than 230 seconds",
            "AZ502": "A key of host.json or local.settings.json is probably wrong",
            "AZ503": "host.json is missing",
            "AZ508": "The extension bundle is old",
            "AZ509": "A setting has no value",
            "AZ512": "A time zone that the plan ignores",
            "AZ601": "The Python version is not supported",
            "AZ602": "requirements.txt is missing",
            "AZ603": "An imported package is not in requirements.txt",
            "AZ604": "A package that does not belong into requirements.txt",
            "AZ702": "local.settings.json has secrets and may be published",
        },
    ),
    *_rules(
        Level.INFO,
        {
            "AZ107": "azemu cannot load the app, although Azure may",
            "AZ108": "A binding that azemu does not run",
            "AZ109": "A part of host.json that works differently in azemu",
            "AZ410": "An orchestrator or entity that the app does not name",
            "AZ513": "A plan that Azure ends",
            "AZ505": "Something odd in local.settings.json",
            "AZ704": "A folder is deployed although the app does not need it",
        },
    ),
)

RULES: Final[Mapping[str, Rule]] = {rule.code: rule for rule in sorted(_ALL, key=lambda rule: rule.code)}
"""All rules by code."""


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by file, line and code. Of several of a rule at one place the first one is kept."""
    first: dict[object, Finding] = {}
    for finding in sorted(findings, key=lambda each: (each.file, each.line, each.column, each.code, each.message)):
        # Several orchestrators may use one helper. Without a column it is the message that tells two findings apart.
        first.setdefault((finding.code, finding.file, finding.line, finding.column or finding.message), finding)
    return list(first.values())


def without_suppressed(findings: Iterable[Finding], root: Path) -> list[Finding]:
    """Leave out findings whose line has a comment `azemu: ignore` or `azemu: ignore[CODE, …]`."""
    lines: dict[str, Sequence[str]] = {}
    kept = []
    for finding in findings:
        if finding.file not in lines:
            try:
                lines[finding.file] = read_regular_text(root / finding.file, errors="replace").split("\n")
            except OSError:
                lines[finding.file] = ()
        of_file = lines[finding.file]
        line = of_file[finding.line - 1] if 0 < finding.line <= len(of_file) else ""
        match = _SUPPRESSION.search(line)
        codes = None if match is None else match.group(1)
        if match is None or (codes is not None and finding.code not in codes.replace(",", " ").split()):
            kept.append(finding)
    return kept
