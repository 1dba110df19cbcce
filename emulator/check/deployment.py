"""Rules about the files that a deployment contains: secrets, what .funcignore leaves out, and what it should."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from emulator.check.findings import Finding
from emulator.check.ignored import IgnoreFile
from emulator.check.sources import AppSources
from emulator.config import settings
from emulator.config.connections import DEVELOPMENT_KEY

FUNCIGNORE: Final = ".funcignore"
# Core Tools never deploys these.
_NEVER_DEPLOYED: Final = frozenset((".git", ".vscode", ".azemu", ".azurite", "__pycache__", settings.FILE_NAME))
# Not read: what is installed, or what tools keep.
_NOT_READ: Final = frozenset((".venv", "venv", "env", ".python_packages", "node_modules", "site-packages"))
_TEXT_FILES: Final = (".py", ".json", ".env", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".pem", ".key")
_MAX_BYTES: Final = 1_000_000
_MAX_FILES: Final = 3000

# What each secret is, and how it looks. Only forms that nothing else has.
_SECRETS: Final = (
    ("the key of a storage account", re.compile(r"AccountKey=[A-Za-z0-9+/]{86}==")),
    (
        "the key of a Service Bus or Event Hubs namespace",
        re.compile(r"SharedAccessKey=(?!RootManageSharedAccessKey)[A-Za-z0-9+/]{43}="),
    ),
    ("the key of a Cosmos DB account", re.compile(r"documents\.azure\.com[^\"'\n]*AccountKey=[A-Za-z0-9+/=]{40,}")),
    ("a shared access signature", re.compile(r"[?&]sv=\d{4}-\d\d-\d\d&[^\s\"']*\bsig=[A-Za-z0-9%+/]{30,}")),
    ("a private key", re.compile(r"-----BEGIN (?:RSA |EC |OPENSSH |ENCRYPTED )?PRIVATE KEY-----")),
    ("a token of GitHub", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{50,}\b")),
    ("an access key of AWS", re.compile(r"\bAKIA[A-Z0-9]{16}\b")),
    (
        "a client secret of Microsoft Entra ID",
        re.compile(r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{34}(?![A-Za-z0-9_~.-])"),
    ),
    ("an API key of OpenAI", re.compile(r"\bsk-(?:proj-)?[A-Za-z0-9_-]{40,}\b")),
)
_FOLDERS: Final = (".venv", "venv", "tests", "test", "node_modules")


def deployment_findings(sources: AppSources) -> Iterator[Finding]:
    """Yield findings about the files below the app's folder."""
    root = sources.root
    ignored = IgnoreFile.read(root / FUNCIGNORE)
    for path in _deployed_files(root, ignored):
        yield from _secrets(path, path.relative_to(root).as_posix(), "AZ701")
    yield from _local_settings(root, ignored)
    if ignored is not None:
        for source in sources.files:
            if ignored.excludes(source.file):
                text = f"The app imports {source.file}, but {FUNCIGNORE} excludes it, so the app fails on Azure."
                yield Finding("AZ703", FUNCIGNORE, 1, 0, text)
    own = {source.file.partition("/")[0] for source in sources.files}
    for folder in _FOLDERS:
        if (root / folder).is_dir() and folder not in own and not (ignored and ignored.excludes_folder(folder)):
            text = f"The folder {folder} is deployed, although the app does not import it. Add it to {FUNCIGNORE}."
            yield Finding("AZ704", FUNCIGNORE, 1, 0, text)


def _deployed_files(root: Path, ignored: IgnoreFile | None) -> Iterator[Path]:
    waiting, count = [root], 0
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name in _NEVER_DEPLOYED or entry.name in _NOT_READ or entry.is_symlink():
                continue
            file = entry.relative_to(root).as_posix()
            if entry.is_dir():
                if not (ignored and ignored.excludes_folder(file)) and not (entry / "pyvenv.cfg").is_file():
                    waiting.append(entry)
            elif (entry.suffix in _TEXT_FILES or entry.name.startswith(".env")) and not (
                ignored and ignored.excludes(file)
            ):
                count += 1
                if count > _MAX_FILES:
                    return
                yield entry


def _secrets(path: Path, file: str, code: str) -> Iterator[Finding]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return
        lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        for what, pattern in _SECRETS:
            match = pattern.search(line)
            # The key of Azurite's account is public.
            if match is not None and DEVELOPMENT_KEY not in line:
                text = f"This line contains {what}, and the file is deployed. Move it into the settings of the app."
                if code == "AZ702":
                    text = f"This line contains {what}. Add {settings.FILE_NAME} to .gitignore and {FUNCIGNORE}."
                yield Finding(code, file, number, match.start() + 1, text)
                break


def _local_settings(root: Path, ignored: IgnoreFile | None) -> Iterator[Finding]:
    path = root / settings.FILE_NAME
    if not path.is_file() or (ignored and ignored.excludes(settings.FILE_NAME)) or _git_ignores(path):
        return
    yield from _secrets(path, settings.FILE_NAME, "AZ702")


def _git_ignores(path: Path) -> bool:
    """Whether a .gitignore from the file's folder up to the repository's excludes a file."""
    for folder in path.parents:
        patterns = IgnoreFile.read(folder / ".gitignore")
        if patterns is not None and patterns.excludes(path.relative_to(folder).as_posix()):
            return True
        if (folder / ".git").exists():
            return False
    return False
