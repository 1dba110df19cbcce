"""Paths of an app's files as users see them."""

from __future__ import annotations

from pathlib import Path


def shown_path(path: Path, root: Path) -> str:
    """Return a path from the app's folder, with slashes on every system; the whole path if it is outside."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
