"""The .gitignore file in the folders that azemu creates in an app's folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from emulator.private_files import APP_FOLDERS, owner_only


def hide_from_git(folder: Path) -> None:
    """Write a .gitignore into the folder that excludes all of it, if azemu created it (judged by its name).

    App authors do not expect these folders, and would commit storage data and keys by accident.
    """
    if folder.name in APP_FOLDERS:
        # "x": a file that the user has changed stays. A folder that cannot be written is reported by what needs it.
        with suppress(OSError), open(folder / ".gitignore", "x", encoding="utf-8", opener=owner_only) as file:
            file.write("*\n")
