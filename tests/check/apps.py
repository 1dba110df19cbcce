"""Small apps for tests of `azemu check`, and what the check finds in them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from emulator.check.checking import CheckOptions, Report, check_app
from emulator.check.findings import Finding

HEADER = "import azure.durable_functions as df\nimport azure.functions as func\n\napp = df.DFApp()\n"
HOST_JSON = (
    '{"version": "2.0", "extensionBundle": '
    '{"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}}'
)
COMPLETE = {"host.json": HOST_JSON, "requirements.txt": "azure-functions\nazure-functions-durable\n"}
# A day on which Azure supports the Python of the tests.
TODAY = date(2026, 11, 30)

_MARK = re.compile(r"(?:#|//) finds (AZ\d+(?:, AZ\d+)*)")


def write_app(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def report_of(folder: Path, *, load: bool = False, environ: Mapping[str, str] | None = None) -> Report:
    return asyncio.run(check_app(CheckOptions(app=folder, load=load), environ or {}, TODAY))


def found_in(folder: Path, *, load: bool = False, environ: Mapping[str, str] | None = None) -> list[Finding]:
    return list(report_of(folder, load=load, environ=environ).findings)


def marks_of(files: Mapping[str, str]) -> set[tuple[str, int, str]]:
    """The places that a comment `# finds AZ…` marks: file, line, code."""
    return {
        (name, number, code)
        for name, text in files.items()
        for number, line in enumerate(text.splitlines(), 1)
        for match in _MARK.finditer(line)
        for code in match.group(1).split(", ")
    }


def places_of(findings: list[Finding]) -> set[tuple[str, int, str]]:
    return {(finding.file, finding.line, finding.code) for finding in findings}
