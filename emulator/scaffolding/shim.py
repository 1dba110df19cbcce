"""The command `func` in a virtual environment, a copy of the command `azemu`.

Editors and scripts start an app with `func start` or `func host start`. A copy is all that is needed, because azemu
accepts the spellings of `func`; `cli.command` answers `func --version` as Core Tools do. The copy is a script on Linux
and macOS and a launcher on Windows, as the package installer has made it for `azemu`.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emulator.errors import ConfigurationError

_SUFFIX: Final = ".exe" if sys.platform == "win32" else ""
# Files that the system would run as `func` in the same folder.
_NAMES: Final = ("func.exe", "func.cmd", "func.bat", "func.ps1", "func") if sys.platform == "win32" else ("func",)
# A line of the script, which a launcher for Windows contains uncompressed.
_MARK: Final = b"from azemu import main"


@dataclass(frozen=True, slots=True)
class Shim:
    """The result. `path`: of the command `func`. `first_on_path`: what the shell runs as `func`; None: nothing."""

    path: Path
    first_on_path: Path | None


def install_shim(scripts: Path | None = None) -> Shim:
    """Write the command `func` beside the command `azemu`. Raises ConfigurationError.

    `scripts`: the folder; None: that of the virtual environment in which azemu runs.
    """
    folder = scripts or _scripts_folder()
    original, path = folder / f"azemu{_SUFFIX}", folder / f"func{_SUFFIX}"
    for name in _NAMES:
        present = folder / name
        if present.is_symlink() or (present.exists() and not is_shim(present)):
            raise ConfigurationError(
                f"'{present}' is another command, which azemu does not replace. Nothing was written."
            )
    if not original.is_file() or not is_shim(original):
        raise ConfigurationError(
            f"The environment has no command '{original}' to copy. Install azemu into it: python -m pip install azemu"
        )
    try:
        shutil.copy(original, path)
    except OSError as error:
        raise ConfigurationError(f"'{path}' cannot be written: {error.strerror}.") from None
    # Another func may come first on the path, so that the new one has no effect.
    found = shutil.which("func")
    return Shim(path, Path(found) if found else None)


def remove_shim(scripts: Path | None = None) -> Path | None:
    """Remove the command that `install_shim` has written. Return it, or None if there was none.

    Raises ConfigurationError for another command.
    """
    path = (scripts or _scripts_folder()) / f"func{_SUFFIX}"
    if not path.exists():
        return None
    if path.is_symlink() or not is_shim(path):
        raise ConfigurationError(f"'{path}' was not written by azemu, so it is left alone.")
    try:
        path.unlink()
    except OSError as error:
        raise ConfigurationError(f"'{path}' cannot be removed: {error.strerror}. Stop what runs it.") from None
    return path


def _scripts_folder() -> Path:
    # Python takes an environment of conda for an installation: both prefixes are the same.
    is_conda = (Path(sys.prefix) / "conda-meta").is_dir()
    if sys.prefix == sys.base_prefix and not is_conda:
        raise ConfigurationError(
            "azemu does not run in a virtual environment, and `func` is not installed for the whole system. Create an "
            "environment (python -m venv .venv), install azemu into it, and repeat the command there."
        )
    return Path(sysconfig.get_path("scripts"))


def is_shim(path: Path) -> bool:
    """Return whether a file is the command that azemu installs."""
    try:
        return _MARK in path.read_bytes()
    except OSError:
        return False
