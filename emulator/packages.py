"""Lowest versions of the packages that azemu uses, and the check of the installed ones.

pip does not undo an installation whose requirements conflict: it prints a warning and leaves the package at the other
version. Without the check the first sign would be a traceback through azemu.

    require("azure-functions")
"""

from __future__ import annotations

import importlib
import re
import sys
from typing import NamedTuple

from emulator.errors import EmulatorError


class Package(NamedTuple):
    """A package by its name on the package index. `lowest`: the lowest version that azemu is tested with."""

    module: str
    lowest: str


PACKAGES = {
    "azure-functions": Package("azure.functions", "1.11.0"),
    "azure-functions-durable": Package("azure.durable_functions", "1.0.0"),
    "aiohttp": Package("aiohttp", "3.8.3"),
    "azure-core": Package("azure.core", "1.19.1"),
    "azure-storage-queue": Package("azure.storage.queue", "12.2.0"),
    "azure-storage-blob": Package("azure.storage.blob", "12.8.0"),
    "azure-data-tables": Package("azure.data.tables", "12.3.0"),
    "regex": Package("regex", "2022.9.13"),
}
"""By name. The same versions are in pyproject.toml; docs/compatibility.md says where each comes from."""


class UnusablePackage(EmulatorError):
    """A package that azemu needs is missing or too old. The message says which, and how to install it."""

    def __init__(self, name: str, problem: str) -> None:
        lowest = PACKAGES[name].lowest
        super().__init__(
            f"{problem} azemu needs {name} {lowest} or newer. To install it, run: "
            f'{sys.executable} -m pip install -U "{name}>={lowest}"'
        )


def require(name: str) -> None:
    """Import a package of PACKAGES and check its version. Raises UnusablePackage if it is missing or too old."""
    package = PACKAGES[name]
    try:
        module = importlib.import_module(package.module)
    except ImportError as error:
        raise UnusablePackage(name, f"The package {name} cannot be imported ({error}).") from error
    version = getattr(module, "__version__", None)
    if not version:
        # Imported late: it takes longer than the import of most packages, and few of them have no __version__.
        from importlib import metadata

        version = metadata.version(name)
    if _release(str(version)) < _release(package.lowest):
        raise UnusablePackage(name, f"The package {name} {version} in {sys.prefix} is too old.")


def _release(version: str) -> list[int]:
    """Return the numbers of a version."""
    # What follows them, such as rc1 in 2.0.0rc1, does not matter for a lower bound.
    numbers = [int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", version)[0])]  # type: ignore[index]
    # 1.2 and 1.2.0 are the same version.
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
