"""Rules about the files that a deployment contains: secrets, what .funcignore leaves out, and what it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from emulator.check.findings import Finding, unreadable_file
from emulator.check.ignored import IgnoreFile
from emulator.check.secret_patterns import secrets_in
from emulator.check.sources import AppSources
from emulator.config import settings

FUNCIGNORE: Final = ".funcignore"
# Core Tools never deploys these.
_NEVER_DEPLOYED: Final = frozenset((".git", ".vscode", ".azemu", ".azurite", "__pycache__", settings.FILE_NAME))
# Not read: what is installed, or what tools keep.
_NOT_READ: Final = frozenset((".venv", "venv", "env", ".python_packages", "node_modules", "site-packages"))
_TEXT_FILES: Final = (".py", ".json", ".env", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".pem", ".key")
_MAX_FILES: Final = 3000

# Folders that apps usually do not need on Azure.
_UNNEEDED: Final = (".venv", "venv", "tests", "test", "node_modules")


def deployment_findings(sources: AppSources) -> Iterator[Finding]:
    """Yield findings about the files below the app's folder."""
    root = sources.root
    ignored = IgnoreFile(())
    try:
        ignored = IgnoreFile.read(root / FUNCIGNORE) or ignored
    except OSError as error:
        yield unreadable_file(FUNCIGNORE, error)
    for path in deployed_files(root, ignored):
        for line, column, what in secrets_in(path):
            text = f"This line contains {what}, and the file is deployed. Move it into the settings of the app."
            yield Finding("AZ701", path.relative_to(root).as_posix(), line, column, text)
    path = root / settings.FILE_NAME
    # Core Tools does not deploy the file, but other ways do, and Git publishes it.
    if not ignored.excludes(settings.FILE_NAME) and not is_ignored_by_git(path):
        for line, column, what in secrets_in(path):
            text = f"This line contains {what}. Add {settings.FILE_NAME} to .gitignore and {FUNCIGNORE}."
            yield Finding("AZ702", settings.FILE_NAME, line, column, text)
    for source in sources.files:
        if ignored.excludes(source.file):
            text = f"The app imports {source.file}, but {FUNCIGNORE} excludes it, so the app fails on Azure."
            yield Finding("AZ703", FUNCIGNORE, 1, 0, text)
    imported = {source.file.partition("/")[0] for source in sources.files}
    for folder in _UNNEEDED:
        if (root / folder).is_dir() and folder not in imported and not ignored.excludes(f"{folder}/file"):
            text = f"The folder {folder} is deployed, although the app does not import it. Add it to {FUNCIGNORE}."
            yield Finding("AZ704", FUNCIGNORE, 1, 0, text)


def deployed_files(root: Path, ignored: IgnoreFile) -> Iterator[Path]:
    """Yield the text files that a deployment of the folder contains, without installed packages."""
    waiting, count = [root], 0
    while waiting:
        # A folder that cannot be read is left out of the deployment, too.
        with suppress(OSError):
            for entry in sorted(waiting.pop().iterdir()):
                file = entry.relative_to(root).as_posix()
                if entry.name in (*_NEVER_DEPLOYED, *_NOT_READ) or entry.is_symlink() or ignored.excludes(file):
                    continue
                if entry.is_dir():
                    # Virtual environments may have any name.
                    waiting += [] if (entry / "pyvenv.cfg").is_file() else [entry]
                # Only regular files: reading a named pipe would wait for ever.
                elif entry.is_file() and (entry.suffix in _TEXT_FILES or entry.name.startswith(".env")):
                    count += 1
                    yield entry
        if count > _MAX_FILES:
            return


def is_ignored_by_git(path: Path) -> bool:
    """Whether a .gitignore from the file's folder up to that of the repository excludes a file."""
    for folder in path.parents:
        patterns = None
        # Git ignores such a file, too.
        with suppress(OSError):
            patterns = IgnoreFile.read(folder / ".gitignore")
        if patterns is not None and patterns.excludes(path.relative_to(folder).as_posix()):
            return True
        if (folder / ".git").exists():
            break
    return False
