"""The .gitignore file in the folders that azemu creates in an app's folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_CREATED_BY_AZEMU = (".azemu", ".azurite")


def hide_from_git(folder: Path) -> None:
    """Write a .gitignore into the folder that excludes all of it, if azemu created it (judged by its name).

    App authors do not expect these folders, and would commit storage data and keys by accident.
    """
    if folder.name in _CREATED_BY_AZEMU:
        # "x": a file that the user has changed stays. A folder that cannot be written is reported by what needs it.
        with suppress(OSError), (folder / ".gitignore").open("x", encoding="utf-8") as file:
            file.write("*\n")
