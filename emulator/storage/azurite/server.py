"""Azurite for connections that say UseDevelopmentStorage=true: found, fetched, started, watched and stopped.

One that already answers at the usual ports is used as it is. Otherwise the first of these is started: an Azurite
installed beside the app or on the PATH, the copy in the user's cache folder (fetched once through npm), Docker.
What is started here keeps its data in `.azurite/` of the app folder and never outlives this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from emulator.background import background
from emulator.clock import Clock
from emulator.config.connections import DEVELOPMENT_PORTS, SERVICES, development_connection_string
from emulator.errors import StorageUnavailable
from emulator.storage.azurite.install import install, installed_copy
from emulator.storage.azurite.probe import HOST, Answer, probe
from emulator.storage.azurite.process import Launch, Ports, Say, keep_running
from emulator.storage.azurite.program import Program, cache_folder, find_docker, find_installed, find_node
from emulator.storage.file_lock import try_lock
from emulator.storage.gitignore import hide_from_git

FOLDER = ".azurite"
_ANY_PORTS: Ports = dict.fromkeys(SERVICES, 0)
_NEIGHBOUR_PATIENCE = 240  # looks, a quarter of a second apart: long enough for a first installation
_LOOK_SECONDS = 0.25

HOW_TO_GET_AZURITE = (
    "Node.js (https://nodejs.org; azemu then fetches Azurite itself), the same as a Python package "
    "(pip install azemu[node]), or Docker"
)


class NoAzurite(StorageUnavailable):
    """None answers, and none can be started or fetched. `reason`: a sentence, what stands in the way."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The app's storage is UseDevelopmentStorage=true, but no Azurite answers and none can be started. "
            f"{reason} Install one of these and start again: {HOW_TO_GET_AZURITE}. "
            "Or do without Azurite: --storage builtin, or a connection string in AzureWebJobsStorage of "
            "local.settings.json."
        )
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Azurite:
    """A storage server that answers. `started_here`: it ends with the `async with` that gave it.

    `again`: set when one that was started here had ended and answers again, without what it had not saved.
    """

    ports: Ports
    started_here: bool
    origin: str
    again: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def connection_string(self) -> str:
        return development_connection_string(self.ports)

    @property
    def has_usual_ports(self) -> bool:
        """UseDevelopmentStorage=true means exactly this server."""
        return dict(self.ports) == dict(DEVELOPMENT_PORTS)

    @property
    def description(self) -> str:
        places = ", ".join(f"{self.ports[service]} ({service})" for service in SERVICES)
        return f"Azurite at {HOST}, ports {places}"


@asynccontextmanager
async def open_azurite(
    app: Path,
    *,
    clock: Clock,
    say: Say = lambda line: None,
    in_memory: bool = False,
    usual_ports: Ports = DEVELOPMENT_PORTS,
) -> AsyncIterator[Azurite]:
    """A storage server for the app in the folder `app`.

    `in_memory`: always a server of one's own, on free ports, that keeps nothing; for tests. `usual_ports`: where one
    may already answer, and where ours listens if they are free. `say` gets lines for the user: what is fetched, which
    ports were taken, that a crashed server was started again.

    Raises NoAzurite at entry, StorageUnavailable: at entry when it cannot be started, inside the body when it cannot be
    kept running.
    """
    if in_memory:
        launch = Launch(program=await find_program(app, clock=clock, say=say), ports=_ANY_PORTS, folder=None)
        async with _started(launch, clock, say) as azurite:
            yield azurite
        return
    running = await _already_running(usual_ports, clock, say)
    if running is not None:
        yield running
        return
    with _data_lock(app) as ours:
        opened = _own(app, usual_ports, clock, say) if ours else _neighbours(app, clock)
        async with opened as azurite:
            yield azurite


