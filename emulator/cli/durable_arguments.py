"""Arguments of `azemu durable …`. Each command also takes the option names of `func durable …`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from emulator.cli.durable_choice import HubChoice, add_storage_option, hub_choice
from emulator.cli.parsing import Parser
from emulator.clock import SystemClock

STATUSES: Final = (
    *("Pending", "Running", "Suspended", "Completed", "Failed", "Terminated", "Canceled", "ContinuedAsNew"),
)
"""Statuses of instances, as the durable HTTP API names them."""

DEFAULT_TOP: Final = 100

Verb = Literal["terminate", "suspend", "resume", "rewind"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME_HELP: Final = "a time such as 2026-05-01T08:30, or how long ago: 30m, 2h, 7d"
_SOURCE: Final = """\
The command asks the running host of the app. If none runs, it opens the storage that the app's settings name, or that
of --storage.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceFilter:
    """Selection of instances. `statuses`: empty means all. `since`, `until`: bounds of the creation time in UTC."""

    statuses: Sequence[str] = ()
    name: str | None = None
    prefix: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        return self == InstanceFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListInstances:
    """Options of `azemu durable list`. `top`: the most instances to show; 0 shows all."""

    where: HubChoice
    filter: InstanceFilter
    top: int
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowInstance:
    """Options of `azemu durable show`."""

    where: HubChoice
    instance_id: str
    history: bool
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInstance:
    """Options of `azemu durable start`. `data`: as on the command line. `timeout`: of the wait in seconds."""

    where: HubChoice
    name: str
    data: str | None
    instance_id: str | None
    version: str | None
    wait: bool
    timeout: float | None
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseEvent:
    """Options of `azemu durable raise`. `data`: as on the command line."""

    where: HubChoice
    instance_id: str
    event: str
    data: str | None
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Options of `azemu durable terminate`, `suspend`, `resume` and `rewind`."""

    where: HubChoice
    verb: Verb
    instance_ids: Sequence[str]
    reason: str | None
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Options of `azemu durable restart`. `keep_id`: start it under the same instance id."""

    where: HubChoice
    instance_id: str
    keep_id: bool
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """Options of `azemu durable purge`. Either instance ids or a filter; an empty filter means all."""

    where: HubChoice
    instance_ids: Sequence[str]
    filter: InstanceFilter
    yes: bool
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntities:
    """Options of `azemu durable entities`. `top`: the most entities to show; 0 shows all."""

    where: HubChoice
    name: str | None
    top: int
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Options of `azemu durable signal`. `name`, `key`: of the entity. `data`: as on the command line."""

    where: HubChoice
    name: str
    key: str
    operation: str
    data: str | None
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteHub:
    """Options of `azemu durable delete-hub`."""

    where: HubChoice
    yes: bool
    json: bool


def parse_list(words: Sequence[str]) -> ListInstances:
    """Parse the arguments of `azemu durable list`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "list",
        "List orchestration instances, in the order of their ids.",
        """\
  azemu durable list                                      the first 100
  azemu durable list --status Failed --since 2h           failed instances that were started in the last two hours
  azemu durable list --name order_workflow --top 10
  azemu durable list --prefix order- --top 0 --json       all of them, for a script
""",
    )
    _add_filter(parser)
    parser.add_argument(
        "--top", metavar="N", default=str(DEFAULT_TOP), help=f"show at most N (default: {DEFAULT_TOP}; 0: all)"
    )
    options = parser.parse(words)
    return ListInstances(
        where=_choice(parser, options),
        filter=_filter(parser, options),
        top=parser.number_of("--top", options.top),
        json=options.json,
    )


def parse_show(words: Sequence[str], *, history: bool = False) -> ShowInstance:
    """Parse the arguments of `azemu durable show`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "show",
        "Show one instance: status, input, output and custom status.",
        """\
  azemu durable show order-17
  azemu durable show order-17 --history                   also what it has done, step by step
