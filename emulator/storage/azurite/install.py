"""A copy of Azurite in the user's cache folder, fetched once through npm."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from emulator.background import background
from emulator.clock import Clock
from emulator.errors import StorageUnavailable
from emulator.ids import new_id
from emulator.storage.azurite.program import Node, Program, from_package
from emulator.subprocesses import detached_from_terminal, kill_process_tree

VERSION = "3.35.0"
_UNFINISHED = f"azurite-{VERSION}.unfinished-"
_ABANDONED_AFTER = timedelta(hours=1)
_PROGRESS_SECONDS = 5.0
_RENAMES = 20
_RENAME_PAUSE_SECONDS = 0.5

Say = Callable[[str], None]


def installed_copy(cache: Path, node: Node) -> Program | None:
    """The copy of an earlier installation. Its folder has its final name only when it is complete."""
    package = _package(_folder(cache))
    return from_package(package, node) if (package / "package.json").is_file() else None


async def install(cache: Path, node: Node, *, clock: Clock, say: Say) -> Program:
    """Fetch the copy. Raises StorageUnavailable with npm's own words.

    It is built under a name of its own and renamed when complete: a killed installation leaves nothing that looks
    usable, and of two at once one wins.
    """
    unfinished = cache / f"{_UNFINISHED}{new_id()}"
    say(f"Azurite is not installed. Fetching version {VERSION} into {cache} (once, about 150 MB) …")
    try:
        unfinished.mkdir(parents=True)
        _sweep(cache, unfinished, clock.now())
        (unfinished / "package.json").write_text(json.dumps({"private": True}), encoding="utf-8")
        async with background(_report_progress(clock, say)):
            await _run_npm(unfinished, node)
        await _publish(unfinished, _folder(cache), clock)
    except OSError as error:
        raise StorageUnavailable(f"Azurite could not be installed into {cache}: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    copy = installed_copy(cache, node)
    if copy is None:
        raise StorageUnavailable(f"Azurite could not be installed: npm put no package into {_folder(cache)}.")
    say("Azurite is installed.")
    return copy


async def _publish(unfinished: Path, folder: Path, clock: Clock) -> None:
    """Give the complete copy its name. Raises OSError."""
    for _ in range(_RENAMES):
        with suppress(OSError):
            return _rename(unfinished, folder)
        # Virus scanners on Windows look into new files, and nobody can rename a folder meanwhile.
        await clock.sleep(_RENAME_PAUSE_SECONDS)
    return _rename(unfinished, folder)


def _rename(unfinished: Path, folder: Path) -> None:
    if not folder.is_dir():  # Somebody else's copy is as good as this one.
        unfinished.rename(folder)


def _folder(cache: Path) -> Path:
    return cache / f"azurite-{VERSION}"


def _package(folder: Path) -> Path:
    return folder / "node_modules" / "azurite"


async def _run_npm(folder: Path, node: Node) -> None:
    assert node.npm is not None
    # Azurite has no install scripts; without them nothing but its own code can ever run here.
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", "--loglevel=error", "--no-update-notifier")
    # npm's own patience is over a minute, which is long for somebody who is offline and will get no Azurite anyhow.
    patience = ("--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
    # npm finds `node` on the PATH for itself.
    path = os.pathsep.join((str(Path(node.run).parent), os.environ.get("PATH", "")))
    npm = await asyncio.create_subprocess_exec(
        *node.npm,
        "install",
        f"azurite@{VERSION}",
        *options,
        *patience,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        **detached_from_terminal(),
    )
    try:
        output, _ = await npm.communicate()
    finally:
        await kill_process_tree(npm)
    if npm.returncode != 0:
        raise StorageUnavailable(f"npm could not install azurite@{VERSION}: {_reason(output) or 'no reason given'}.")


def _reason(output: bytes) -> str:
    lines = (line.removeprefix("npm error").strip() for line in output.decode(errors="replace").splitlines())
    return "; ".join([line for line in lines if line and "complete log" not in line][:6])


async def _report_progress(clock: Clock, say: Say) -> None:
    seconds = 0.0
    while True:
        await clock.sleep(_PROGRESS_SECONDS)
        seconds += _PROGRESS_SECONDS
        say(f"Fetching Azurite … {seconds:.0f} s")


def _sweep(cache: Path, own: Path, now: datetime) -> None:
    """Remove what killed installations left."""
    for left in cache.glob(f"{_UNFINISHED}*"):
        with suppress(OSError):
            modified = datetime.fromtimestamp(left.stat().st_mtime, UTC)
            if left != own and now - modified > _ABANDONED_AFTER:
                shutil.rmtree(left, ignore_errors=True)
