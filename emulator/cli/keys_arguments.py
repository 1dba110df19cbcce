"""Arguments of `azemu keys …`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.cli.parsing import Parser
from emulator.host.http.keys.key_store import HOST_FUNCTION_KEYS, HOST_SYSTEM_KEYS, KeyScope
from emulator.host.http.keys.secret_format import KeyKind

_EXAMPLES: Final = """\
examples:
  azemu keys                                  the names of all keys
  azemu keys show _master                     the master key, as for `curl -H "x-functions-key: …"`
  azemu keys show default --function greet    a key of one function
  azemu keys set partner                      add a host key with a new value, and print the value
  azemu keys set partner @key.txt             the value from a file
  azemu keys delete partner

Keys are needed only by hosts that check them (azemu start --enable-auth). They are changed through the running host of
the app, or in its folder .azemu/secrets if none runs.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysOf:
    """Where keys are: the app's folder, and port and master key of a running host as the user has given them."""

    app: Path
    port: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysList:
    """Options of `azemu keys list`. `show`: also the values."""

    where: KeysOf
    show: bool
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysShow:
    """Options of `azemu keys show`."""

    where: KeysOf
    scope: KeyScope
    name: str
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSet:
    """Options of `azemu keys set`. `value`: as on the command line; None: generate one."""

    where: KeysOf
    scope: KeyScope
    name: str
    value: str | None
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysDelete:
    """Options of `azemu keys delete`."""

    where: KeysOf
    scope: KeyScope
    name: str
    json: bool


def parse_keys_list(words: Sequence[str]) -> KeysList:
    """Parse the arguments of `azemu keys list`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser("list", "List the access keys of the host and of its functions, without their values.")
    parser.add_argument("--show", action="store_true", help="also show the values")
    options = parser.parse(words)
    return KeysList(where=_where(parser, options), show=options.show, json=options.json)


def parse_keys_show(words: Sequence[str]) -> KeysShow:
    """Parse the arguments of `azemu keys show`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser("show", "Print the value of an access key.", of_scope=True)
    parser.add_argument("name", metavar="NAME", help="name of the key; _master is the master key")
    options = parser.parse(words)
    return KeysShow(where=_where(parser, options), scope=_scope(parser, options), name=options.name, json=options.json)


def parse_keys_set(words: Sequence[str]) -> KeysSet:
    """Parse the arguments of `azemu keys set`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser("set", "Add or replace an access key, and print its value.", of_scope=True)
    parser.add_argument("name", metavar="NAME", help="name of the key; _master is the master key")
    parser.add_argument(
        "value", metavar="VALUE", nargs="?", help="@FILE: from a file; @-: from the standard input (default: a new one)"
    )
    options = parser.parse(words)
    return KeysSet(
        where=_where(parser, options),
        scope=_scope(parser, options),
        name=options.name,
        value=options.value,
        json=options.json,
    )


def parse_keys_delete(words: Sequence[str]) -> KeysDelete:
    """Parse the arguments of `azemu keys delete`. Raises SystemExit after --help and for wrong arguments."""
    parser = _parser("delete", "Delete an access key.", of_scope=True)
    parser.add_argument("name", metavar="NAME", help="name of the key")
    options = parser.parse(words)
    return KeysDelete(
        where=_where(parser, options), scope=_scope(parser, options), name=options.name, json=options.json
    )


def _parser(word: str, description: str, *, of_scope: bool = False) -> Parser:
    parser = Parser(
        f"azemu keys {word}",
        description=description,
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    if of_scope:
        add("--function", metavar="NAME", help="a key of this function (default: the keys of the host)")
        add("--system", action="store_true", help="a system key, such as durabletask_extension")
    parser.add_host_options()
    parser.add_json_option()
    return parser


def _where(parser: Parser, options: argparse.Namespace) -> KeysOf:
    return KeysOf(app=options.app, port=parser.port_of(options.port, lowest=1), key=options.key)


def _scope(parser: Parser, options: argparse.Namespace) -> KeyScope:
    if options.function and options.system:
        parser.error("--function and --system exclude each other: only the host has system keys.")
    if options.function:
        return KeyScope(KeyKind.FUNCTION, options.function)
    return HOST_SYSTEM_KEYS if options.system else HOST_FUNCTION_KEYS
