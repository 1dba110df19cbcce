"""Log line about the folder of host identities, if it is deleted while the host runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from emulator.clock import Clock

_CHECK_EVERY: Final = timedelta(seconds=5)


async def report_deleted_folder(folder: Path, clock: Clock, report: Callable[[str], None]) -> None:
    """Call `report` with a line when a folder that exists is deleted. Return after that; otherwise run until cancelled.

    The folder contains the lock files and journals of this host (`polling.crash_recovery`). They are not created again
    while the host runs: another host could have taken the same names meanwhile.
    """
    existed = False
    while True:
        exists = await asyncio.to_thread(folder.exists)
        if existed and not exists:
            break
        existed = exists
        await clock.sleep(_CHECK_EVERY.total_seconds(), upkeep=True)
    report(
        f"The folder {folder} was deleted. The host continues, and its keys stay as they are. But if it is killed, its "
        "messages and leases stay locked until their time ends. The folder is created again at the next start."
    )
