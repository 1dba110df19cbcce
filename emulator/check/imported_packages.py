"""The packages that an app imports, by the names under which they are installed."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from importlib import metadata
from typing import Final

from emulator.check.sources import AppSources, SourceFile

# The platform has these packages itself.
_OF_THE_PLATFORM: Final = frozenset(("azure-functions",))
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


def imported_packages(sources: AppSources) -> Mapping[str, tuple[SourceFile, ast.stmt]]:
    """Return the packages that the app cannot do without, each with its first import.

    Imports inside `try`, `if` and functions may be optional, so they do not count. Packages that are neither well known
    nor installed here are left out.
    """
    own = {path.stem for path in sources.root.iterdir()} | {module.partition(".")[0] for module in sources.modules}
    found: dict[str, tuple[SourceFile, ast.stmt]] = {}
    for source in sources.files:
        for node, name in imports_of(source.tree):
            top = name.partition(".")[0]
            # A module of the app hides a package of the same name. `__app__` is the app's folder in the v1 model.
            if top in sys.stdlib_module_names or top in own or top == "__app__":
                continue
            package = package_of(name)
            if package is not None and package not in _OF_THE_PLATFORM:
                found.setdefault(package, (source, node))
    return found


def imports_of(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yield the statements at the top of a file that import modules, each with the full name of a module."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            # In `from azure import identity` the name is the module; in other cases it does no harm.
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def package_of(module: str) -> str | None:
    """Return the package that installs a module; None if that is not known."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        known = _PACKAGE_OF_MODULE.get(".".join(parts[:length]))
        if known is not None:
            return known
    # Namespaces such as `azure` belong to many packages.
    installed = set(installed_packages().get(parts[0], ()))
    return normalized(installed.pop()) if len(installed) == 1 else None


@cache  # Reads the metadata of all installed packages.
def installed_packages() -> Mapping[str, Sequence[str]]:
    """Return the names of the packages that install a top-level module, by the module's name."""
    return metadata.packages_distributions()


def with_dependencies(packages: Set[str], *, extras: Set[str]) -> Set[str] | None:
    """Return packages and all that they need in turn; None if one of them is not installed here.

    `extras`: packages that are required with an extra. Which one does not matter: all of them count.
    """
    found: set[str] = set()
    waiting = set(packages) - {""}
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            needed = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:
            if name in packages:
                return None
            # A dependency for another platform or Python, or one of an extra.
            continue
        for text in needed:
            match = re.match(r"[A-Za-z0-9._-]+", text)
            if match is not None and ("extra ==" not in text or name in extras):
                waiting |= {normalized(match.group())} - found
    return found


def normalized(name: str) -> str:
    """Return the name of a package as package indexes compare it: `Azure_Functions` → `azure-functions`."""
    return re.sub(r"[-_.]+", "-", name).lower()
