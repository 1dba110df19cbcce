"""Changes of the app's files that restart the host.

The files are scanned twice a second instead of asking the operating system for events: that works on every file system,
in containers and over networks.
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

SCAN_INTERVAL_SECONDS = 0.5
# Editors write a file in several steps. A restart between two of them would load half a file.
SETTLE_SECONDS = 0.3

_ALWAYS_WATCHED = ("host.json", "function.json", "proxies.json")
# The Functions host watches these, too. Here they are ignored: the app's own run writes some of them, and the user
# edits none of them.
_IGNORED_FOLDERS = frozenset(("__pycache__", "node_modules", "site-packages", "__blobstorage__", "__queuestorage__"))

FileState = tuple[int, int]
"""Modification time in nanoseconds, and size in bytes."""


@dataclass(frozen=True, slots=True)
class Change:
    """Change of one file. `path`: absolute."""

    kind: Literal["Created", "Changed", "Deleted"]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRules:
    """Rules of host.json for which files are watched.

    `folders`: names of folders directly below the app folder in which every file is watched (`watchDirectories`).
    `files`: names of files that are watched in all folders (`watchFiles`).
    """

    folders: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset(_ALWAYS_WATCHED)

    @classmethod
    def of(cls, host: HostOptions) -> WatchRules:
        return cls(folders=frozenset(host.watch_directories), files=frozenset((*_ALWAYS_WATCHED, *host.watch_files)))

    def watches(self, name: str, *, in_watched_folder: bool) -> bool:
        """Whether a file of this name is watched."""
        return in_watched_folder or name.endswith(".py") or name in self.files


async def next_changes(
    root: Path, rules: WatchRules, before: Mapping[Path, FileState], clock: Clock
) -> Sequence[Change]:
    """Wait until files differ from the scan `before` and are no longer being written. Return the differences."""
    while True:
        await clock.sleep(SCAN_INTERVAL_SECONDS, upkeep=True)
        now = await asyncio.to_thread(scan, root, rules)
        if now == before:
            continue
        while True:
            await clock.sleep(SETTLE_SECONDS, upkeep=True)
            settled = await asyncio.to_thread(scan, root, rules)
            if settled == now:
                break
            now = settled
        # Empty if the change was undone meanwhile, as editors do that write a temporary file.
        if changes := differences(before, now):
            return changes


def scan(root: Path, rules: WatchRules) -> dict[Path, FileState]:
    """Return all watched files below `root`."""
    return dict(_scan(root, rules, in_watched_folder=False, top=True))


def differences(before: Mapping[Path, FileState], after: Mapping[Path, FileState]) -> list[Change]:
    """Compare two scans."""
    changed = [Change("Changed", path) for path in after if path in before and before[path] != after[path]]
    created = [Change("Created", path) for path in after if path not in before]
    deleted = [Change("Deleted", path) for path in before if path not in after]
    return [*changed, *created, *deleted]


def _scan(
    folder: Path, rules: WatchRules, *, in_watched_folder: bool, top: bool = False
) -> Iterator[tuple[Path, FileState]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return  # The folder was deleted meanwhile, or may not be read.
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return  # A virtual environment. It may have any name, and thousands of files.
    for entry in entries:
        watched = in_watched_folder or (top and entry.name in rules.folders)
        try:
            # Links to folders are not followed: a link to a folder above would never end.
            if entry.is_dir(follow_symlinks=False):
                if watched or not (entry.name.startswith(".") or entry.name in _IGNORED_FOLDERS):
                    yield from _scan(Path(entry.path), rules, in_watched_folder=watched)
            elif rules.watches(entry.name, in_watched_folder=in_watched_folder):
                status = entry.stat()
                yield Path(entry.path), (status.st_mtime_ns, status.st_size)
        except OSError:
            continue  # The file was deleted meanwhile.