""",
    )
    _add_id(parser)
    parser.add_argument("--history", action="store_true", default=history, help="also show its history")
    # Options of func durable get-runtime-status. Both are always shown.
    for option in ("--show-input", "--show-output", "--get-output"):
        parser.add_argument(option, nargs="?", help=argparse.SUPPRESS)
    options = parser.parse(words)
    [instance_id] = _ids(parser, options, single=True)
    return ShowInstance(
        where=_choice(parser, options), instance_id=instance_id, history=options.history, json=options.json
    )


def parse_history(words: Sequence[str]) -> ShowInstance:
    """Parse the arguments of `azemu durable get-history`: those of `show`, with the history."""
    return parse_show(words, history=True)


def parse_start_instance(words: Sequence[str]) -> StartInstance:
    """Parse the arguments of `azemu durable start`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "start",
        "Start an orchestration and print its instance id, or with --wait its output.",
        """\
  azemu durable start order_workflow '{"id": 17}' --id order-17
  azemu durable start order_workflow @order.json --wait
  azemu durable start greeting Ada                        a text that is not JSON is sent as a JSON string
""",
    )
    add = parser.add_argument
    add("name", metavar="NAME", nargs="?", help="name of the orchestrator function (also: --function-name)")
    add("data", metavar="DATA", nargs="?", help="input as JSON; @FILE: from a file; @-: from the standard input")
    add("--function-name", metavar="NAME", help=argparse.SUPPRESS)
    add("--input", "-i", metavar="DATA", help="the input, as DATA")
    add("--id", metavar="ID", help="instance id (default: a new one)")
    add("--version", metavar="VERSION", help="version of the orchestration (default: defaultVersion of host.json)")
    add(
        "--wait", action="store_true", help="wait for the end and print the output; exit code 1 if it has not completed"
    )
    add("--timeout", metavar="SECONDS", help="how long to wait at most (default: without a limit)")
    options = parser.parse(words)
    name, data = options.name, options.data
    # `func durable start-new --function-name NAME` needs no word for the name, so the first word is the data.
    if options.function_name:
        if data is not None:
            parser.error(f"the orchestrator is named twice: '{options.function_name}' and '{name}'.")
        name, data = options.function_name, name
    if not name:
        parser.error("the following arguments are required: NAME")
    return StartInstance(
        where=_choice(parser, options),
        name=name,
        data=_one_of(parser, data, options.input, "--input"),
        instance_id=options.id,
        version=options.version,
        # A time limit has a meaning only for a wait.
        wait=options.wait or options.timeout is not None,
        timeout=None if options.timeout is None else float(parser.number_of("--timeout", options.timeout)),
        json=options.json,
    )


def parse_raise(words: Sequence[str]) -> RaiseEvent:
    """Parse the arguments of `azemu durable raise`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "raise",
        "Send an external event to an instance.",
        """\
  azemu durable raise order-17 approval true
  azemu durable raise order-17 payment @payment.json
""",
    )
    # argparse would show the three words as one that can be repeated.
    parser.usage = "azemu durable raise ID EVENT [DATA] [options]"
    add = parser.add_argument
    add("words", metavar="ID EVENT DATA", nargs="*", help="instance id, name of the event, and its data as JSON")
    add("--id", metavar="ID", help=argparse.SUPPRESS)
    add("--event-name", metavar="EVENT", help=argparse.SUPPRESS)
    add("--event-data", metavar="DATA", help="data of the event (default: null)")
    options = parser.parse(words)
    # What an option of `func` gives is not expected among the words, so those after it move up.
    rest = list(options.words)
    named = {"ID": options.id, "EVENT": options.event_name}
    named = {name: rest.pop(0) if value is None and rest else value for name, value in named.items()}
    missing = [name for name, value in named.items() if not value]
    if missing:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    if len(rest) > 1:
        parser.error(f"unknown argument '{rest[1]}'. Put data with spaces into quotation marks.")
    return RaiseEvent(
        where=_choice(parser, options),
        instance_id=str(named["ID"]),
        event=str(named["EVENT"]),
        data=_one_of(parser, rest[0] if rest else None, options.event_data, "--event-data"),
        json=options.json,
    )


_CONTROL: Final[dict[Verb, tuple[str, str]]] = {
    "terminate": ("End instances at once. Activities that run are not interrupted.", "order cancelled"),
    "suspend": ("Suspend instances: they process nothing until they are resumed.", "maintenance"),
    "resume": ("Resume suspended instances.", "maintenance is over"),
    "rewind": ("Repeat the failed steps of failed instances.", "the payment service is back"),
}


def parse_control(verb: Verb, words: Sequence[str]) -> Control:
    """Parse the arguments of `azemu durable VERB`. Raises SystemExit after --help and for wrong arguments."""
    description, reason = _CONTROL[verb]
    parser = _parser(verb, description, f'  azemu durable {verb} order-17 order-18 --reason "{reason}"\n')
    _add_id(parser, several=True)
    parser.add_argument("--reason", metavar="TEXT", help="why; it is stored in the history")
    options = parser.parse(words)
    return Control(
        where=_choice(parser, options),
        verb=verb,
        instance_ids=_ids(parser, options),
        reason=options.reason,
        json=options.json,
    )


def parse_restart(words: Sequence[str]) -> Restart:
    """Parse the arguments of `azemu durable restart`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "restart",
        "Start an orchestration again with the input of an instance, and print the new instance id.",
        """\
  azemu durable restart order-17
  azemu durable restart order-17 --keep-id                replace the old run, which must have ended
""",
    )
    _add_id(parser)
    parser.add_argument("--keep-id", action="store_true", help="use the same instance id; its history is replaced")
    options = parser.parse(words)
    [instance_id] = _ids(parser, options, single=True)
    return Restart(where=_choice(parser, options), instance_id=instance_id, keep_id=options.keep_id, json=options.json)


