"""Which files of the app changed, by looking at them: works on every file system, in containers and over networks.

Source of the rules: host, src/WebJobs.Script.WebHost/FileMonitoringService.cs; docs/protocol/functions-host.md 11.4.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from emulator.clock import Clock
from emulator.config.hostjson import HostOptions

LOOK_SECONDS = 0.5
# Editors write a file in several steps; a restart between two of them would load half a file.
SETTLE_SECONDS = 0.3

_ALWAYS_WATCHED = ("host.json", "function.json", "proxies.json")
# Unlike the original: written by the first run itself, or not by the user at all.
_IGNORED_FOLDERS = frozenset(("__pycache__", "node_modules", "site-packages", "__blobstorage__", "__queuestorage__"))

Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Change:
    """`path`: absolute."""

    kind: Literal["Created", "Changed", "Deleted"]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRules:
    """`folders`: names of folders directly below the root in which every file counts. `files`: names that count."""

    folders: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset(_ALWAYS_WATCHED)

    @classmethod
    def of(cls, host: HostOptions) -> WatchRules:
        return cls(folders=frozenset(host.watch_directories), files=frozenset((*_ALWAYS_WATCHED, *host.watch_files)))

    def counts(self, name: str, *, in_watched_folder: bool) -> bool:
        return in_watched_folder or name.endswith(".py") or name in self.files


async def next_changes(root: Path, rules: WatchRules, before: Mapping[Path, Stamp], clock: Clock) -> Sequence[Change]:
    """Wait until files differ from the picture `before` (see `picture`), and no longer change."""
    while True:
        await clock.sleep(LOOK_SECONDS, upkeep=True)
        now = await asyncio.to_thread(picture, root, rules)
        if now == before:
            continue
        while True:
            await clock.sleep(SETTLE_SECONDS, upkeep=True)
            settled = await asyncio.to_thread(picture, root, rules)
            if settled == now:
                break
            now = settled
        if changes := differences(before, now):
            return changes


def picture(root: Path, rules: WatchRules) -> dict[Path, Stamp]:
    """All files that count, with time and size."""
    return dict(_look(root, rules, in_watched_folder=False, top=True))


def differences(before: Mapping[Path, Stamp], after: Mapping[Path, Stamp]) -> list[Change]:
    changed = [Change("Changed", path) for path in after if path in before and before[path] != after[path]]
    created = [Change("Created", path) for path in after if path not in before]
    deleted = [Change("Deleted", path) for path in before if path not in after]
    return [*changed, *created, *deleted]


def _look(
    folder: Path, rules: WatchRules, *, in_watched_folder: bool, top: bool = False
) -> Iterator[tuple[Path, Stamp]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # It was removed meanwhile, or is not for us to read.
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return  # A virtual environment, whatever its name.
    for entry in entries:
        watched = in_watched_folder or (top and entry.name in rules.folders)
        try:
            if entry.is_dir(follow_symlinks=False):
                if watched or not (entry.name.startswith(".") or entry.name in _IGNORED_FOLDERS):
                    yield from _look(Path(entry.path), rules, in_watched_folder=watched)
            elif rules.counts(entry.name, in_watched_folder=in_watched_folder):
                status = entry.stat()
                yield Path(entry.path), (status.st_mtime_ns, status.st_size)
        except OSError:
            continue
