"""A process that dequeues messages from a built-in store until there are none:

    python -m tests.storage.builtin.taker FILE

Prints every message that it dequeued and deleted.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin


async def main(path: Path) -> None:
    async with open_builtin(path, SystemClock()) as account:
        queue = account.queue("numbers")
        while messages := await queue.get(limit=3, hide_for=timedelta(minutes=1)):
            for message in messages:
                await queue.delete(message)
                print(message.body)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