def parse_purge(words: Sequence[str]) -> Purge:
    """Parse the arguments of `azemu durable purge`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "purge",
        "Delete instances that have ended, with their histories. At a terminal it asks before it deletes.",
        """\
  azemu durable purge order-17
  azemu durable purge --status Completed --until 7d       completed, and started more than seven days ago
  azemu durable purge --all --yes                         every instance that has ended, without asking
""",
    )
    _add_id(parser, several=True)
    _add_filter(parser)
    parser.add_argument("--all", action="store_true", help="all instances that have ended")
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    options = parser.parse(words)
    ids = [*options.ids, *([options.id] if options.id else [])]
    chosen = _filter(parser, options)
    # Both together could delete more than was meant.
    if ids and (options.all or not chosen.is_empty):
        parser.error("choose instances either by their ids or by a filter.")
    if not ids and not options.all and chosen.is_empty:
        parser.error("name the instances, choose them with a filter such as --status Completed, or use --all.")
    return Purge(where=_choice(parser, options), instance_ids=ids, filter=chosen, yes=options.yes, json=options.json)


def parse_entities(words: Sequence[str]) -> ListEntities:
    """Parse the arguments of `azemu durable entities`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "entities",
        "List entities with their states.",
        """\
  azemu durable entities
  azemu durable entities --name counter --json
""",
    )
    parser.add_argument("--name", metavar="NAME", help="only entities of this entity function")
    parser.add_argument(
        "--top", metavar="N", default=str(DEFAULT_TOP), help=f"show at most N (default: {DEFAULT_TOP}; 0: all)"
    )
    options = parser.parse(words)
    return ListEntities(
        where=_choice(parser, options),
        name=options.name,
        top=parser.number_of("--top", options.top),
        json=options.json,
    )


def parse_signal(words: Sequence[str]) -> Signal:
    """Parse the arguments of `azemu durable signal`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "signal",
        "Send an operation to an entity, which is created if it does not exist.",
        """\
  azemu durable signal counter@visits add 1
  azemu durable signal counter@visits delete
