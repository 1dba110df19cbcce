"""Files that a command creates or changes. All texts are made before the first one is written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from emulator.errors import ConfigurationError
from emulator.regular_files import read_regular


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a command has done. Paths are absolute. `notes`: sentences for the user, such as what is left to do.

    `functions`: names of the new functions. `snippets`: by the file that the user has to add them to.
    """

    created: tuple[Path, ...] = ()
    changed: tuple[Path, ...] = ()
    functions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    snippets: Mapping[Path, str]


def write_all(contents: Mapping[Path, bytes]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Write files, with the folders that they need. Return which were created and which were changed.

    Each file is replaced as a whole, so that no editor or host sees half of it. Raises ConfigurationError; unless the
    error is one of the replacements themselves, no file has changed then.
    """
    # What is usually wrong, such as a full disk or a folder that is read only, shows before the first replacement.
    ready: list[tuple[Path, Path, Path]] = []
    created: list[Path] = []
    path = Path()
    try:
        for path, content in contents.items():
            is_new = not path.exists()
            # A file that stays the same must neither be reported nor restart a running host.
            if path.is_file() and path.read_bytes() == content:
                continue
            # A link stays a link.
            target = path.resolve()
            target.parent.mkdir(parents=True, exist_ok=True)
            # In the same folder, because a replacement is atomic within one file system only.
            temporary = target.with_name(f".{target.name}.azemu-new")
            ready.append((path, temporary, target))
            temporary.write_bytes(content)
            # A script that can be executed stays so.
            if not is_new:
                temporary.chmod(target.stat().st_mode)
            created += [path] if is_new else []
        for path, temporary, target in ready:  # noqa: B007 - the message of an error names it
            os.replace(temporary, target)
    except OSError as error:
        for _, temporary, _ in ready:
            with suppress(OSError):
                temporary.unlink()
        raise ConfigurationError(f"'{path}' cannot be written: {error.strerror}.") from None
    return tuple(created), tuple(path for path, _, _ in ready if path not in created)


def read_text(path: Path) -> str:
    """Return the text of a file; empty if there is none. Raises ConfigurationError."""
    try:
        # Not Path.read_text, which changes the line ends.
        return read_regular(path).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"'{path}' cannot be read: {error}. Save it as UTF-8.") from None


def with_lines(text: str, lines: list[str]) -> str:
    """Append the lines that a text such as that of .gitignore lacks."""
    present = {line.strip() for line in text.splitlines()}
    missing = [line for line in lines if line not in present]
    if not missing:
        return text
    end = "\r\n" if "\r\n" in text else "\n"
    before = f"{text.rstrip()}{end}" if text.strip() else ""
    return before + "".join(f"{line}{end}" for line in missing)


def with_requirements(text: str, requirements: list[str]) -> str:
    """Append the requirements whose package a requirements.txt does not name, in any version or spelling."""
    missing = []
    for requirement in requirements:
        # pip takes dashes, underscores and dots in names of packages for the same (PEP 503).
        name = re.split(r"[^A-Za-z0-9-]", requirement, maxsplit=1)[0].replace("-", "[-_.]")
        if not re.search(rf"^\s*{name}(?![\w.-])", text, re.MULTILINE | re.IGNORECASE):
            missing.append(requirement)
    return with_lines(text, missing)
