"""A process that writes into a built-in store and prints what was acknowledged.

    python -m tests.storage.builtin.writer FILE FIRST

Prints one number per line, each after the message and the row of that number were acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from emulator.clock import SystemClock
from emulator.storage.builtin import open_builtin
from emulator.storage.port import Operation, Row, TableOperation


async def main(path: Path, first: int) -> None:
    async with open_builtin(path, SystemClock()) as account:
        queue, table = account.queue("numbers"), account.table("Numbers")
        await queue.create()
        await table.create()
        numbers = count(first)

        async def write() -> None:
            for number in numbers:
                await queue.put(f"{number}")
                await table.submit([TableOperation(Operation.INSERT, Row("all", f"{number}", {"Half": number // 2}))])
                print(number, flush=True)

        # Several at once, so that a kill meets groups of operations in one flush.
        await asyncio.gather(*(write() for _ in range(4)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
