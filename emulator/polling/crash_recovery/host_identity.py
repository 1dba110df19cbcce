"""Host identities: a name and a receipt journal that a restarted host takes over from the killed host before it.

A host cannot detect over a network that another host is dead, so it has to wait until leases and locks expire. On one
machine the operating system releases a file lock when its process ends, in whatever way. So a folder has numbered
identities, and a host claims the first one whose lock file is free. An identity has a name, the owner in
partition leases, and a journal of the messages that the host has locked. A host that claims a dead host's identity
owns its partition leases at once, and can return its messages to their queues.

Two live hosts never have the same name, because a name belongs to a file lock. An identity that was copied along with
its folder is not used (see `HostIdentity.place`).
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from emulator.ids import NewId
from emulator.logs import get_logger
from emulator.polling.crash_recovery.receipt_journal import FileReceiptJournal, read_journal
from emulator.private_files import owner_only
from emulator.storage.file_lock import try_lock

_log = get_logger(__name__)

FIRST_LOCK = timedelta(seconds=5)
"""How long a host with an identity locks a message when it receives it; renewals lock it for the configured time.

A message that was being received when the host was killed is in no journal, so it stays locked for this time.
"""

# Far more than the hosts of one app on one machine. The search has to end on file systems without file locks.
_MAX_HOSTS = 64


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """A claimed identity. `path`: the journal's file. `place`: machine and folder, as written in the journal's title.

    A journal with another place is a copy from another machine or folder, whose host may still be running.
    """

    name: str
    journal: FileReceiptJournal
    path: Path
    place: str


ClaimIdentity = Callable[[], HostIdentity | None]
"""Claims an identity until the folder is closed. None: not possible; the locks of a killed host have to expire."""


def no_identity() -> HostIdentity | None:
    """Return None, for hosts without a folder and for storage that hosts on other machines share."""
    return None


@contextmanager
def open_host_identities(folder: Path, new_id: NewId) -> Iterator[ClaimIdentity]:
    """Yield a function that claims an identity in `folder`; leaving the body releases it.

    The folder is created when an identity is claimed.
    """
    with ExitStack() as stack:
        yield lambda: _claim(folder, new_id, stack)


@contextmanager
def queue_identity(
    hosts_folder: Path | None, connection: str, queue_name: str, new_id: NewId
) -> Iterator[HostIdentity | None]:
    """Claim an identity for one listener of a queue while entered. `connection`: of emulated storage only.

    Every listener has its own, because a journal belongs to one storage account. `hosts_folder` None: no identity.
    """
    if hosts_folder is None:
        yield None
        return
    folder = hosts_folder / f"{quote(connection, safe='')}-{queue_name}"
    with open_host_identities(folder, new_id) as claim:
        yield claim()


def _claim(folder: Path, new_id: NewId, stack: ExitStack) -> HostIdentity | None:
    try:
        for number in range(_MAX_HOSTS):
            with ExitStack() as attempt:
                if not attempt.enter_context(try_lock(folder / f"{number}.lock")):
                    continue
                # The lock lasts until the folder is closed. If this process is killed before that, the operating
                # system releases it, which is the signal for other hosts.
                stack.push(attempt.pop_all())
                # The folder is inside the user's app, which is usually in a git repository.
                with open(folder / ".gitignore", "w", encoding="utf-8", opener=owner_only) as file:
                    file.write("*\n")
                path, here = folder / f"{number}.ledger", f"{platform.node()} {folder.resolve()}"
                title, entries = read_journal(path)
                name, _, place = title.partition("\t")
                if not name or place != here:
                    # A new identity, or a copy of another folder's.
                    name, entries = new_host_name(new_id), ()
                    path.unlink(missing_ok=True)
                journal = stack.enter_context(closing(FileReceiptJournal(path, f"{name}\t{here}", entries)))
                return HostIdentity(name, journal, path, here)
    except OSError as error:
        # A read-only folder, for example. The host works without an identity; only a restart after a kill is slower.
        _log.debug(
            "The list of locked messages cannot be saved. If this host is killed, the next host cannot retry its work "
            "items until their visibility timeouts end: %s",
            error,
        )
    return None


def journals_of_dead_hosts(identity: HostIdentity) -> Iterator[FileReceiptJournal]:
    """Yield the journals in the same folder whose hosts have ended with locked messages.

    A journal is locked for this host until the next one is requested.
    """
    for path in identity.path.parent.glob("*.ledger"):
        if path == identity.path:
            continue
        # An OSError concerns one file; the other journals must still be recovered.
        with suppress(OSError), ExitStack() as stack:
            if not stack.enter_context(try_lock(path.with_suffix(".lock"))):
                continue
            title, entries = read_journal(path)
            # Without entries there is nothing to recover. With another place, the file is a copy, whose host may still
            # be running.
            if entries and title.endswith(f"\t{identity.place}"):
                yield stack.enter_context(closing(FileReceiptJournal(path, title, entries)))


def new_host_name(new_id: NewId) -> str:
    """Return a unique host name that begins with the machine's name."""
    return f"{platform.node() or 'azemu'}-{new_id()[:8]}"
