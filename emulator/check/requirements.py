"""Rules about the Python version, requirements.txt, and what the app imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from emulator.check.azure_offers import AS_OF, MISPLACED_PACKAGES, PYTHON_VERSIONS
from emulator.check.findings import Finding
from emulator.check.sources import AppSources, statements_of_module

FILE_NAME: Final = "requirements.txt"
# Other files in which projects list their packages. The packages in them are not judged.
_OTHER_LISTS: Final = ("pyproject.toml", "Pipfile", "poetry.lock", "uv.lock", "setup.py", "environment.yml")

_NAME: Final = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(?:[=<>!~;@#]|$)")
_LOCAL: Final = re.compile(r"\s*(-e\b|--editable\b|\.{1,2}[/\\]|/|[A-Za-z]:\\|file:)|.*@\s*file:")
# The platform has these packages itself.
_OF_THE_PLATFORM: Final = frozenset(("azure.functions",))
# Modules whose package is not found by its files, because it may not be installed here.
_PACKAGE_OF_MODULE: Final[Mapping[str, str]] = {
    "azure.durable_functions": "azure-functions-durable",
    "azure.functions": "azure-functions",
    "azure.storage.blob": "azure-storage-blob",
    "azure.storage.queue": "azure-storage-queue",
    "azure.data.tables": "azure-data-tables",
    "azure.identity": "azure-identity",
    "azure.cosmos": "azure-cosmos",
    "azure.servicebus": "azure-servicebus",
    "azure.eventhub": "azure-eventhub",
    "azure.keyvault.secrets": "azure-keyvault-secrets",
    "requests": "requests",
    "httpx": "httpx",
    "aiohttp": "aiohttp",
    "pydantic": "pydantic",
    "fastapi": "fastapi",
    "flask": "flask",
    "numpy": "numpy",
    "pandas": "pandas",
    "yaml": "pyyaml",
    "PIL": "pillow",
    "dotenv": "python-dotenv",
    "dateutil": "python-dateutil",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "sklearn": "scikit-learn",
}


@dataclass(frozen=True, slots=True)
class _Requirement:
    """One line of requirements.txt. `name`: normalized; empty for options and paths."""

    name: str
    line: int
    text: str


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
    yield Finding("AZ601", FILE_NAME, 1, 0, text)


def requirement_findings(sources: AppSources) -> Iterator[Finding]:
    """Yield findings about requirements.txt, and about imported packages that it lacks."""
    path = sources.root / FILE_NAME
    imported = _imported_packages(sources)
    try:
        lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    except FileNotFoundError:
        has_other = any((sources.root / name).is_file() for name in _OTHER_LISTS)
        if imported and not has_other:
            names = ", ".join(sorted(imported))
            yield Finding(
                "AZ602",
                FILE_NAME,
                1,
                0,
                f"There is no {FILE_NAME}, so Azure installs nothing that the app imports: {names}. Create it.",
            )
        return
    except OSError:
        return
    requirements = list(_requirements(lines, sources.root))
    yield from _misplaced(requirements)
    # Files that cannot be followed may name anything.
    if any(re.match(r"\s*(-r|-c|--requirement)\b", line) for line in lines):
        return
    listed = {each.name for each in requirements} - MISPLACED_PACKAGES.keys()
    listed |= _dependencies(listed)
    for package, (file, node) in sorted(imported.items()):
        if package not in listed:
            source = next(each for each in sources.files if each.file == file)
            yield source.finding(
                "AZ603", node, f"The app imports a module of {package}, which {FILE_NAME} does not list. Add it there."
            )


def _requirements(lines: Sequence[str], root: Path) -> Iterator[_Requirement]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = None if _LOCAL.match(text) or text.startswith("-") else _NAME.match(text)
        yield _Requirement("" if match is None else _normalized(match.group(1)), number, text)


def _misplaced(requirements: Sequence[_Requirement]) -> Iterator[Finding]:
    for each in requirements:
        if (reason := MISPLACED_PACKAGES.get(each.name)) is not None:
            yield Finding("AZ604", FILE_NAME, each.line, 1, f"Remove {each.name} from {FILE_NAME}. {reason}")
        elif _LOCAL.match(each.text):
            yield Finding(
                "AZ605",
                FILE_NAME,
                each.line,
                1,
                f"'{each.text}' is a path of this machine, which Azure cannot install. Copy the code into the app, or "
                "list a published package.",
            )


def _imported_packages(sources: AppSources) -> Mapping[str, tuple[str, ast.stmt]]:
    """Return the packages that the app needs, by name, with the first import of each.

    Only imports that are not inside `try` count, and only of packages that are known here: installed, or well known.
    """
    own = {path.stem for path in sources.root.iterdir()} | {module.partition(".")[0] for module in sources.modules}
    found: dict[str, tuple[str, ast.stmt]] = {}
    for source in sources.files:
        for node, name in _imports(source.tree):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in own or top == "__app__":
                continue
            package = _known_package(name)
            if package is None and top != "azure":
                of_top = _installed_packages().get(top, ())
                package = _normalized(of_top[0]) if len(set(of_top)) == 1 else None
            if package is not None and not any(f"{name}.".startswith(f"{each}.") for each in _OF_THE_PLATFORM):
                found.setdefault(package, (source.file, node))
    return found


@cache  # Reads the metadata of all installed packages.
def _installed_packages() -> Mapping[str, Sequence[str]]:
    """Return the names of the packages that install a top-level module."""
    return metadata.packages_distributions()


def _imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yield the modules that a file imports when it is loaded, without those in `try` and `if`."""
    for node in statements_of_module(tree):
        if node not in tree.body:
            continue
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            # `from azure import durable_functions`: the module is the name.
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def _known_package(name: str) -> str | None:
    parts = name.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_PACKAGE_OF_MODULE[prefix] for prefix in prefixes if prefix in _PACKAGE_OF_MODULE), None)


def _dependencies(names: set[str]) -> set[str]:
    """Return what the listed packages need in turn, as far as they are installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        try:
            needed = metadata.requires(name) if name else None
        except (metadata.PackageNotFoundError, ValueError):
            continue
        for text in needed or ():
            match = re.match(r"[A-Za-z0-9._-]+", text)
            package = _normalized(match.group()) if match else ""
            # Extras are left out: nothing says that the app has asked for them.
            if package and "extra ==" not in text and package not in found | names:
                found.add(package)
                waiting.append(package)
    return found


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
