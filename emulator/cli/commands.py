"""Table of the commands of `azemu`. A new command is one entry here and two modules, for its arguments and its run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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


def _command(
    words: str, summary: str, parse: str, run: str, *arguments: Any, is_alias: bool = False, cleans_up: bool = False
) -> Command:
    return Command(
        words=tuple(words.split()),
        summary=summary,
        parse=parse,
        run=run,
        arguments=arguments,
        is_alias=is_alias,
        cleans_up=cleans_up,
    )


def _durable(
    word: str, summary: str, parse: str, *arguments: Any, is_alias: bool = False, cleans_up: bool = False
) -> Command:
    """Return a command that works with the durable API."""
    parse, run = f"durable_arguments:{parse}", "durable_commands:run_durable"
    return _command(f"durable {word}", summary, parse, run, *arguments, is_alias=is_alias, cleans_up=cleans_up)


_OWN_WORDS: Final = (
    # Add a command at the place where the overview (`azemu --help`) shall list it.
    _command("init", "create an app from a template", "scaffold_arguments:parse_init", "scaffolding:run_init"),
    _command("new", "add a function to the app", "scaffold_arguments:parse_new", "scaffolding:run_new"),
    _command(
        "start", "run the function app in the current folder", "start_arguments:parse_start", "starting:run_start"
    ),
    _command(
        "invoke",
        "run one function of a host that is running, with data of your choice",
        "invoke_arguments:parse_invoke",
        "invoking:run_invoke",
    ),
    _command(
        "send queue",
        "put a message into a queue of the app's storage",
        "send_arguments:parse_send",
        "sending:run_send",
        "queue",
    ),
    _command(
        "send blob", "write a blob into the app's storage", "send_arguments:parse_send", "sending:run_send", "blob"
    ),
    _command(
        "send eventgrid",
        "run a function of a running host for an event",
        "send_arguments:parse_send",
        "sending:run_send",
        "eventgrid",
    ),
    _durable("list", "list orchestration instances, filtered by status, name, id or time", "parse_list"),
    _durable("show", "show an instance, its input and output, or its history", "parse_show"),
    _durable("start", "start an orchestration; --wait prints its output", "parse_start_instance", cleans_up=True),
    _durable("raise", "send an external event to an instance", "parse_raise"),
    _durable("terminate", "end instances at once", "parse_control", "terminate", cleans_up=True),
    _durable("suspend", "suspend instances", "parse_control", "suspend", cleans_up=True),
    _durable("resume", "resume suspended instances", "parse_control", "resume", cleans_up=True),
    _durable("rewind", "repeat the failed steps of failed instances", "parse_control", "rewind", cleans_up=True),
    _durable("restart", "start an orchestration again with the same input", "parse_restart"),
    _durable("purge", "delete instances that have ended", "parse_purge", cleans_up=True),
    _durable("entities", "list entities with their states", "parse_entities"),
    _durable("signal", "send an operation to an entity", "parse_signal"),
    _command(
        "durable delete-hub",
        "delete a task hub with all its instances",
        "durable_arguments:parse_delete_hub",
        "durable_hub:run_delete_hub",
    ),
    # Of `func` only: `durable show --history` does the same.
    _durable("get-history", "show an instance with its history", "parse_history", is_alias=True),
    _command(
        "history export",
        "save the history of an instance to a file",
        "history_arguments:parse_export",
        "history_commands:run_export",
    ),
    _command(
        "history import",
        "create an instance from a saved history",
        "history_arguments:parse_import",
        "history_commands:run_import",
    ),
    _command(
        "history fork",
        "start a new instance that continues from a point of another one's history",
        "history_arguments:parse_fork",
        "history_commands:run_fork",
    ),
    _command(
        "history replay",
        "compare the present code with a recorded history",
        "history_arguments:parse_replay",
        "history_commands:run_replay",
    ),
    _command(
        "history pytest",
        "make tests of a recorded run",
        "history_arguments:parse_pytest",
        "history_commands:run_pytest",
    ),
    _command(
        "logs", "show the log of the running host, and follow it", "logs_arguments:parse_logs", "logs_command:run_logs"
    ),
    _command(
        "keys list",
        "list the names of the access keys",
        "keys_arguments:parse_keys_list",
        "keys_commands:run_keys_list",
    ),
    _command("keys show", "print the value of a key", "keys_arguments:parse_keys_show", "keys_commands:run_keys_show"),
    _command("keys set", "add or replace a key", "keys_arguments:parse_keys_set", "keys_commands:run_keys_set"),
    _command("keys delete", "delete a key", "keys_arguments:parse_keys_delete", "keys_commands:run_keys_delete"),
    _command(
        "open", "open the dashboard of the running host in the browser", "open_arguments:parse_open", "opening:run_open"
    ),
    _command(
        "report",
        "show storage requests and estimated cost of the running host",
        "report_arguments:parse_report",
        "reporting:run_report",
    ),
    _command("why", "explain why an orchestration does not progress", "why_arguments:parse_why", "why:run_why"),
    # The process in which the app is loaded must not stay.
    _command(
        "check",
        "find out whether the app will run on Azure",
        "check_arguments:parse_check",
        "check:run_check",
        cleans_up=True,
    ),
    # A transfer removes unfinished files after Ctrl-C.
    _command(
        "storage export",
        "save queues, tables and blobs of a storage account to a file",
        "transfer_arguments:parse_transfer",
        "transferring:run_transfer",
        "export",
        cleans_up=True,
    ),
    _command(
        "storage import",
        "load a saved file into a storage account",
        "transfer_arguments:parse_transfer",
        "transferring:run_transfer",
        "import",
        cleans_up=True,
    ),
    _command(
        "storage copy",
        "copy queues, tables and blobs from one storage account to another",
        "transfer_arguments:parse_transfer",
        "transferring:run_transfer",
        "copy",
        cleans_up=True,
    ),
    _command(
        "shim", "install a command `func` that runs azemu", "scaffold_arguments:parse_shim", "scaffolding:run_shim"
    ),
    _command(
        "completion",
        "print a script that completes commands in a shell",
        "completion_arguments:parse_completion",
        "completing:run_completion",
    ),
)
# Most are the words of `func`. Options of the same meaning are in the arguments of each command.
_OTHER_WORDS: Final = {
    "host start": "start",
    "durable get-instances": "durable list",
    "durable get-runtime-status": "durable show",
    "durable start-new": "durable start",
    "durable raise-event": "durable raise",
    "durable purge-history": "durable purge",
    "durable delete-task-hub": "durable delete-hub",
    # Without a second word it is the list, which is what users need first.
    "keys": "keys list",
}

COMMANDS: Final = (
    *_OWN_WORDS,
    *(
        replace(command, words=tuple(words.split()), is_alias=True)
        for words, meant in _OTHER_WORDS.items()
        for command in _OWN_WORDS
        if command.words == tuple(meant.split())
    ),
)
"""All commands. Those in the words of `func` are aliases."""

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
