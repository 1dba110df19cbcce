"""The folders that azemu makes in an app's folder. Its author has never heard of them, and git should not see them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_NAMES = (".azemu", ".azurite")


def hide_from_git(folder: Path) -> None:
    """Let the folder ignore itself if it is one of ours; others are left alone."""
    if folder.name in _NAMES:
        with suppress(OSError), (folder / ".gitignore").open("x", encoding="utf-8") as file:
            file.write("*\n")
