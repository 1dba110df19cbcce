"""Records of the running hosts of an app folder, by which commands find them: `.azemu/ports/<port>.json`.

`azemu start` writes one when it listens, and removes it when it stops. A killed host leaves its record behind, and
another program may listen at the port by then. So the host also holds a lock (`.azemu/ports/<port>.alive`), which the
system releases when its process ends: only while it is held does the record say who listens there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from emulator import bound_json as json
from emulator.config.start import Configuration
from emulator.private_files import make_private_folder, owner_only
from emulator.process.predecessor import PORTS_FOLDER, alive_lock_file, record_file
from emulator.regular_files import read_regular_text
from emulator.storage.file_lock import try_lock
from emulator.storage.gitignore import hide_from_git

_LOCK_ATTEMPTS: Final = 100
_PAUSE_SECONDS: Final = 0.005
_LAST_PORT: Final = 65535
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A host that ran when the record was written. `started_at`: the time of its start in UTC, in ISO 8601.

    `dashboard`: the path of its dashboard, one segment; None: it has none. `is_alive`: its process still runs.
    """

    port: int
    address: str
    started_at: str
    dashboard: str | None
    is_alive: bool


@contextmanager
def recorded_host(configuration: Configuration, *, port: int, started_at: datetime) -> Iterator[None]:
    """Record a host while entered. `port`: the bound port."""
    root = configuration.root
    path = record_file(root, port)
    content = {
        "port": port,
        "address": configuration.address,
        "startedAt": started_at.isoformat(),
        "dashboard": configuration.dashboard_path,
    }
    # In a folder that cannot be written, commands find the host by the port of local.settings.json.
    with ExitStack() as stack:
        with suppress(OSError):
            make_private_folder(path.parent)
            hide_from_git(root / PORTS_FOLDER.parent)
            # A command that reads the record holds the lock for a moment, and may be interrupted by other processes in
            # that moment. Without the lock, no command would find this host.
            for _ in range(_LOCK_ATTEMPTS):
                with ExitStack() as attempt:
                    if attempt.enter_context(try_lock(alive_lock_file(path))) is not None:
                        stack.enter_context(attempt.pop_all())
                        break
                time.sleep(_PAUSE_SECONDS)
            # Replaced in one step: a reader must not see half of it.
            unfinished = path.with_suffix(".unfinished")
            with open(unfinished, "w", encoding="utf-8", opener=owner_only) as file:
                file.write(json.dumps(content))
            unfinished.replace(path)
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    # Only one host has the port, so no other one locks a file of this name at the same time.
    with suppress(OSError):
        alive_lock_file(path).unlink(missing_ok=True)


def recorded_hosts(root: Path) -> list[HostRecord]:
    """Return the records of an app folder, the newest first. Files that cannot be read are left out."""
    records = []
    for path in (root / PORTS_FOLDER).glob("*.json"):
        # It may be of another version of azemu, or have been removed meanwhile. Anything can write into the folder.
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            content = json.loads(read_regular_text(path))
            port, address, dashboard = content["port"], content["address"], content["dashboard"]
            # All three become parts of URLs to which the key of the app may be sent.
            if type(port) is not int or not 0 < port <= _LAST_PORT or not _is_address(address):
                continue
            if dashboard is not None and _SEGMENT.fullmatch(dashboard) is None:
                continue
            is_alive = False
            # OSError: this user must not write into the folder.
            with suppress(OSError), try_lock(alive_lock_file(path)) as lock:
                is_alive = lock is None
            records.append(
                HostRecord(
                    port=port,
                    address=address,
                    started_at=str(content["startedAt"]),
                    dashboard=dashboard,
                    is_alive=is_alive,
                )
            )
    return sorted(records, key=lambda record: record.started_at, reverse=True)


def _is_address(text: str) -> bool:
    if ":" not in text:
        return _NAME.fullmatch(text) is not None
    # Raises ValueError.
    ip_address(text)
    return True


def reachable_name(address: str) -> str:
    """Return the host name at which this machine reaches a server that listens on an address, for a URL."""
    # The wildcard addresses include the loopback address of their family. "localhost" would also try the other one, at
    # which another program may listen.
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    return f"[{address}]" if ":" in address else address
