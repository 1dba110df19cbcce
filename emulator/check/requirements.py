"""Rules about the Python version, and about requirements.txt and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from emulator.check.azure_offers import AS_OF, MISPLACED_PACKAGES, PYTHON_VERSIONS
from emulator.check.findings import Finding, unreadable_file
from emulator.check.imported_packages import imported_packages, normalized, with_dependencies
from emulator.check.sources import REQUIREMENTS, AppSources

# Other files in which projects list their packages. The packages in them are not judged.
_OTHER_LISTS: Final = ("pyproject.toml", "Pipfile", "poetry.lock", "uv.lock", "setup.py", "environment.yml")

# Name and extras of a requirement. What follows must be a version, a marker, a URL, a comment or nothing.
_NAME: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(?:[=<>!~;@#]|$)")
_LOCAL: Final = re.compile(r"(-e\b|--editable\b|\.{1,2}[/\\]|\.$|/|[A-Za-z]:\\|file:)|.*@\s*file:")
_DURABLE_2: Final = re.compile(r"azure[-_.]functions[-_.]durable\s*(?:==|~=|>=|>)\s*[2-9]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of requirements.txt. `name`: as package indexes compare it; empty for options, paths and URLs."""

    name: str
    has_extras: bool
    line: int
    text: str


def needs_durable_2(sources: AppSources) -> bool:
    """Whether the app is written for azure-functions-durable 2, where other rules apply to tasks and parameters."""
    if any(_DURABLE_2.match(each.text) for each in requirements_of(sources)):
        return True
    # Without a version the code tells: the package durabletask came with 2.
    return any(
        name.partition(".")[0] == "durabletask" or name.startswith("azure.durable_functions.DurableFunctions")
        for source in sources.files
        for name in source.imports.values()
    )


def python_findings(version: tuple[int, int], today: date) -> Iterator[Finding]:
    """Yield a finding about a Python version that Azure does not run, or no longer supports."""
    shown = ".".join(map(str, version))
    offered = ", ".join(".".join(map(str, each)) for each, of in PYTHON_VERSIONS.items() if of.supported_until >= today)
    known = PYTHON_VERSIONS.get(version)
    if known is None:
        text = f"Azure Functions has no Python {shown} (as of {AS_OF}). Use one of: {offered}."
    elif known.supported_until < today:
        text = f"Azure Functions supported Python {shown} until {known.supported_until}. Use one of: {offered}."
    else:
        return
    yield Finding("AZ601", REQUIREMENTS, 1, 0, text)


def requirement_findings(sources: AppSources) -> Iterator[Finding]:
    """Yield findings about requirements.txt, and about imported packages that it lacks."""
    imported = imported_packages(sources)
    try:
        requirements = read_requirements(sources.requirement_lines)
    except FileNotFoundError:
        if imported and not any((sources.root / name).is_file() for name in _OTHER_LISTS):
            names = ", ".join(sorted(imported))
            text = f"There is no {REQUIREMENTS}, so Azure installs nothing that the app imports: {names}. Create it."
            yield Finding("AZ602", REQUIREMENTS, 1, 0, text)
        return
    except OSError as error:
        yield unreadable_file(REQUIREMENTS, error)
        return
    for each in requirements:
        if (reason := MISPLACED_PACKAGES.get(each.name)) is not None:
            yield Finding("AZ604", REQUIREMENTS, each.line, 1, f"Remove {each.name} from {REQUIREMENTS}. {reason}")
        elif _LOCAL.match(each.text):
            text = (
                f"'{each.text}' is a path of this machine, which Azure cannot install. Copy the code into the app, or "
                "list a published package."
            )
            yield Finding("AZ605", REQUIREMENTS, each.line, 1, text)
    # What other files, paths and URLs install is not known.
    if any(not each.name and not each.text.startswith("--") for each in requirements):
        return
    packages = {each.name for each in requirements} - MISPLACED_PACKAGES.keys()
    missing = imported.keys() - packages
    # The dependencies of many packages take long to read.
    extras = {each.name for each in requirements if each.has_extras}
    listed = with_dependencies(packages, extras=extras) if missing else frozenset()
    # Without the packages themselves it is not known what they need.
    for package in sorted(missing.difference(listed)) if listed is not None else ():
        source, node = imported[package]
        text = f"The app imports a module of {package}, which {REQUIREMENTS} does not list. Add it there."
        yield source.finding("AZ603", node, text)


def requirements_of(sources: AppSources) -> list[Requirement]:
    """Return the requirements of the app; none without the file, which another rule reports."""
    try:
        return read_requirements(sources.requirement_lines)
    except OSError:
        return []


def read_requirements(lines: Sequence[str]) -> list[Requirement]:
    """Return the requirements of a file, with options and paths, without comments and empty lines."""
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        match = None if _LOCAL.match(text) else _NAME.match(text)
        name, extras = (match.group(1), match.group(2)) if match is not None else ("", None)
        if text and not text.startswith("#"):
            found.append(Requirement(normalized(name), extras is not None, number, text))
    return found
