"""Messages of the supervisor to the host process, as lines on its standard input.

The first line is the handover: the options of the host, as JSON. The second one, `STOP`, asks the host to stop in
order. If the pipe ends without it, the supervisor has ended, and the host ends at once. This works the same on all
operating systems, because they close the pipe of a process that ends in any way.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from emulator import bound_json as json
from emulator.config.hostjson import LogLevel
from emulator.config.start import StartOptions
from emulator.host.console.output import Style
from emulator.process.chaos_options import ChaosOptions

STOP: Final = b"stop\n"

# Fields of StartOptions whose values JSON can express without a conversion.
_JSON_FIELDS = (
    *("port", "address", "enable_auth", "cors", "cors_credentials", "host_names", "storage", "verbose"),
    *("dashboard_path", "dashboard_writes", "otlp"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Options of one host process. `print_functions`: print the list of functions when the host has started.

    `chosen_port`: the port that the user has chosen; 0: azemu has chosen a free one (`options.port` is the bound port).
    `replaced_environment`: values in the supervisor's environment of the variables that it has set for this process;
    None: the variable does not exist there. `served_mark`: a file to create when the first invocation has ended.
    `stacks_file`: see `thread_stacks.write_stacks_on_request`.
    `chaos`: faults of the host, for `azemu start --chaos`.
    `storage_restarted`: Azurite was killed since the last host process began, and may have lost its last writes.
    """

    options: StartOptions
    style: Style
    print_functions: bool
    chosen_port: int = 0
    replaced_environment: Mapping[str, str | None] = field(default_factory=dict)
    served_mark: Path | None = None
    stacks_file: Path | None = None
    chaos: ChaosOptions | None = None
    storage_restarted: bool = False

    def to_line(self) -> str:
        """Write the options as a line of JSON. Listening sockets are written as their file descriptors."""
        options = self.options
        content: dict[str, Any] = {name: getattr(options, name) for name in _JSON_FIELDS}
        content["app"] = str(options.app)
        content["functions"] = list(options.functions)
        content["settings"] = dict(options.settings)
        content["user_log_level"] = options.user_log_level.value if options.user_log_level else None
        # The child process inherits the descriptors under the same numbers (`pass_fds` in child.py).
        content["listeners"] = [listener.fileno() for listener in options.listeners]
        style = {"colour": self.style.colour, "format": self.style.format}
        return (
            json.dumps(
                {
                    "options": content,
                    "style": style,
                    "print_functions": self.print_functions,
                    "chosen_port": self.chosen_port,
                    "replaced_environment": dict(self.replaced_environment),
                    "served_mark": str(self.served_mark) if self.served_mark else None,
                    "stacks_file": str(self.stacks_file) if self.stacks_file else None,
                    "chaos": self.chaos and {**asdict(self.chaos), "folder": str(self.chaos.folder)},
                    "storage_restarted": self.storage_restarted,
                }
            )
            + "\n"
        )

    @classmethod
    def from_line(cls, line: str) -> Handover:
        """Read what `to_line` wrote. Opens the inherited listening sockets, which the caller has to close."""
        content = json.loads(line)
        fields = content["options"]
        level, mark, chaos = fields["user_log_level"], content["served_mark"], content["chaos"]
        stacks = content["stacks_file"]
        options = StartOptions(
            app=Path(fields["app"]),
            functions=tuple(fields["functions"]),
            settings=fields["settings"],
            user_log_level=LogLevel(level) if level else None,
            **{name: fields[name] for name in _JSON_FIELDS},
        )
        listeners = [socket.socket(fileno=descriptor) for descriptor in fields["listeners"]]
        for listener in listeners:
            # Otherwise a process that the app starts would keep the port open after the host has ended.
            listener.set_inheritable(False)
        return cls(
            options=replace(options, listeners=listeners),
            style=Style(**content["style"]),
            print_functions=content["print_functions"],
            chosen_port=content["chosen_port"],
            replaced_environment=content["replaced_environment"],
            served_mark=Path(mark) if mark else None,
            stacks_file=Path(stacks) if stacks else None,
            chaos=ChaosOptions(**{**chaos, "folder": Path(chaos["folder"])}) if chaos else None,
            storage_restarted=content["storage_restarted"],
        )
