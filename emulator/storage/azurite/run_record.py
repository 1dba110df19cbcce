"""Files by which an Azurite that azemu runs is found: one in its data folder, one for each port in the user's folder.

The runner (`runner.py`) writes them, and every `azemu start` reads them (`connection.py`). They may be left by a
process that was killed, so a reader trusts them only after the runner has answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator.config.connections import SERVICES
from emulator.private_files import make_private_folder, owner_only
from emulator.storage.azurite.process import Ports
from emulator.user_folders import data_folder

LOCK_FILE: Final = "azemu.lock"
_RECORD_FILE: Final = "azemu.json"
ANY_PORTS: Final[Ports] = dict.fromkeys(SERVICES, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What the runner shall run. `folder`: where Azurite stores its data. `app`: its node_modules may have an Azurite.

    `ports`: where it shall listen; 0 means any free port. `exactly`: if a port is taken, fail instead of using others.
    """

    folder: Path
    app: Path
    ports: Ports
    exactly: bool = False

    def to_text(self) -> str:
        """Write the request as JSON, for the command line of the runner."""
        ports = dict(self.ports)
        return json.dumps({"folder": str(self.folder), "app": str(self.app), "ports": ports, "exactly": self.exactly})

    @classmethod
    def from_text(cls, text: str) -> RunRequest:
        """Read what `to_text` wrote."""
        content = json.loads(text)
        return cls(
            folder=Path(content["folder"]),
            app=Path(content["app"]),
            ports=content["ports"],
            exactly=content["exactly"],
        )


@contextmanager
def recorded_runner(folder: Path, port: int) -> Iterator[None]:
    """Record the loopback port of a data folder's runner while the body runs."""
    path = folder / _RECORD_FILE
    _write(path, {"runner": port})
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def runner_port(folder: Path) -> int | None:
    """Return the recorded loopback port of a data folder's runner; None if there is no record."""
    port = _read(folder / _RECORD_FILE).get("runner")
    return port if isinstance(port, int) else None


@contextmanager
def recorded_ports(folder: Path, ports: Ports) -> Iterator[None]:
    """Record, while the body runs, which data folder is served at these ports."""
    path = _ports_file(ports)
    # Without this record, an app with another data folder would use this server like one that azemu does not run.
    with suppress(OSError):
        make_private_folder(path.parent)
        _write(path, {"folder": str(folder)})
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def folder_at(ports: Ports) -> Path | None:
    """Return the data folder that azemu serves at these ports, according to its record."""
    folder = _read(_ports_file(ports)).get("folder")
    return Path(folder) if isinstance(folder, str) else None


def _ports_file(ports: Ports) -> Path:
    return data_folder() / "azurite-ports" / f"{ports['blob']}.json"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    # Replaced in one step: a reader must not see half of it.
    unfinished = path.with_suffix(".unfinished")
    with open(unfinished, "w", encoding="utf-8", opener=owner_only) as file:
        file.write(json.dumps(content))
    unfinished.replace(path)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
