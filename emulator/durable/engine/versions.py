"""Worker versioning: which instances a worker may run, by their version.

Source: DurableTask.Core, src/DurableTask.Core/Settings/VersioningSettings.cs; docs/protocol/durable-orchestration.md
12.12.
"""

from __future__ import annotations

import re

from emulator.durable.options import VersionMatch

_NUMBERS = re.compile(r"\d+(\.\d+){1,3}")


def accepts(strategy: VersionMatch, worker: str | None, instance: str | None) -> bool:
    """Whether a worker of version `worker` runs an instance of version `instance`. None and "" are the lowest."""
    worker, instance = worker or "", instance or ""
    match strategy:
        case VersionMatch.NONE:
            return True
        case VersionMatch.STRICT:
            return _key(worker, instance) == _key(instance, worker)
        case VersionMatch.CURRENT_OR_OLDER:
            return _key(instance, worker) <= _key(worker, instance)


def _key(version: str, other: str) -> tuple[bool, tuple[int, ...], str]:
    """Return a sort key for comparing `version` with `other`."""
    if _NUMBERS.fullmatch(version) and _NUMBERS.fullmatch(other):
        parts = tuple(int(part) for part in version.split("."))
        # A missing part is -1 in System.Version of .NET, so 1.0 is less than 1.0.0.
        return True, parts + (-1,) * (4 - len(parts)), ""
    # If one of the two is not a number, both are compared as texts without case.
    return version != "", (), version.upper()
