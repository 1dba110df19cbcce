"""Records of the running hosts of an app folder, by which commands find them: `.azemu/ports/<port>.json`.

`azemu start` writes one when it listens, and removes it when it stops. A killed host leaves its record behind, so
readers ask the port which app it serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from emulator import bound_json as json
from emulator.config.start import Configuration
from emulator.listening import LOCALHOST
from emulator.private_files import make_private_folder, owner_only
from emulator.process.predecessor import PORTS_FOLDER
from emulator.storage.gitignore import hide_from_git


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A host that ran when the record was written. `started_at`: the time of its start in UTC, in ISO 8601.

    `dashboard`: the path of its dashboard, one segment; None: it has none.
    """

    port: int
    address: str
    started_at: str
    dashboard: str | None


@contextmanager
def recorded_host(configuration: Configuration, *, port: int, started_at: datetime) -> Iterator[None]:
    """Record a host while entered. `port`: the bound port."""
    root = configuration.root
    path = root / PORTS_FOLDER / f"{port}.json"
    content = {
        "port": port,
        "address": configuration.address,
        "startedAt": started_at.isoformat(),
        "dashboard": configuration.dashboard_path,
    }
    # In a folder that cannot be written, commands find the host by the port of local.settings.json.
    with suppress(OSError):
        make_private_folder(path.parent)
        hide_from_git(root / PORTS_FOLDER.parent)
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


def recorded_hosts(root: Path) -> list[HostRecord]:
    """Return the records of an app folder, the newest first. Files that cannot be read are left out."""
    records = []
    for path in (root / PORTS_FOLDER).glob("*.json"):
        # It may be of another version of azemu, or have been removed meanwhile.
        with suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(path.read_text(encoding="utf-8"))
            records.append(
                HostRecord(
                    port=int(content["port"]),
                    address=str(content["address"]),
                    started_at=str(content["startedAt"]),
                    dashboard=content["dashboard"],
                )
            )
    return sorted(records, key=lambda record: record.started_at, reverse=True)


def reachable_name(address: str) -> str:
    """Return the host name at which this machine reaches a server that listens on an address, for a URL."""
    # The wildcard addresses include the loopback addresses.
    if address in (LOCALHOST, "0.0.0.0", "::"):
        return LOCALHOST
    return f"[{address}]" if ":" in address else address
