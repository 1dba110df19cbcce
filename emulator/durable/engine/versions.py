"""Which instances this worker may run, by their version.

Source: DurableTask.Core, src/DurableTask.Core/Settings/VersioningSettings.cs; docs/protocol/durable-orchestration.md
12.12.
"""

from __future__ import annotations

import re

from emulator.durable.options import VersionMatch

_NUMBERS = re.compile(r"\d+(\.\d+){1,3}")


def accepts(strategy: VersionMatch, worker: str | None, instance: str | None) -> bool:
    """Whether a worker of version `worker` runs an instance of version `instance`. No version is the lowest one."""
    worker, instance = worker or "", instance or ""
    match strategy:
        case VersionMatch.NONE:
            return True
        case VersionMatch.STRICT:
            return _key(worker, instance) == _key(instance, worker)
        case VersionMatch.CURRENT_OR_OLDER:
            return _key(instance, worker) <= _key(worker, instance)


def _key(version: str, other: str) -> tuple[bool, tuple[int, ...], str]:
    """What `version` is compared by with `other`: numbers if both are such, else the text without case."""
    if _NUMBERS.fullmatch(version) and _NUMBERS.fullmatch(other):
        parts = tuple(int(part) for part in version.split("."))
        return True, parts + (-1,) * (4 - len(parts)), ""  # .NET: a part that is not there is less than 0
    return version != "", (), version.upper()
