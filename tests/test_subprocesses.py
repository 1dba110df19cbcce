"""Child processes of azemu."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import pytest

from emulator.subprocesses import start_detached
from tests.processes import has_ended
from tests.waiting import eventually


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize("attempt", range(5))
async def test_start_that_is_cancelled_leaves_no_process(tmp_path: Path, attempt: int) -> None:
    """The start takes a moment, in which the program already runs and has children that keep its pipes open."""
    noted = tmp_path / "children"
    script = f"sleep 600 & echo $! >> {noted}; wait"
    pipe = asyncio.subprocess.PIPE
    starting = asyncio.create_task(start_detached("/bin/sh", "-c", script, stdout=pipe, stderr=pipe))
    # As many steps of the event loop as the parameter says: the process is created in the first ones.
    for _ in range(attempt):
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    children = [int(line) for line in noted.read_text().split()] if noted.exists() else []
    for child in children:
        await eventually(partial(has_ended, child), "end of the program's child process")
