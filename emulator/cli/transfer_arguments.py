"""Arguments of `azemu storage export`, `import` and `copy`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from emulator.cli.parsing import Parser

_EXAMPLES: Final = {
    "export": """\
examples:
  azemu storage export backup.jsonl                              all of AzureWebJobsStorage
  azemu storage export hub.jsonl --hub MyHub --from Orders       one task hub of the account of the setting Orders
""",
    "import": """\
examples:
  azemu storage import backup.jsonl
  azemu storage import backup.jsonl --to builtin:.azemu/storage.db --force
""",
    "copy": """\
examples:
  azemu storage copy --from AzureWebJobsStorage --to builtin:copy.db
  azemu storage copy --from Production --to azurite --hub MyHub
""",
}
_DESCRIPTIONS: Final = {
    "export": "Save all queues, tables and blobs of a storage account to one file. Stop the hosts that use it first.",
    "import": "Load a saved file into a storage account. If an import was interrupted, run it again to complete it.",
    "copy": "Copy all queues, tables and blobs from one storage account to another. If a copy was interrupted, run it "
    "again to complete it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Options of `azemu storage export`, `import` and `copy`.

    `source` and `target`: a connection string, or the name of a connection setting of the app. `hub`: transfer only
    what belongs to this task hub. `force`: overwrite existing data.
    """

    action: Literal["export", "import", "copy"]
    app: Path
    source: str | None
    target: str | None
    file: Path | None
    hub: str | None = None
    force: bool = False
    json: bool = False


def parse_transfer(action: Literal["export", "import", "copy"], words: Sequence[str]) -> Transfer:
    """Parse the arguments after `azemu storage ACTION`. Raises SystemExit after --help and for errors."""
    parser = Parser(
        f"azemu storage {action}",
        description=_DESCRIPTIONS[action],
        epilog=_EXAMPLES[action],
    )
    parser.add_argument("--app", type=Path, default=Path(), metavar="DIR", help="folder of the app, for its settings")
    connection = "name of a connection setting of the app, a connection string, azurite or builtin:PATH"
    # A copy has no default on either side: source and target would be the same account.
    connection += "" if action == "copy" else " (default: AzureWebJobsStorage)"
    if action != "import":
        parser.add_argument("--from", dest="source", metavar="CONNECTION", required=action == "copy", help=connection)
    if action != "export":
        parser.add_argument("--to", dest="target", metavar="CONNECTION", required=action == "copy", help=connection)
    if action != "copy":
        meaning = "file to write" if action == "export" else "file that an export has written"
        parser.add_argument("file", type=Path, metavar="FILE", help=meaning)
    # An import takes what the file contains, which the export has chosen.
    if action != "import":
        parser.add_argument("--hub", metavar="NAME", help="only the queues, tables and containers of this task hub")
    parser.add_argument("--force", action="store_true", help="overwrite existing data")
    parser.add_json_option()
    options = parser.parse(words)
    return Transfer(
        action=action,
        app=options.app,
        source=getattr(options, "source", None),
        target=getattr(options, "target", None),
        file=getattr(options, "file", None),
        hub=getattr(options, "hub", None),
        force=options.force,
        json=options.json,
    )
