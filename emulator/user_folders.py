"""Folders of the user that runs azemu: what azemu keeps for all apps, outside their folders."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for downloads of this user: AZEMU_CACHE, or the system's folder for caches."""
    if chosen := os.environ.get("AZEMU_CACHE"):
        return Path(chosen).absolute()
    home = _home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "azemu" / "cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "azemu"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "azemu"


def data_folder() -> Path:
    """Return the folder for data that must not be lost: AZEMU_DATA, or the system's folder for data of programs."""
    if chosen := os.environ.get("AZEMU_DATA"):
        return Path(chosen).absolute()
    home = _home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "azemu" / "data"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "azemu"
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "azemu"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        # A container may run with a user id that the system does not know, and without HOME.
        return Path(tempfile.gettempdir()) / "azemu-home"
