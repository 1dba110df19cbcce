"""Azurite for the connection UseDevelopmentStorage=true: use a running one, or start one.

An Azurite that the user runs at the default ports is used as it is. Otherwise all apps of the user share one Azurite,
whose data is in the user's data folder. An app that has a folder `.azurite/`, in which earlier versions kept the data,
gets an Azurite of its own on that folder. What azemu starts ends with the last azemu that uses it (`runner.py`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from emulator.background import background
from emulator.clock import Clock
from emulator.config.connections import DEVELOPMENT_PORTS, SERVICES, Service, development_connection_string
from emulator.errors import StorageUnavailable
from emulator.private_files import make_private_folder
from emulator.storage.azurite.connection import RunnerConnection, connect, connect_or_start
from emulator.storage.azurite.probe import HOST, PortUser, probe
from emulator.storage.azurite.process import Launch, Ports, keep_running
from emulator.storage.azurite.program import PrintLine
from emulator.storage.azurite.run_record import ANY_PORTS, RunRequest, folder_at
from emulator.storage.azurite.search import find_program
from emulator.storage.gitignore import hide_from_git
from emulator.user_folders import data_folder

FOLDER = ".azurite"
# What Azurite stores begins with these characters.
_DATA_FILES = "__*"
# The runner is not started any more when this many, one after the other, each ran for less than this time.
_SHORT_RUN = timedelta(seconds=20)
_MAX_SHORT_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """Running Azurite. `origin`: where it comes from, for messages. `folder`: its data; None: unknown or in memory.

    `started_here`: it was started by the `async with` that returned it. `restarted`: set when it crashed and is running
    again, possibly without its last changes.
    """

    ports: Ports
    started_here: bool
    origin: str
    folder: Path | None = None
    restarted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def connection_string(self) -> str:
        return development_connection_string(self.ports)

    @property
    def description(self) -> str:
        ports = ", ".join(f"{self.ports[service]} ({service})" for service in SERVICES)
        return f"Azurite at {HOST}, ports {ports}"


@asynccontextmanager
async def open_azurite(
    app: Path,
    *,
    clock: Clock,
    print_line: PrintLine = lambda line: None,
    in_memory: bool = False,
    usual_ports: Ports = DEVELOPMENT_PORTS,
) -> AsyncIterator[Azurite]:
    """Provide an Azurite for the app in the folder `app` while entered.

    `in_memory`: always start a new one, on free ports, that stores nothing on disk; for tests. `usual_ports`: where one
    may be running already, and where a new one listens if they are free. `print_line`: prints a line for the user.

    Raises NoAzurite at entry. Raises StorageUnavailable at entry if it cannot be started, and in the body if it does
    not keep running.
    """
    if in_memory:
        launch = Launch(
            program=await find_program(app, clock=clock, print_line=print_line), ports=ANY_PORTS, folder=None
        )
        async with _started_in_memory(launch, clock, print_line) as azurite:
            yield azurite
        return
    shared = data_folder() / "azurite"
    own = app / FOLDER
    has_own_data = any(own.glob(_DATA_FILES))
    # A container may have a read-only home. A folder that the user has chosen is an error instead.
    folder = own if has_own_data or not ("AZEMU_DATA" in os.environ or _is_writable(shared)) else shared
    ports = usual_ports
    connection = await connect(folder, clock)
    if connection is None:
        users = await probe(usual_ports, clock)
        answering = [service for service in SERVICES if users[service] is PortUser.STORAGE]
        # Another azemu may have started one since. Its runner is recorded before its Azurite answers.
        connection = await connect(folder, clock) if answering else None
        other = folder_at(usual_ports) if answering else None
        if connection is not None:
            pass
        elif other is not None and other != folder and (used := await connect(other, clock)) is not None:
            # Another app has its own data there. The ports are asked for, not the data.
            await used.leave(clock)
            ports = ANY_PORTS
        elif answering and other != folder:
            _warn_of_missing_services(usual_ports, answering, print_line)
            yield Azurite(ports=usual_ports, started_here=False, origin="already running")
            return
    if folder == own:
        others = (
            f"Apps without such a folder share the data in {shared}."
            if has_own_data
            else f"The data that apps share would be in {shared}, which cannot be written."
        )
        print_line(f"Using the Azurite data of this app in {own}. {others}")
        # If it cannot be created, the runner's start reports that.
        with suppress(OSError):
            make_private_folder(own)
        hide_from_git(own)
    request = RunRequest(folder=folder, app=app, ports=ports)
    async with _run_by_runner(request, connection, clock, print_line) as azurite:
        yield azurite


@asynccontextmanager
async def _run_by_runner(
    request: RunRequest, connection: RunnerConnection | None, clock: Clock, print_line: PrintLine
) -> AsyncIterator[Azurite]:
    """Use the Azurite of the data folder's runner. `connection`: to this runner, if it is running already."""
    while True:
        connection = connection or await connect_or_start(request, clock)
        try:
            listening = await connection.wait_until_listening(print_line)
        except BaseException:
            # Also when the user presses Ctrl-C during an installation.
            await connection.leave(clock)
            raise
        if listening is not None:
            break
        # The runner was about to end, because the last azemu that used it was leaving.
        connection = None
    azurite = Azurite(
        ports=listening.ports,
        started_here=connection.started,
        origin=listening.origin,
        folder=request.folder,
        restarted=asyncio.Event(),
    )
    current = connection

    async def watch() -> None:
        nonlocal current
        short_runs = 0
        exact = RunRequest(folder=request.folder, app=request.app, ports=azurite.ports, exactly=True)
        while True:
            since = clock.now()
            await current.watch(print_line, azurite.restarted)
            await current.leave(clock)
            short_runs = short_runs + 1 if clock.now() - since < _SHORT_RUN else 0
            if short_runs == _MAX_SHORT_RUNS:
                raise StorageUnavailable(
                    f"The process that runs Azurite ended {_MAX_SHORT_RUNS} times soon after its start. "
                    "Start without Azurite: --storage builtin"
                )
            print_line(
                "The process that runs Azurite ended unexpectedly. Restarting it. Changes of the last five seconds may "
                "be lost."
            )
            current = await connect_or_start(exact, clock)
            again = await current.wait_until_listening(print_line)
            if again is not None:
                if dict(again.ports) != dict(azurite.ports):
                    raise StorageUnavailable(f"Azurite listens at other ports now ({again.ports}). Start azemu again.")
                azurite.restarted.set()

    try:
        async with background(watch(), name="Azurite connection"):
            yield azurite
    finally:
        await current.leave(clock)


@asynccontextmanager
async def _started_in_memory(launch: Launch, clock: Clock, print_line: PrintLine) -> AsyncIterator[Azurite]:
    listening: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    restarted = asyncio.Event()
    running = keep_running(launch, listening, clock=clock, print_line=print_line, restarted=restarted)
    async with background(running, name="Azurite"):
        ports = await listening
        yield Azurite(ports=ports, started_here=True, origin=launch.program.origin, restarted=restarted)


def _is_writable(folder: Path) -> bool:
    with suppress(OSError):
        make_private_folder(folder)
    return os.access(folder, os.W_OK)


def _warn_of_missing_services(ports: Ports, answering: list[Service], print_line: PrintLine) -> None:
    for service in SERVICES:
        if service not in answering:
            print_line(
                f"Azurite answers at port {ports[answering[0]]} ({answering[0]}), but not at "
                f"{ports[service]} ({service}): functions that need {service} storage will fail. "
                "Start Azurite with all three services (command: azurite), or stop it and azemu starts its own."
            )
