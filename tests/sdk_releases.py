"""Skips of tests whose app needs a newer release of azure-functions or azure-functions-durable than the installed one.

With the releases of requirements/dev.lock no test is skipped for this reason. The suite also runs with the lowest
releases that azemu works with (see CONTRIBUTING.md), and what they do not have cannot be tested there.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import pytest

FUNCTIONS: Final = "azure-functions"
DURABLE: Final = "azure-functions-durable"
AIOHTTP: Final = "aiohttp"

# What an app contains, and the first release that has it. Found by looking into the releases.
_NEEDS: Final = (
    (r"^(import|from) azure\.durable_functions\b", DURABLE, "1.0.0"),
    (r"\bdf\.DFApp\b", DURABLE, "1.2.0"),
    (r"\bdf\.Blueprint\b", DURABLE, "1.2.5"),
    (r"\bclient\.(suspend|resume)\(", DURABLE, "1.2.9"),
    (r"\bclient\.restart\(", DURABLE, "1.6.0"),
    (
        r"\bfunc\.Blueprint\b|\b(A|W)sgiFunctionApp\b|_(input|output)\(arg_name|\.register_functions\(",
        FUNCTIONS,
        "1.12.0",
    ),
    # In 1.12.0 it calls a method of its own that is deprecated, and warnings are errors in tests.
    (r"\bAsgiFunctionApp\b", FUNCTIONS, "1.13.3"),
    (r"\.(timer|warm_up)_trigger\(", FUNCTIONS, "1.13.3"),
    (r"@\w+\.retry\(", FUNCTIONS, "1.18.0"),
)


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release)[:3])


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# Read once, because tests install metadata of other releases.
_INSTALLED = {package: _installed(package) for package in (FUNCTIONS, DURABLE, AIOHTTP)}


def has_release(package: str, lowest: str) -> bool:
    """Return whether this or a later release of the package was installed when the tests began."""
    installed = _INSTALLED[package]
    return installed is not None and _numbers(installed) >= _numbers(lowest)


def needs(package: str, lowest: str) -> pytest.MarkDecorator:
    """Return the mark of tests that need this or a later release of the package."""
    return pytest.mark.skipif(not has_release(package, lowest), reason=f"needs {package} {lowest} or later")


def skip_unless_supported(source: str) -> None:
    """Skip the running test if the source code of its app needs a later release than the installed one."""
    for pattern, package, lowest in _NEEDS:
        if not has_release(package, lowest) and (found := re.search(pattern, source, re.MULTILINE)):
            pytest.skip(f"'{found[0]}' needs {package} {lowest} or later")
