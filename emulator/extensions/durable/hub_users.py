"""Record of the apps that use a task hub on this machine, so that two apps with one hub name are noticed.

All apps share one Azurite, and an app without a hub name in host.json has the hub TestHubName, as any other. The hosts
of such apps would run each other's orchestrations. Hosts of one app may share its hub, so apps are told apart by their
folders. The record is in the user's data folder and not in the storage account: a task hub contains only what .NET
would write.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from emulator.private_files import make_private_folder, owner_only
from emulator.regular_files import read_regular
from emulator.storage.file_lock import try_lock
from emulator.user_folders import data_folder


@dataclass(frozen=True, slots=True)
class OtherUser:
    """Another app that uses the same hub. `root`: its folder. `running`: a host of it runs now."""

    root: Path
    running: bool


@contextmanager
def hub_user(root: Path, account: str, hub: str) -> Iterator[OtherUser | None]:
    """Record that the app in `root` uses a hub, and return another app that uses it, or None.

    The record stays afterwards. An app that is not running is returned only when this one uses the hub for the first
    time. `account`: what identifies the storage account. Raises OSError if the record cannot be written.
    """
    folder = data_folder() / "hub-users" / _digest(f"{account}\n{hub.lower()}")
    make_private_folder(folder)
    own = folder / f"{_digest(str(root))}.txt"
    is_new = not own.exists()
    if is_new:
        # As bytes: on Linux the name of a folder need not be text.
        with open(own, "wb", opener=owner_only) as file:
            file.write(os.fsencode(root))
    others = []
    with ExitStack() as stack:
        # Before others are looked for: of two apps that start at the same moment, at least one must notice the other.
        # A second host of this app does not get the lock, and needs none.
        stack.enter_context(try_lock(own.with_suffix(".lock")))
        for path in sorted(folder.glob("*.txt")):
            # Something else has written what cannot be read. That is no reason not to start.
            try:
                other = Path(os.fsdecode(read_regular(path)))
            except OSError:
                continue
            # The folder of an app that was moved or deleted is not another app.
            if path != own and other.is_dir():
                with try_lock(path.with_suffix(".lock")) as lock:
                    others.append(OtherUser(other, running=lock is None))
        running = next((other for other in others if other.running), None)
        yield running or (others[0] if others and is_new else None)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
