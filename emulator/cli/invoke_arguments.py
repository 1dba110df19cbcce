"""Arguments of `azemu invoke`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from emulator.cli.parsing import Parser

_EXAMPLES: Final = """\
examples:
  azemu invoke tick                                        a timer trigger needs no data
  azemu invoke consume "message text"                      the message of a queue, topic or event hub
  azemu invoke consume @message.json                       data from a file; @- reads the standard input
  azemu invoke consume hello --metadata DeliveryCount=3    choose what the function finds in the message
  azemu invoke show --input doc=@document.json             a value for an input binding
  azemu invoke greet --param name=Ada                      call an HTTP function
  azemu invoke greet '{"name": "Ada"}' --method PUT

The result of the function is printed to the standard output, everything else to the standard error. The exit code is 0
if the function has succeeded, and 1 if it has failed or cannot be run.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoke:
    """Options of `azemu invoke`. `data`: as on the command line, None if it is not given.

    `port` None: the running host of the folder. `metadata`, `inputs`, `parameters`: values by name, unparsed.
    `method` None: one that the HTTP function accepts. `key` None: the master key in the app's folder, if keys are
    checked.
    """

    name: str
    data: str | None = None
    app: Path
    port: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    method: str | None = None
    key: str | None = None
    json: bool = False


def parse_invoke(words: Sequence[str]) -> Invoke:
    """Parse the arguments after `azemu invoke`. Ends the process (SystemExit) after --help and for wrong arguments."""
    parser = Parser(
        "azemu invoke",
        description="Run one function of a host that is running (azemu start), with data of your choice.",
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="name of the function")
    add("data", metavar="DATA", nargs="?", help="text of the event or body of the request; @FILE: from a file")
    parser.add_host_options()
    for option, meaning in (
        ("--metadata", "a member of the trigger metadata, such as MessageId=7; repeat it for more"),
        ("--input", "the value of an input binding of a service that azemu does not read; VALUE may be @FILE"),
        ("--param", "HTTP functions: a route or query parameter"),
    ):
        add(option, action="append", default=[], metavar="NAME=VALUE", help=meaning)
    add("--method", metavar="METHOD", help="HTTP functions: GET, POST, … (default: one that fits)")
    parser.add_json_option()
    options = parser.parse(words)

    def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
        for text in texts:
            if "=" not in text:
                parser.error(f"{option}: '{text}' has no value. Write NAME=VALUE.")
        return dict(text.split("=", 1) for text in texts)

    return Invoke(
        name=options.name,
        data=options.data,
        app=options.app,
        port=parser.port_of(options.port, lowest=1),
        metadata=pairs("--metadata", options.metadata),
        inputs=pairs("--input", options.input),
        parameters=pairs("--param", options.param),
        method=options.method.upper() if options.method else None,
        key=options.key,
        json=options.json,
    )
