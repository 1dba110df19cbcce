"""Which task hub a durable command uses, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HubChoice:
    """Which task hub a command uses, and how it is reached.

    `hub`, `connection`: None means those of host.json. `storage`: the value of --storage; the command uses this storage
    and no host. `port`, `key`: see `host_client.find_host`.
    """

    app: Path
    port: int | None = None
    key: str | None = None
    hub: str | None = None
    connection: str | None = None
    storage: str | None = None
