"""The host id, which is part of all paths in storage that belong to one app on one machine.

Source: host, src/WebJobs.Script/Host/ScriptHostIdProvider.cs; docs/protocol/functions-host.md 0.1.
"""

from __future__ import annotations

import platform
import struct
from pathlib import PurePath

from emulator.config.settings import Settings

SETTING = "AzureFunctionsWebHost__hostid"
_MAX_LENGTH = 32


def host_id(root: PurePath, settings: Settings, machine: str | None = None) -> str:
    """Return the host id: the app setting's, or else `<machine>-<hash of the path>`. `machine` None: this machine."""
    chosen = settings.get(SETTING)
    if not chosen:
        name = "".join(character for character in machine or platform.node() if character.isalnum())
        chosen = f"{name}-{abs(_path_hash(str(root)))}"
    # Queue names contain the id; they must be in lower case and must not end with a dash.
    return chosen[:_MAX_LENGTH].lower().rstrip("-")


def _path_hash(text: str) -> int:
    # The same 32-bit hash with overflow over UTF-16 code units as in ScriptHostIdProvider. Apps that were run with
    # Core Tools have locks and timer states below this id in their storage, and must find them again.
    number = 23
    for (unit,) in struct.iter_unpack("<H", text.encode("utf-16-le", "surrogatepass")):
        number = (number * 31 + unit) & 0xFFFFFFFF
    return number - (1 << 32) if number >= 1 << 31 else number
