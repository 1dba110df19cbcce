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
        words=("init",),
        summary="create an app from a template",
        parse="scaffold_arguments:parse_init",
        run="scaffolding:run_init",
    ),
    Command(
        words=("new",),
        summary="add a function to the app",
        parse="scaffold_arguments:parse_new",
        run="scaffolding:run_new",
    ),
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
        words=("durable", "list"),
        summary="list orchestration instances, filtered by status, name, id or time",
        parse="durable_arguments:parse_list",
        run="durable_commands:run_durable",
    ),
    Command(
        words=("durable", "show"),
        summary="show an instance, its input and output, or its history",
        parse="durable_arguments:parse_show",
        run="durable_commands:run_durable",
    ),
    Command(
        words=("durable", "start"),
        summary="start an orchestration; --wait prints its output",
        parse="durable_arguments:parse_start_instance",
        run="durable_commands:run_durable",
        cleans_up=True,
    ),
    Command(
        words=("durable", "raise"),
        summary="send an external event to an instance",
        parse="durable_arguments:parse_raise",
        run="durable_commands:run_durable",
    ),
    Command(
        words=("durable", "terminate"),
        summary="end instances at once",
        parse="durable_arguments:parse_control",
        run="durable_commands:run_durable",
        arguments=("terminate",),
        cleans_up=True,
    ),
    Command(
        words=("durable", "suspend"),
        summary="suspend instances",
        parse="durable_arguments:parse_control",
        run="durable_commands:run_durable",
        arguments=("suspend",),
        cleans_up=True,
    ),
    Command(
        words=("durable", "resume"),
        summary="resume suspended instances",
        parse="durable_arguments:parse_control",
        run="durable_commands:run_durable",
        arguments=("resume",),
        cleans_up=True,
    ),
    Command(
        words=("durable", "rewind"),
        summary="repeat the failed steps of failed instances",
        parse="durable_arguments:parse_control",
        run="durable_commands:run_durable",
        arguments=("rewind",),
        cleans_up=True,
    ),
    Command(
        words=("durable", "restart"),
        summary="start an orchestration again with the same input",
        parse="durable_arguments:parse_restart",
        run="durable_commands:run_durable",
    ),
    Command(
        words=("durable", "purge"),
        summary="delete instances that have ended",
        parse="durable_arguments:parse_purge",
        run="durable_commands:run_durable",
        cleans_up=True,
    ),
    Command(
        words=("durable", "entities"),
        summary="list entities with their states",
        parse="durable_arguments:parse_entities",
        run="durable_commands:run_durable",
    ),
    Command(
        words=("durable", "signal"),
        summary="send an operation to an entity",
        parse="durable_arguments:parse_signal",
        run="durable_commands:run_durable",
    ),
    Command(
        words=("durable", "delete-hub"),
        summary="delete a task hub with all its instances",
        parse="durable_arguments:parse_delete_hub",
        run="durable_hub:run_delete_hub",
    ),
    Command(
        words=("history", "export"),
        summary="save the history of an instance to a file",
        parse="history_arguments:parse_export",
        run="history_commands:run_export",
    ),
    Command(
        words=("history", "import"),
        summary="create an instance from a saved history",
        parse="history_arguments:parse_import",
        run="history_commands:run_import",
    ),
    Command(
        words=("history", "fork"),
        summary="start a new instance that continues from a point of another one's history",
        parse="history_arguments:parse_fork",
        run="history_commands:run_fork",
    ),
    Command(
        words=("history", "replay"),
        summary="compare the present code with a recorded history",
        parse="history_arguments:parse_replay",
        run="history_commands:run_replay",
    ),
    Command(
        words=("history", "pytest"),
        summary="make tests of a recorded run",
        parse="history_arguments:parse_pytest",
        run="history_commands:run_pytest",
    ),
    # The words of `func durable`. Options of the same meaning are in the arguments of each command.
    Command(
        words=("durable", "get-instances"),
        summary="list orchestration instances, filtered by status, name, id or time",
        parse="durable_arguments:parse_list",
        run="durable_commands:run_durable",
        is_alias=True,
    ),
    Command(
        words=("durable", "get-runtime-status"),
        summary="show an instance, its input and output, or its history",
        parse="durable_arguments:parse_show",
        run="durable_commands:run_durable",
        is_alias=True,
    ),
    Command(
        words=("durable", "start-new"),
        summary="start an orchestration; --wait prints its output",
        parse="durable_arguments:parse_start_instance",
        run="durable_commands:run_durable",
        is_alias=True,
        cleans_up=True,
    ),
    Command(
        words=("durable", "raise-event"),
        summary="send an external event to an instance",
        parse="durable_arguments:parse_raise",
        run="durable_commands:run_durable",
        is_alias=True,
    ),
    Command(
        words=("durable", "purge-history"),
        summary="delete instances that have ended",
        parse="durable_arguments:parse_purge",
        run="durable_commands:run_durable",
        is_alias=True,
        cleans_up=True,
    ),
    Command(
        words=("durable", "get-history"),
        summary="show an instance with its history",
        parse="durable_arguments:parse_history",
        run="durable_commands:run_durable",
        is_alias=True,
    ),
    Command(
        words=("durable", "delete-task-hub"),
        summary="delete a task hub with all its instances",
        parse="durable_arguments:parse_delete_hub",
        run="durable_hub:run_delete_hub",
        is_alias=True,
    ),
    Command(
        words=("logs",),
        summary="show the log of the running host, and follow it",
        parse="logs_arguments:parse_logs",
        run="logs_command:run_logs",
    ),
    Command(
        words=("keys", "list"),
        summary="list the names of the access keys",
        parse="keys_arguments:parse_keys_list",
        run="keys_commands:run_keys_list",
    ),
    Command(
        # Without a second word it is the list, which is what users need first.
        words=("keys",),
        summary="list the names of the access keys",
        parse="keys_arguments:parse_keys_list",
        run="keys_commands:run_keys_list",
        is_alias=True,
    ),
    Command(
        words=("keys", "show"),
        summary="print the value of a key",
        parse="keys_arguments:parse_keys_show",
        run="keys_commands:run_keys_show",
    ),
    Command(
        words=("keys", "set"),
        summary="add or replace a key",
        parse="keys_arguments:parse_keys_set",
        run="keys_commands:run_keys_set",
    ),
    Command(
        words=("keys", "delete"),
        summary="delete a key",
        parse="keys_arguments:parse_keys_delete",
        run="keys_commands:run_keys_delete",
    ),
    Command(
        words=("open",),
        summary="open the dashboard of the running host in the browser",
        parse="open_arguments:parse_open",
        run="opening:run_open",
    ),
    Command(
        words=("report",),
        summary="show storage requests and estimated cost of the running host",
        parse="report_arguments:parse_report",
        run="reporting:run_report",
    ),
    Command(
        words=("why",),
        summary="explain why an orchestration does not progress",
        parse="why_arguments:parse_why",
        run="why:run_why",
    ),
    Command(
        words=("check",),
        summary="find out whether the app will run on Azure",
        parse="check_arguments:parse_check",
        run="check:run_check",
        # The process in which the app is loaded must not stay.
        cleans_up=True,
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
    Command(
        words=("shim",),
        summary="install a command `func` that runs azemu",
        parse="scaffold_arguments:parse_shim",
        run="scaffolding:run_shim",
    ),
    Command(
        words=("completion",),
        summary="print a script that completes commands in a shell",
        parse="completion_arguments:parse_completion",
        run="completing:run_completion",
    ),
)

GROUPS: Final = {
    "host": "run the function app in the current folder",
    "send": "put data into the app's storage, or an event into one of its functions",
    "durable": "list, show, start and control orchestrations and entities",
    "history": "export, import, fork and replay the histories of orchestrations",
    "keys": "list, show, set and delete the access keys of the app",
    "storage": "export, import and copy storage accounts",
}
"""What the commands of a group do, by the group's word."""


def find_command(words: Sequence[str]) -> Command | None:
    """Return the command whose words a command line begins with, the one with the most words; None: there is none."""
    # `keys` and `keys list` are both commands.
    matching = [command for command in COMMANDS if tuple(words[: len(command.words)]) == command.words]
    return max(matching, key=lambda command: len(command.words), default=None)


def _imported(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    with loading_modules():
        found: Callable[..., Any] = getattr(import_module(f"emulator.cli.{module}"), function)
    return found
