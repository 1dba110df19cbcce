"""Changes of the app's files that restart the host.

The files are scanned twice a second instead of asking the operating system for events: that works on every file system,
in containers and over networks. A file that is written again with the same content has not changed: code generators
do that at every start of the app.
Source of the rules: host, src/WebJobs.Script.WebHost/FileMonitoringService.cs; docs/protocol/functions-host.md 11.4.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

from emulator.clock import Clock
from emulator.config.hostjson import HostOptions
from emulator.regular_files import read_regular

SCAN_INTERVAL_SECONDS = 0.5
# Editors write a file in several steps. A restart between two of them would load half a file.
SETTLE_SECONDS = 0.3

LOCAL_SETTINGS: Final = "local.settings.json"
_ALWAYS_WATCHED = ("host.json", "function.json", "proxies.json")
# The Functions host watches these, too. Here they are ignored: the app's own run writes some of them, and the user
# edits none of them.
_IGNORED_FOLDERS = frozenset(("__pycache__", "node_modules", "site-packages", "__blobstorage__", "__queuestorage__"))

# Larger files are compared by time and size only, because reading them at every change would take too long.
_MAX_COMPARED_BYTES = 1_000_000
# After this many restarts, each caused by the same file soon after the start, the app itself probably writes it.
_REPEATED_RESTARTS = 3
_SOON = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class FileState:
    """State of a file. `modified`: modification time in nanoseconds; `digest`: of the content, None if not compared."""

    modified: int
    size: int
    digest: bytes | None = None

    def same_content(self, other: FileState) -> bool:
        """Return whether both states have the same content, as far as that is known."""
        if self.digest is not None and other.digest is not None:
            return self.digest == other.digest
        return (self.modified, self.size) == (other.modified, other.size)


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


class FileWatcher:
    """Watches the files of one app. `begin` notes their states, `next_changes` waits until they differ."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root
        self._clock = clock
        self._rules = WatchRules()
        self._files: Mapping[Path, FileState] = {}
        self._began_at = clock.now()
        self._repeated: dict[Path, int] = {}

    async def begin(self, rules: WatchRules) -> None:
        """Note the states of all watched files. Call it before the app is loaded: changes while it loads count."""
        self._rules = rules
        self._files = await asyncio.to_thread(scan, self._root, rules, self._files)
        self._began_at = self._clock.now()

    async def next_changes(self) -> Sequence[Change]:
        """Wait until files differ from their noted states and are no longer being written. Return the differences.

        local.settings.json in the app's folder is always among the files; see `restarts`.
        """
        while True:
            await self._clock.sleep(SCAN_INTERVAL_SECONDS, upkeep=True)
            now = await asyncio.to_thread(scan, self._root, self._rules, self._files)
            if now == self._files:
                continue
            while differences(self._files, now):
                await self._clock.sleep(SETTLE_SECONDS, upkeep=True)
                settled = await asyncio.to_thread(scan, self._root, self._rules, now)
                if settled == now:
                    break
                now = settled
            # Empty if the content is the same, or if the change was undone meanwhile, as editors do that write a
            # temporary file.
            changes = differences(self._files, now)
            self._files = now
            if changes:
                return changes

    def restarts(self, change: Change) -> bool:
        """Return whether a change restarts a running host, as in the Functions host.

        That does not watch local.settings.json, unless `watchFiles` in host.json names it.
        """
        return change.path != self._root / LOCAL_SETTINGS or LOCAL_SETTINGS in self._rules.files

    def written_by_app(self, changes: Sequence[Change]) -> Path | None:
        """Return a file that has changed soon after each of the last starts, so that the app itself seems to write it.

        Call it once for each result of `next_changes` that restarts the app. Each file is returned once.
        """
        soon = self._clock.now() - self._began_at < _SOON
        self._repeated = {change.path: self._repeated.get(change.path, 0) + 1 for change in changes} if soon else {}
        return next((path for path, count in self._repeated.items() if count == _REPEATED_RESTARTS), None)


def scan(root: Path, rules: WatchRules, known: Mapping[Path, FileState] | None = None) -> dict[Path, FileState]:
    """Return all watched files below `root`. `known`: an earlier scan; files as new as there are not read again."""
    found = {}
    for path, modified, size in _scan(root, rules, in_watched_folder=False, top=True):
        state = (known or {}).get(path)
        if state is None or (state.modified, state.size) != (modified, size):
            digest = None
            if size <= _MAX_COMPARED_BYTES:
                with suppress(OSError):  # It was deleted meanwhile, or may not be read.
                    digest = hashlib.sha1(read_regular(path), usedforsecurity=False).digest()
            state = FileState(modified, size, digest)
        found[path] = state
    return found


def differences(before: Mapping[Path, FileState], after: Mapping[Path, FileState]) -> list[Change]:
    """Compare two scans."""
    changed = [
        Change("Changed", path) for path in after if path in before and not before[path].same_content(after[path])
    ]
    created = [Change("Created", path) for path in after if path not in before]
    deleted = [Change("Deleted", path) for path in before if path not in after]
    return [*changed, *created, *deleted]


def _scan(
    folder: Path, rules: WatchRules, *, in_watched_folder: bool, top: bool = False
) -> Iterator[tuple[Path, int, int]]:
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
            elif rules.watches(entry.name, in_watched_folder=in_watched_folder) or (
                top and entry.name == LOCAL_SETTINGS
            ):
                status = entry.stat()
                yield Path(entry.path), status.st_mtime_ns, status.st_size
        except OSError:
            continue  # The file was deleted meanwhile.
