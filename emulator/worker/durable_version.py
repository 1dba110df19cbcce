"""Detection of releases of azure-functions-durable that azemu cannot run.

Old ones are not tested. Those from 2.0 on exchange protobuf messages over gRPC, which azemu does not have yet.
Source of the latter: docs/protocol/durable-v2-grpc.md 1.1 and 1.3.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from emulator.errors import AppLoadError
from emulator.packages import UnusablePackage, require
from emulator.worker.port import FunctionMetadata

_PACKAGE: Final = "azure-functions-durable"
# The member of every binding that the decorators of 2.x write.
_MARK: Final = "durablerequiresgrpc"


class DurableVersionUnsupported(AppLoadError):
    """The app uses azure-functions-durable 2.x. `found`: its version, or a text that says so."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"The app uses {_PACKAGE} {found}, but azemu needs {_PACKAGE}<2 for now: from version 2 on, the package "
            "talks to the host over gRPC.\n"
            f"Write {_PACKAGE}>=1.7.0,<2 into requirements.txt, and run: "
            f'{sys.executable} -m pip install "{_PACKAGE}>=1.7.0,<2"'
        )


class DurableVersionTooOld(AppLoadError):
    """The app uses a release of azure-functions-durable that is older than emulator.packages.PACKAGES allows."""


def check_imported_version() -> None:
    """Raise an error if the app has imported a release of azure-functions-durable that azemu cannot run.

    It is DurableVersionUnsupported or DurableVersionTooOld.

    It is called also when the import has failed: code for 1.x may fail with 2.x, with errors that do not say why.
    """
    # An app that does not use the package runs with any version of it.
    if "azure.durable_functions" in sys.modules:
        _check_version(tuple(sys.path))


@lru_cache(maxsize=1)  # A test run starts apps hundreds of times, and looking for the metadata takes long.
def _check_version(search_path: tuple[str, ...]) -> None:
    """Check the version whose metadata is found on the search path of this process."""
    # Imported late: it takes longer than most modules, and apps without durable functions do not need it.
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(_PACKAGE)
    except PackageNotFoundError:
        # The package without its metadata, as some build tools leave it. The functions tell; see below.
        return
    major = found.partition(".")[0]
    if major.isdecimal() and int(major) >= 2:
        raise DurableVersionUnsupported(found)
    try:
        require(_PACKAGE)
    except UnusablePackage as error:
        # As an error of the app: azemu itself does not need the package, and the host stays up until it is installed.
        raise DurableVersionTooOld(str(error)) from None


def check_functions(functions: Iterable[FunctionMetadata]) -> None:
    """Raise DurableVersionUnsupported if a binding demands gRPC."""
    for function in functions:
        for binding in function.bindings:
            if any(name.lower() == _MARK and value is True for name, value in binding.properties.items()):
                raise DurableVersionUnsupported("2 or later")
