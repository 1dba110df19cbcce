"""What the supervisor tells the host process: one line of JSON on its standard input.

The pipe stays open afterwards. When it closes, the host stops in good order; it closes when the supervisor asks for
that and also when the supervisor is gone, however it ended, on every operating system.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emulator.config.hostjson import LogLevel
from emulator.config.start import StartOptions
from emulator.host.console.output import Style

_PLAIN = ("port", "address", "enable_auth", "cors", "cors_credentials", "storage", "verbose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """`announce`: print the list of functions once the host runs."""

    options: StartOptions
    style: Style
    announce: bool

    def to_line(self) -> str:
        options = self.options
        content: dict[str, Any] = {name: getattr(options, name) for name in _PLAIN}
        content["app"] = str(options.app)
        content["functions"] = list(options.functions)
        content["settings"] = dict(options.settings)
        content["user_log_level"] = options.user_log_level.value if options.user_log_level else None
        # The child inherits the descriptor under the same number.
        content["listener"] = options.listener.fileno() if options.listener else None
        style = {"colour": self.style.colour, "format": self.style.format}
        return json.dumps({"options": content, "style": style, "announce": self.announce}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Handover:
        content = json.loads(line)
        given = content["options"]
        level = given["user_log_level"]
        options = StartOptions(
            app=Path(given["app"]),
            functions=tuple(given["functions"]),
            settings=given["settings"],
            user_log_level=LogLevel(level) if level else None,
            **{name: given[name] for name in _PLAIN},
        )
        if given["listener"] is not None:
            options = replace(options, listener=_inherited(given["listener"]))
        return cls(options=options, style=Style(**content["style"]), announce=content["announce"])


def _inherited(descriptor: int) -> socket.socket:
    listener = socket.socket(fileno=descriptor)
    # Processes that the app starts must not keep the port open.
    listener.set_inheritable(False)
    return listener
