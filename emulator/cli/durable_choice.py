"""Which task hub a command uses, and how it is reached: the record of it, and the options that make it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.cli.parsing import Parser


@dataclass(frozen=True, slots=True, kw_only=True)
class HubChoice:
    """Which task hub a command uses, and how it is reached.

    `hub`, `connection`: None means those of host.json. `storage`: the value of --storage; the command uses this storage
    and no host. `port`, `key`: see `finding_hosts.find_host`.
    """

    app: Path
    port: int | None = None
    key: str | None = None
    hub: str | None = None
    connection: str | None = None
    storage: str | None = None

    @property
    def names_hub(self) -> bool:
        """Whether a hub or its storage is named. Otherwise it is that of the app, and of the app's host."""
        return any(name is not None for name in (self.hub, self.connection, self.storage))


def add_named_hub_options(parser: Parser, *, verb: str) -> None:
    """Add --hub, --connection and --storage to a command that asks no host for a hub that is named.

    `verb`: what the command does with it, for the help.
    """
    add = parser.add_argument
    add("--hub", metavar="NAME", help=f"do not ask a host, but {verb} this task hub")
    add("--connection", metavar="NAME", help="setting of its storage account (default: that of host.json)")
    add_storage_option(parser, verb=verb)


def add_storage_option(parser: Parser, *, verb: str = "use", group: argparse._ArgumentGroup | None = None) -> None:
    """Add --storage. `group`: where the help lists it."""
    (group or parser).add_argument(
        "--storage",
        metavar="STORAGE",
        help=f"do not ask a host, but {verb} this storage: azurite, builtin, builtin:PATH or a connection string",
    )
    parser.suggest("--storage", ("azurite", "builtin"))


def hub_choice(
    parser: Parser, options: argparse.Namespace, *, without_host: Sequence[str] = ("hub", "connection", "storage")
) -> HubChoice:
    """Return the choice of the options. `without_host`: those with which the command asks no host.

    Ends the process (SystemExit) if --port is given beside one of them.
    """
    # Commands that ask no host have neither.
    port = parser.port_of(getattr(options, "port", None), lowest=1)
    for name in without_host:
        if port is not None and getattr(options, name) is not None:
            parser.error(f"--port asks a host, and --{name} none. Use one of them.")
    return HubChoice(
        app=options.app,
        port=port,
        key=getattr(options, "key", None),
        hub=options.hub,
        connection=options.connection,
        storage=options.storage,
    )
