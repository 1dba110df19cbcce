"""A process that holds messages and never lets go: python -m tests.durable.azurestorage.holder FOLDER QUEUE ID=RECEIPT…

Says "held" when its journal has them.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from emulator.ids import new_id
from emulator.polling.crash_recovery.host_identity import open_host_identities
from emulator.storage.port import QueueMessage


def main(folder: str, queue_name: str, *messages: str) -> None:
    now = datetime.now(UTC)
    with open_host_identities(Path(folder), new_id) as claim_identity:
        identity = claim_identity()
        assert identity is not None
        for each in messages:
            id, receipt = each.split("=", maxsplit=1)
            identity.journal.record(queue_name, [QueueMessage(id, "", receipt, 1, now, now)])
        print("held", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
