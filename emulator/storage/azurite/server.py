"""Azurite for the connection UseDevelopmentStorage=true: use a running one, or start one for the app.

If Azurite answers at the default ports, it is used as it is. Otherwise the first of these is started: an Azurite that
is installed in the app folder or on the PATH, the copy in the user's cache folder (installed once with npm), Docker.
An Azurite that is started here keeps its data in `.azurite/` of the app folder and ends with this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from emulator import bound_json as json
from emulator.background import background
from emulator.clock import Clock
from emulator.config.connections import DEVELOPMENT_PORTS, SERVICES, development_connection_string
from emulator.errors import StorageUnavailable
from emulator.storage.azurite.install import install, installed_copy
from emulator.storage.azurite.probe import HOST, PortUser, probe
from emulator.storage.azurite.process import Launch, Ports, keep_running
from emulator.storage.azurite.program import PrintLine, Program, cache_folder, find_docker, find_installed, find_node
from emulator.storage.file_lock import try_lock
from emulator.storage.gitignore import hide_from_git

FOLDER = ".azurite"
_ANY_PORTS: Ports = dict.fromkeys(SERVICES, 0)
# How long to wait for the Azurite of another azemu in the same folder: 60 seconds, which a first installation may take.
_WAIT_ATTEMPTS = 240
_WAIT_PAUSE_SECONDS = 0.25

HOW_TO_GET_AZURITE = (
    "Node.js (https://nodejs.org; azemu then downloads Azurite itself), Node.js as a Python package "
    "(pip install azemu[node]), or Docker"
)


class NoAzurite(StorageUnavailable):
    """Azurite neither answers nor can it be started or installed. `reason`: a sentence that says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The app's storage is UseDevelopmentStorage=true, but Azurite is not running and cannot be started. "
            f"{reason} Install one of these and start again: {HOW_TO_GET_AZURITE}. "
            "To run without Azurite, use --storage builtin, or set AzureWebJobsStorage in local.settings.json to the "
            "connection string of a storage account."
        )
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """Running Azurite. `origin`: where it comes from, for messages.

    `started_here`: it ends with the `async with` that returned it. `restarted`: set when it was started here, crashed
    and is running again, possibly without its last changes.
    """

    ports: Ports
    started_here: bool
    origin: str
    restarted: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def connection_string(self) -> str:
        return development_connection_string(self.ports)

    @property
    def has_usual_ports(self) -> bool:
        """Whether UseDevelopmentStorage=true means exactly this server."""
        return dict(self.ports) == dict(DEVELOPMENT_PORTS)

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
            program=await find_program(app, clock=clock, print_line=print_line), ports=_ANY_PORTS, folder=None
        )
        async with _started(launch, clock, print_line) as azurite:
            yield azurite
        return
    users = await probe(usual_ports, clock)
    answering = [service for service in SERVICES if users[service] is PortUser.STORAGE]
    if answering:
        for service in SERVICES:
            if service not in answering:
                print_line(
                    f"Azurite answers at port {usual_ports[answering[0]]} ({answering[0]}), but not at "
                    f"{usual_ports[service]} ({service}): functions that need {service} storage will fail. "
                    "Start Azurite with all three services (command: azurite), or stop it and azemu starts its own."
                )
        yield Azurite(ports=usual_ports, started_here=False, origin="already running")
        return
    with ExitStack() as locks:
        try:
            # Two servers on the same files would damage them, so at most one azemu starts one for a folder.
            locked = locks.enter_context(try_lock(app / FOLDER / "azemu.lock"))
        except OSError as error:
            raise StorageUnavailable(
                f"Azurite needs the folder {app / FOLDER} for its data, which cannot be used: {error.strerror}. "
                "Make it writable, or use --storage builtin:PATH with a file elsewhere."
            ) from error
        hide_from_git(app / FOLDER)
        opening = (
            _started_for_app(app, usual_ports, clock, print_line) if locked else _started_by_other_azemu(app, clock)
        )
        async with opening as azurite:
            yield azurite


async def find_program(app: Path, *, clock: Clock, print_line: PrintLine) -> Program:
    """Find a way to run Azurite, and install it if necessary. Raises NoAzurite."""
    node = find_node()
    program = find_installed(app, node)
    if program is not None:
        return program
    reason = "Node.js, which runs Azurite, is not installed."
    cache = cache_folder()
    if node is not None:
        program = installed_copy(cache, node)
        if program is not None:
            return program
        reason = "The installed Node.js has no npm, which installs Azurite."
        if node.npm is not None:
            try:
                return await install(cache, node, clock=clock, print_line=print_line)
            except StorageUnavailable as error:
                reason = str(error)
    program = await find_docker(clock)
    if program is not None:
        return program
    raise NoAzurite(reason)


@asynccontextmanager
async def _started_for_app(
    app: Path, usual_ports: Ports, clock: Clock, print_line: PrintLine
) -> AsyncIterator[Azurite]:
    """Start an Azurite on the app's data, at the default ports if they are free."""
    program = await find_program(app, clock=clock, print_line=print_line)
    # The installation may have taken a minute. Meanwhile azemu may have started one for another app.
    users = await probe(usual_ports, clock)
    if all(user is PortUser.STORAGE for user in users.values()):
        yield Azurite(ports=usual_ports, started_here=False, origin="already running")
        return
    taken = [str(usual_ports[service]) for service in SERVICES if users[service] is not PortUser.NOTHING]
    launch = Launch(program=program, ports=_ANY_PORTS if taken else usual_ports, folder=app / FOLDER)
    async with _started(launch, clock, print_line) as azurite:
        if taken:
            print_line(
                f"Port {', '.join(taken)} is used by a program that is not Azurite. Using {azurite.description}."
            )
        # For a second azemu in the same folder, which must use this server (see `_started_by_other_azemu`).
        ports_file = app / FOLDER / "azemu.json"
        ports_file.write_text(json.dumps(dict(azurite.ports)), encoding="utf-8")
        try:
            yield azurite
        finally:
            ports_file.unlink(missing_ok=True)


@asynccontextmanager
async def _started(launch: Launch, clock: Clock, print_line: PrintLine) -> AsyncIterator[Azurite]:
    listening: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    restarted = asyncio.Event()
    running = keep_running(launch, listening, clock=clock, print_line=print_line, restarted=restarted)
    async with background(running, name="Azurite"):
        ports = await listening
        yield Azurite(ports=ports, started_here=True, origin=launch.program.origin, restarted=restarted)


@asynccontextmanager
async def _started_by_other_azemu(app: Path, clock: Clock) -> AsyncIterator[Azurite]:
    """Wait for the Azurite that another azemu is starting, or has started, for the same folder."""
    ports_file = app / FOLDER / "azemu.json"
    for _ in range(_WAIT_ATTEMPTS):
        ports: Ports | None = None
        # The file may be missing or half written.
        with suppress(OSError, ValueError, KeyError):
            content = json.loads(ports_file.read_text(encoding="utf-8"))
            ports = {service: int(content[service]) for service in SERVICES}
        # It may also have been left by a process that was killed. Then nothing answers at its ports.
        if ports is not None and set((await probe(ports, clock)).values()) == {PortUser.STORAGE}:
            yield Azurite(ports=ports, started_here=False, origin="started by another azemu")
            return
        await clock.sleep(_WAIT_PAUSE_SECONDS)
    raise StorageUnavailable(
        f"Another azemu is running in {app} and its Azurite does not answer. Stop that azemu, or start this one again."
    )
