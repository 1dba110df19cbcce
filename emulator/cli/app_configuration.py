"""Configuration of an app whose host does not run, with its storage opened as a start of the app would open it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from emulator.app_storage import open_app_storage
from emulator.clock import Clock
from emulator.config.settings import find_project_root
from emulator.config.start import Configuration, StartOptions, configure


@asynccontextmanager
async def with_storage(app: Path, clock: Clock, *, storage: str | None = None) -> AsyncIterator[Configuration]:
    """Open Azurite or the built-in store, and yield the configuration that has its connection.

    `storage`: the value of --storage, None: what the settings name. Raises ConfigurationError, and errors of storage.
    """
    options = StartOptions(app=find_project_root(app), storage=storage, create_host_json=False)

    def print_line(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    async with open_app_storage(configure(options, os.environ), clock=clock, print_line=print_line) as opened:
        # Read again with the connection of the opened storage, whose port may differ from that in the settings.
        yield configure(replace(options, settings=dict(opened.settings)), os.environ)
