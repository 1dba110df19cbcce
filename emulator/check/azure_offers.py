"""What Azure Functions offered on the date below: Python versions, extension bundles, packages of the platform.

Only this file has facts that change with time. Sources: Microsoft Learn, "Azure Functions runtime versions overview",
"Python 3.13+ in Azure Functions", "Extension bundles"; the end of support of Python itself (PEP 619, 664, 693, 719).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

AS_OF: Final = date(2026, 11, 30)


@dataclass(frozen=True, slots=True)
class PythonVersion:
    """A Python version of Azure Functions. `linux_consumption`: whether that plan has it, too."""

    supported_until: date
    linux_consumption: bool


PYTHON_VERSIONS: Final[Mapping[tuple[int, int], PythonVersion]] = {
    (3, 10): PythonVersion(date(2026, 10, 31), linux_consumption=True),
    (3, 11): PythonVersion(date(2027, 10, 31), linux_consumption=True),
    (3, 12): PythonVersion(date(2028, 10, 31), linux_consumption=True),
    (3, 13): PythonVersion(date(2029, 10, 31), linux_consumption=False),
    (3, 14): PythonVersion(date(2030, 10, 31), linux_consumption=False),
}

BUNDLE_ID: Final = "Microsoft.Azure.Functions.ExtensionBundle"
RECOMMENDED_BUNDLE: Final = "[4.*, 5.0.0)"
OLDEST_SUPPORTED_BUNDLE: Final = 4

# Packages by their names on the package index, and why they do not belong into requirements.txt.
MISPLACED_PACKAGES: Final[Mapping[str, str]] = {
    "azure-functions-worker": "It is part of the platform, and another version of it breaks the app.",
    "azemu": "It runs apps on your machine; on Azure the platform does.",
    "azure-functions-core-tools": "It runs apps on your machine; on Azure the platform does.",
}
