"""Lease journal: a file of the blob leases that a host holds, for the host that is started after a kill.

A lease of a killed host would keep its lock for up to a minute. Its id frees it at once, and the service refuses an id
that is not the current one, so a lock that any other host has taken meanwhile is never freed. What remains to be known
is that the host which wrote the id is dead. On one machine the operating system tells: it releases a file lock when its
process ends in any way. So each host has a journal of its own, and reads only those whose file lock is free.

A journal that was copied along with its folder, whose host may run elsewhere, is recognised by the machine and folder
in its first line.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from emulator.logs import get_logger
from emulator.private_files import owner_only
from emulator.storage.file_lock import try_lock

_log = get_logger(__name__)

# Far more than the hosts of one app on one machine. The search has to end on file systems without file locks.
_MAX_HOSTS: Final = 64


class LeaseJournal:
    """The leases of this host, and those that killed hosts of the same folder have left.

    `path`: this host's file, whose lock it holds. `place`: machine and folder. `leases`: lease ids by blob that the
    file had when this host took it over from a killed one.
    """

    def __init__(self, path: Path, place: str, leases: Mapping[str, str]) -> None:
        self._path = path
        self._place = place
        self._own: dict[str, str] = {}
        self._inherited = dict(leases)
        self._save()

    def record(self, blob: str, lease_id: str) -> None:
        """Note a lease. To be called before it is acquired: a kill right afterwards must not leave it unknown."""
        self._own[blob] = lease_id
        self._save()

    def forget(self, blob: str) -> None:
        """Remove a lease that was released or lost."""
        if self._own.pop(blob, None) is not None:
            self._save()

    def of_killed_hosts(self, blob: str) -> list[str]:
        """Return the ids under which killed hosts have held the lease of a blob. They may be outdated."""
        found = [self._inherited[blob]] if blob in self._inherited else []
        for path in self._path.parent.glob("*.leases"):
            if path == self._path:
                continue
            # An OSError concerns one file, and the others must still be read.
            with suppress(OSError), try_lock(path.with_suffix(".leases-lock")) as lock:
                leases = _read(path, self._place) if lock is not None else {}
                if blob in leases:
                    found.append(leases[blob])
        return found

    def settle(self, blob: str) -> None:
        """Forget what killed hosts have held of this blob's lease, because it was freed or has ended."""
        if self._inherited.pop(blob, None) is not None:
            self._save()

    def _save(self) -> None:
        leases = {**self._inherited, **self._own}
        lines = [self._place, *(f"{blob}\t{lease_id}" for blob, lease_id in leases.items())]
        new = self._path.with_suffix(".leases-new")
        # Replaced as a whole: a kill while the file is written must not lose the leases in it.
        try:
            with open(new, "w", encoding="utf-8", opener=owner_only) as file:
                file.write("\n".join(lines) + "\n")
            new.replace(self._path)
        except OSError as error:
            _log.debug("The leases of this host cannot be saved, so the next host waits for them: %s", error)


@contextmanager
def open_lease_journal(folder: Path) -> Iterator[LeaseJournal | None]:
    """Claim a journal in `folder` while entered; None if the folder cannot be written."""
    with ExitStack() as stack:
        yield _claim(folder, stack)


def _claim(folder: Path, stack: ExitStack) -> LeaseJournal | None:
    try:
        for number in range(_MAX_HOSTS):
            with ExitStack() as attempt:
                path = folder / f"{number}.leases"
                if not attempt.enter_context(try_lock(path.with_suffix(".leases-lock"))):
                    continue
                stack.push(attempt.pop_all())
                # The folder is inside the user's app, which is usually in a git repository.
                with open(folder / ".gitignore", "w", encoding="utf-8", opener=owner_only) as file:
                    file.write("*\n")
                place = f"{platform.node()} {folder.resolve()}"
                return LeaseJournal(path, place, _read(path, place))
    except OSError as error:
        _log.debug("The leases of this host cannot be saved, so the next host waits for them: %s", error)
    return None


def _read(path: Path, place: str) -> dict[str, str]:
    """Return the lease ids by blob in a journal; none if there is no file, or if it is of another place."""
    try:
        title, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    if title != place:
        return {}
    entries = (line.split("\t") for line in lines)
    return {entry[0]: entry[1] for entry in entries if len(entry) == 2}
