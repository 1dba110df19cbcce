"""Search for a way to run Azurite: installed for the app or on the PATH, in the user's cache, with npm, in Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from emulator.clock import Clock
from emulator.errors import StorageUnavailable
from emulator.storage.azurite.install import install, installed_copy
from emulator.storage.azurite.program import (
    Node,
    PrintLine,
    Program,
    find_docker,
    find_installed,
    find_nodes,
    node_version,
)
from emulator.storage.azurite.release import FIRST_NODE_VERSION, VERSION
from emulator.user_folders import cache_folder

HOW_TO_GET_AZURITE: Final = (
    f"Node.js {FIRST_NODE_VERSION} or later (https://nodejs.org; azemu then downloads Azurite itself), Node.js as a "
    "Python package (pip install azemu[node]), or Docker"
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


async def find_program(app: Path, *, clock: Clock, print_line: PrintLine) -> Program:
    """Find a way to run Azurite, and install it if necessary. Raises NoAzurite."""
    nodes = find_nodes()
    program = find_installed(app, nodes[0] if nodes else None)
    if program is not None:
        return program
    node, reason = await _usable_node(nodes, clock)
    cache = cache_folder()
    if node is not None:
        program = installed_copy(cache, node)
        if program is not None:
            return program
        if node.npm is not None:
            try:
                return await install(cache, node, clock=clock, print_line=print_line)
            except StorageUnavailable as error:
                reason = str(error)
    program = await find_docker(clock)
    if program is not None:
        return program
    raise NoAzurite(reason)


async def _usable_node(nodes: list[Node], clock: Clock) -> tuple[Node | None, str]:
    """Return the first Node.js that can run the Azurite that azemu installs, or None, and what is missing."""
    too_old = []
    for node in nodes:
        version = await node_version(node, clock)
        if version.split(".")[0].isdecimal() and int(version.split(".")[0]) < FIRST_NODE_VERSION:
            too_old.append(f"{version} ({node.run})")
        else:
            # One that does not tell its version may work. If not, its error is shown.
            return node, f"The installed Node.js ({node.run}) has no npm, which installs Azurite."
    if not too_old:
        return None, "Node.js, which runs Azurite, is not installed."
    return None, (
        f"The installed Node.js {', '.join(too_old)} is too old: Azurite {VERSION} needs version {FIRST_NODE_VERSION} "
        "or later."
    )
