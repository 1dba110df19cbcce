"""The host id: part of every path in storage that belongs to one app on one machine.

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
    """`<machine>-<hash of the path>`, or what the setting says. `machine` None: this one."""
    chosen = settings.get(SETTING)
    if not chosen:
        name = "".join(character for character in machine or platform.node() if character.isalnum())
        chosen = f"{name}-{abs(_path_hash(str(root)))}"
    return chosen[:_MAX_LENGTH].lower().rstrip("-")


def _path_hash(text: str) -> int:
    """A 32-bit hash with wrap-around, over UTF-16 units."""
    number = 23
    for (unit,) in struct.iter_unpack("<H", text.encode("utf-16-le", "surrogatepass")):
        number = (number * 31 + unit) & 0xFFFFFFFF
    return number - (1 << 32) if number >= 1 << 31 else number
