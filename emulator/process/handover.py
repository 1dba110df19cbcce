"""Options that the supervisor passes to the host process, as one line of JSON on its standard input.

The pipe stays open afterwards, because its end is the signal to stop. The supervisor closes it to stop the host, and
the operating system closes it when the supervisor ends in any other way. This works the same on all operating systems.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emulator import bound_json as json
from emulator.config.hostjson import LogLevel
from emulator.config.start import StartOptions
from emulator.host.console.output import Style

# Fields of StartOptions whose values JSON can express without a conversion.
_JSON_FIELDS = ("port", "address", "enable_auth", "cors", "cors_credentials", "storage", "verbose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Options of one host process. `print_functions`: print the list of functions when the host has started."""

    options: StartOptions
    style: Style
    print_functions: bool

    def to_line(self) -> str:
        """Write the options as a line of JSON. The listening socket is written as its file descriptor."""
        options = self.options
        content: dict[str, Any] = {name: getattr(options, name) for name in _JSON_FIELDS}
        content["app"] = str(options.app)
        content["functions"] = list(options.functions)
        content["settings"] = dict(options.settings)
        content["user_log_level"] = options.user_log_level.value if options.user_log_level else None
        # The child process inherits the descriptor under the same number (`pass_fds` in child.py).
        content["listener"] = options.listener.fileno() if options.listener else None
        style = {"colour": self.style.colour, "format": self.style.format}
        return json.dumps({"options": content, "style": style, "print_functions": self.print_functions}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Handover:
        """Read what `to_line` wrote. Opens the inherited listening socket, which the caller has to close."""
        content = json.loads(line)
        fields = content["options"]
        level = fields["user_log_level"]
        options = StartOptions(
            app=Path(fields["app"]),
            functions=tuple(fields["functions"]),
            settings=fields["settings"],
            user_log_level=LogLevel(level) if level else None,
            **{name: fields[name] for name in _JSON_FIELDS},
        )
        if fields["listener"] is not None:
            listener = socket.socket(fileno=fields["listener"])
            # Otherwise a process that the app starts would keep the port open after the host has ended.
            listener.set_inheritable(False)
            options = replace(options, listener=listener)
        return cls(options=options, style=Style(**content["style"]), print_functions=content["print_functions"])