async def find_program(app: Path, *, clock: Clock, say: Say) -> Program:
    """How Azurite can be run here, fetching it if need be. Raises NoAzurite."""
    node = find_node()
    program = find_installed(app, node)
    if program is not None:
        return program
    reason = "There is no Node.js to run it."
    cache = cache_folder()
    if node is not None:
        program = installed_copy(cache, node)
        if program is not None:
            return program
        reason = "The installed Node.js has no npm to fetch it with."
        if node.npm is not None:
            try:
                return await install(cache, node, clock=clock, say=say)
            except StorageUnavailable as error:
                reason = str(error)
    program = await find_docker(clock)
    if program is not None:
        return program
    raise NoAzurite(reason)


@contextlib.contextmanager
def _data_lock(app: Path) -> Iterator[bool]:
    """At most one process serves the files of a folder."""
    with contextlib.ExitStack() as stack:
        try:
            ours = stack.enter_context(try_lock(app / FOLDER / "azemu.lock"))
        except OSError as error:
            raise StorageUnavailable(
                f"Azurite needs the folder {app / FOLDER} for its data, which cannot be used: {error.strerror}. "
                "Make it writable, or use --storage builtin:PATH with a file elsewhere."
            ) from error
        hide_from_git(app / FOLDER)
        yield ours


async def _already_running(ports: Ports, clock: Clock, say: Say) -> Azurite | None:
    answers = await probe(ports, clock)
    there = [service for service in SERVICES if answers[service] is Answer.STORAGE]
    if not there:
        return None
    for service in SERVICES:
        if service not in there:
            say(
                f"Azurite answers at port {ports[there[0]]} ({there[0]}), but not at "
                f"{ports[service]} ({service}): functions that need {service} storage will fail. "
                "Start it with all three services (the command `azurite`), or stop it and azemu starts its own."
            )
    return Azurite(ports=ports, started_here=False, origin="already running")


@asynccontextmanager
async def _own(app: Path, usual_ports: Ports, clock: Clock, say: Say) -> AsyncIterator[Azurite]:
    """An Azurite of ours, with the app's data; at the usual ports if nobody else is there."""
    program = await find_program(app, clock=clock, say=say)
    answers = await probe(usual_ports, clock)
    if all(answer is Answer.STORAGE for answer in answers.values()):
        # Another app's azemu was faster while we looked for a program.
        yield Azurite(ports=usual_ports, started_here=False, origin="already running")
        return
    taken = [str(usual_ports[service]) for service in SERVICES if answers[service] is not Answer.NOBODY]
    launch = Launch(program=program, ports=_ANY_PORTS if taken else usual_ports, folder=app / FOLDER)
    async with _started(launch, clock, say) as azurite:
        if taken:
            say(f"Port {', '.join(taken)} is taken by something that is not Azurite. Using {azurite.description}.")
        with _announced(app / FOLDER / "azemu.json", azurite.ports):
            yield azurite


@asynccontextmanager
async def _started(launch: Launch, clock: Clock, say: Say) -> AsyncIterator[Azurite]:
    listening: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    again = asyncio.Event()
    async with background(keep_running(launch, listening, clock=clock, say=say, again=again), name="Azurite"):
        ports = await listening
        yield Azurite(ports=ports, started_here=True, origin=launch.program.origin, again=again)


@contextlib.contextmanager
def _announced(file: Path, ports: Ports) -> Iterator[None]:
    """Tell a second azemu in the same folder, which must not open the same files with a server of its own."""
    file.write_text(json.dumps(dict(ports)), encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


@asynccontextmanager
async def _neighbours(app: Path, clock: Clock) -> AsyncIterator[Azurite]:
    """The Azurite that another azemu runs, or is about to run, for the same folder."""
    file = app / FOLDER / "azemu.json"
    for _ in range(_NEIGHBOUR_PATIENCE):
        with contextlib.suppress(OSError, ValueError, KeyError):
            ports = {service: int(json.loads(file.read_text(encoding="utf-8"))[service]) for service in SERVICES}
            if all(answer is Answer.STORAGE for answer in (await probe(ports, clock)).values()):
                yield Azurite(ports=ports, started_here=False, origin="started by another azemu")
                return
        await clock.sleep(_LOOK_SECONDS)
    raise StorageUnavailable(
        f"Another azemu holds {file.parent} and has not brought its Azurite up. Stop it, or start this one again."
    )