""",
    )
    add = parser.add_argument
    add("entity", metavar="ENTITY@KEY", help="name of the entity function and key of the entity")
    add("operation", metavar="OPERATION", help="name of the operation")
    add("data", metavar="DATA", nargs="?", help="input as JSON; @FILE: from a file; @-: from the standard input")
    options = parser.parse(words)
    # Instance ids of entities are written @name@key.
    name, _, key = options.entity.removeprefix("@").partition("@")
    if not name or not key:
        parser.error(f"'{options.entity}' is not an entity. Write ENTITY@KEY, such as counter@visits.")
    return Signal(
        where=_choice(parser, options),
        name=name,
        key=key,
        operation=options.operation,
        data=options.data,
        json=options.json,
    )


def parse_delete_hub(words: Sequence[str]) -> DeleteHub:
    """Parse the arguments of `azemu durable delete-hub`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser(
        "delete-hub",
        "Delete a task hub: all its queues, tables and containers, and with them all instances. Stop its hosts first.",
        """\
  azemu durable delete-hub
  azemu durable delete-hub --hub OldHub --connection Orders --yes
""",
        asks_host=False,
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    options = parser.parse(words)
    return DeleteHub(where=_choice(parser, options), yes=options.yes, json=options.json)


# Common parts -------------------------------------------------------------------------------------------------


def _parser(word: str, description: str, examples: str, *, asks_host: bool = True) -> Parser:
    parser = Parser(
        f"azemu durable {word}",
        description=description,
        epilog=f"examples:\n{examples}" + (f"\n{_SOURCE}" if asks_host else ""),
    )
    group = parser.add_argument_group("task hub")
    if asks_host:
        parser.add_host_options(group)
    else:
        parser.add_app_option(group=group)
    add = group.add_argument
    add("--hub", "--task-hub-name", metavar="NAME", help="task hub (default: that of host.json)")
    add(
        *("--connection", "--connection-string-setting"),
        metavar="NAME",
        help="setting of the storage account (default: that of host.json, or AzureWebJobsStorage)",
    )
    add_storage_option(parser, group=group)
    parser.add_json_option()
    return parser


def _choice(parser: Parser, options: argparse.Namespace) -> HubChoice:
    # A host has the API of all task hubs that its accounts contain.
    return hub_choice(parser, options, without_host=("storage",))


def _add_id(parser: Parser, *, several: bool = False) -> None:
    parser.add_argument(
        "ids", metavar="ID", nargs="*", help="instance id; several are possible" if several else "instance id"
    )
    parser.add_argument("--id", metavar="ID", help=argparse.SUPPRESS)


def _ids(parser: Parser, options: argparse.Namespace, *, single: bool = False) -> list[str]:
    ids = [*options.ids, *([options.id] if options.id else [])]
    if not ids:
        parser.error("the following arguments are required: ID")
    if single and len(ids) > 1:
        parser.error(f"unknown argument '{ids[1]}'. The command takes one instance id.")
    return ids


def _add_filter(parser: Parser) -> None:
    add = parser.add_argument_group("filter").add_argument
    add(
        *("--status", "--runtime-status"),
        nargs="+",
        action="extend",
        default=[],
        metavar="STATUS",
        help=f"one or more of {', '.join(STATUSES)}",
    )
    parser.suggest("--status", STATUSES)
    add("--name", metavar="NAME", help="name of the orchestrator function")
    add("--prefix", metavar="TEXT", help="beginning of the instance id")
    add("--since", "--created-after", metavar="TIME", help=f"created at this time or later: {_TIME_HELP}")
    add("--until", "--created-before", metavar="TIME", help="created at this time or earlier")


def _filter(parser: Parser, options: argparse.Namespace) -> InstanceFilter:
    known = {status.lower(): status for status in STATUSES}
    # Core Tools separates statuses by spaces, the durable API by commas.
    words = [word for text in options.status for word in text.replace(",", " ").split()]
    for word in words:
        if word.lower() not in known:
            parser.error(f"--status: '{word}' is not a status. Use {', '.join(STATUSES)}.")
    return InstanceFilter(
        statuses=tuple(dict.fromkeys(known[word.lower()] for word in words)),
        name=options.name,
        prefix=options.prefix,
        since=_time(parser, "--since", options.since, SystemClock().now),
        until=_time(parser, "--until", options.until, SystemClock().now),
    )


def _time(parser: Parser, option: str, text: str | None, now: Callable[[], datetime]) -> datetime | None:
    if text is None:
        return None
    try:
        if match := re.fullmatch(r"(\d{1,9})([smhd])", text):
            return now() - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
        # Core Tools, too, takes a time without a zone for UTC.
        moment = datetime.fromisoformat(text)
    # OverflowError: before the year 1.
    except (ValueError, OverflowError):
        parser.error(f"{option}: '{text}' is not a time. Use {_TIME_HELP}.")
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _one_of(parser: Parser, positional: str | None, named: str | None, option: str) -> str | None:
    if positional is not None and named is not None:
        parser.error(f"the data is given twice: '{positional}' and {option}.")
    return named if positional is None else positional
