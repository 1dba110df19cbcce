"""Folders of the user that runs azemu: what azemu keeps for all apps, outside their folders."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder for downloads of this user: AZEMU_CACHE, or the system's folder for caches."""
    return _folder("AZEMU_CACHE", windows="cache", macos="Caches", linux=("XDG_CACHE_HOME", ".cache"))


def data_folder() -> Path:
    """Return the folder for data that must not be lost: AZEMU_DATA, or the system's folder for data of programs."""
    return _folder("AZEMU_DATA", windows="data", macos="Application Support", linux=("XDG_DATA_HOME", ".local/share"))


def _folder(variable: str, *, windows: str, macos: str, linux: tuple[str, str]) -> Path:
    """Return the folder of the variable, or else that of the operating system.

    `linux`: variable of the XDG Base Directory Specification, and its default below the home folder.
    """
    if chosen := os.environ.get(variable):
        return Path(chosen).absolute()
    home = _home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "azemu" / windows
    if sys.platform == "darwin":
        return home / "Library" / macos / "azemu"
    xdg_variable, default = linux
    return Path(os.environ.get(xdg_variable) or home / default) / "azemu"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        # A container may run with a user id that the system does not know, and without HOME.
        return Path(tempfile.gettempdir()) / "azemu-home"
