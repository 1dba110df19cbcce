"""Keys and tokens in text files, by forms that nothing else has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from emulator.config.connections import DEVELOPMENT_KEY
from emulator.regular_files import read_regular_text

_MAX_BYTES: Final = 1_000_000
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
    ("an API key of OpenAI", re.compile(r"\bsk-(?:[A-Za-z0-9]{48}|proj-[A-Za-z0-9_-]{40,})\b")),
)


def secrets_in(path: Path) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and kind of the keys and tokens in a file, at most one for each line."""
    try:
        # Larger files are data.
        text = read_regular_text(path, errors="replace") if path.stat().st_size <= _MAX_BYTES else ""
    except OSError:
        return
    for number, line in enumerate(text.split("\n"), 1):
        # The key of Azurite's account is public.
        matches = [(what, pattern.search(line)) for what, pattern in _SECRETS if DEVELOPMENT_KEY not in line]
        found = next(((match.start() + 1, what) for what, match in matches if match is not None), None)
        if found is not None:
            yield number, *found
