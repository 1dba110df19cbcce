"""Arguments of `azemu send`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from emulator.cli.parsing import Parser
from emulator.config.connections import DEFAULT_CONNECTION

_EXAMPLES: Final = """\
examples:
  azemu send queue orders '{"id": 7}'                      put a message into the queue orders
  azemu send queue orders @order.json --connection Orders  from a file, into the account of the setting Orders
  azemu send blob images/cat.png cat.png                   upload a file
  echo hello | azemu send blob inbox/hello.txt -           upload the standard input
  azemu send eventgrid on_event '{"data": {"n": 1}}'       run a function for an event

Messages and blobs get into the storage of the app, through its host if that is running. An event needs a running host.
The exit code is 0 if the data has been sent (an event: and the function has succeeded), else 1.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Options of `azemu send`. `target`: a queue, the path of a blob, or a function. `data`: as on the command line.

    `connection`: the setting of the storage account. `content_type`: of a blob. `allow_azure`: the account may be in
    Azure. `port` None: the running host of the folder. `key` None: the master key in the app's folder.
    """

    kind: Literal["queue", "blob", "eventgrid"]
    target: str
    data: str
    app: Path
    connection: str = DEFAULT_CONNECTION
    content_type: str = "application/octet-stream"
    allow_azure: bool = False
    port: int | None = None
    key: str | None = None
    json: bool = False


def parse_send(kind: Literal["queue", "blob", "eventgrid"], words: Sequence[str]) -> Send:
    """Parse the arguments after `azemu send KIND`. Ends the process (SystemExit) after --help and for wrong ones."""
    description = {
        "queue": "Put a message into a queue of the app's storage, in the encoding of its queue triggers.",
        "blob": "Write a blob in the app's storage.",
        "eventgrid": "Run a function of a running host for an event, as Event Grid does.",
    }
    parser = Parser(
        f"azemu send {kind}",
        description=description[kind],
        epilog=_EXAMPLES,
    )
    add = parser.add_argument
    match kind:
        case "queue":
            add("target", metavar="NAME", help="name of the queue")
            add("data", metavar="TEXT", help="text of the message; @FILE: from a file; -: from the standard input")
        case "blob":
            add("target", metavar="PATH", help="container and name, such as images/cat.png")
            add("data", metavar="FILE", nargs="?", default="-", help="file to upload (default: -, the standard input)")
            add("--content-type", default="application/octet-stream", metavar="TYPE", help="content type of the blob")
        case "eventgrid":
            add("target", metavar="FUNCTION", help="function with an Event Grid trigger, or a blob trigger fed by it")
            add("data", metavar="EVENT", help="JSON of one event or of an array; @FILE: from a file; -: standard input")
    if kind != "eventgrid":
        add("--connection", default=DEFAULT_CONNECTION, metavar="NAME", help="setting of the storage account")
        add("--yes", action="store_true", help="allow an account that is not on this machine")
    parser.add_host_options()
    parser.add_json_option()
    options = parser.parse(words)
    return Send(
        kind=kind,
        target=options.target,
        data=options.data,
        app=options.app,
        connection=getattr(options, "connection", DEFAULT_CONNECTION),
        content_type=getattr(options, "content_type", "application/octet-stream"),
        allow_azure=getattr(options, "yes", False),
        port=parser.port_of(options.port, lowest=1),
        key=options.key,
        json=options.json,
    )
