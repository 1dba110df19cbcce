"""Table of the commands of `azemu`. A new command is one entry here and two modules, for its arguments and its run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from emulator.loading import loading_modules


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command. `words`: what follows `azemu`, such as ("send", "queue"). `summary`: for lists of commands.

    `parse`: `module:function` below `emulator.cli`. The function is called with `arguments` and the words after the
    command, and returns a record of options; SystemExit ends it after --help and for wrong arguments. `run`: likewise;
    it is called with these options and returns the exit code. Both are imported when the command is used, so that no
    command makes another one slower.

    `is_alias`: another spelling of a command, that of `func`; lists leave it out. `cleans_up`: Ctrl-C raises
    KeyboardInterrupt, instead of ending the process at once.
    """

    words: tuple[str, ...]
    summary: str
    parse: str
    run: str
    arguments: tuple[Any, ...] = ()
    is_alias: bool = False
    cleans_up: bool = False

    def parse_options(self, words: Sequence[str]) -> Any:
        """Return the options of the command. Raises SystemExit after --help and for wrong arguments."""
        return _imported(self.parse)(*self.arguments, words)

    def run_with(self, options: Any) -> int:
        """Run the command and return its exit code."""
        code: int = _imported(self.run)(options)
        return code


COMMANDS: Final = (
    # Add a command at the place where the overview (`azemu --help`) shall list it.
    Command(
        words=("start",),
        summary="run the function app in the current folder (also: azemu host start)",
        parse="start_arguments:parse_start",
        run="starting:run_start",
    ),
    Command(
        words=("host", "start"),
        summary="run the function app in the current folder",
        parse="start_arguments:parse_start",
        run="starting:run_start",
        is_alias=True,
    ),
    Command(
        words=("invoke",),
        summary="run one function of a host that is running, with data of your choice",
        parse="invoke_arguments:parse_invoke",
        run="invoking:run_invoke",
    ),
    Command(
        words=("send", "queue"),
        summary="put a message into a queue of the app's storage",
        parse="send_arguments:parse_send",
        run="sending:run_send",
        arguments=("queue",),
    ),
    Command(
        words=("send", "blob"),
        summary="write a blob into the app's storage",
        parse="send_arguments:parse_send",
        run="sending:run_send",
        arguments=("blob",),
    ),
    Command(
        words=("send", "eventgrid"),
        summary="run a function of a running host for an event",
        parse="send_arguments:parse_send",
        run="sending:run_send",
        arguments=("eventgrid",),
    ),
    Command(
        words=("check",),
        summary="find out whether the app will run on Azure",
        parse="check_arguments:parse_check",
        run="check:run_check",
    ),
    # A transfer removes unfinished files after Ctrl-C.
    Command(
        words=("storage", "export"),
        summary="save queues, tables and blobs of a storage account to a file",
        parse="transfer_arguments:parse_transfer",
        run="transferring:run_transfer",
        arguments=("export",),
        cleans_up=True,
    ),
    Command(
        words=("storage", "import"),
        summary="load a saved file into a storage account",
        parse="transfer_arguments:parse_transfer",
        run="transferring:run_transfer",
        arguments=("import",),
        cleans_up=True,
    ),
    Command(
        words=("storage", "copy"),
        summary="copy queues, tables and blobs from one storage account to another",
        parse="transfer_arguments:parse_transfer",
        run="transferring:run_transfer",
        arguments=("copy",),
        cleans_up=True,
    ),
)

GROUPS: Final = {
    "host": "run the function app in the current folder",
    "send": "put data into the app's storage, or an event into one of its functions",
    "storage": "export, import and copy storage accounts",
}
"""What the commands of a group do, by the group's word."""


def _imported(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    with loading_modules():
        found: Callable[..., Any] = getattr(import_module(f"emulator.cli.{module}"), function)
    return found
