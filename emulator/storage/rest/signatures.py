"""Authorization of requests: Shared Key, Shared Key Lite or a SAS token.

Source: "Authorize with Shared Key" of the Azure Storage REST reference.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from typing import Protocol

# The headers that a Shared Key signs by position, in its order, whether or not a request has them.
_SIGNED = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)

Query = Iterable[tuple[str, str]]
"""Decoded names and values."""


class Signature(Protocol):
    """Authorization of requests to one service."""

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        """Add the authorization of a request to `headers`. Return what must be appended to the query string, or "".

        `path`: as sent, escaped. `headers`: all others, x-ms-date among them.
        """


class SharedKeySignature:
    """Shared Key, for blobs and queues."""

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = base64.b64decode(key)

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        # Names are compared in lower case and sorted; the service does the same with what it receives.
        lower = {name.lower(): value for name, value in headers.items()}
        # Since version 2015-02-21 a length of zero is signed as an empty string.
        if lower.get("content-length") == "0":
            lower["content-length"] = ""
        text = "\n".join(
            (
                method,
                *(lower.get(name, "") for name in _SIGNED),
                *(f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("x-ms-")),
                # An emulator's path has the account name already; it is signed with the name twice.
                f"/{self._account}{path}",
                *(f"{name}:{value}" for name, value in sorted((name.lower(), value) for name, value in query)),
            )
        )
        headers["Authorization"] = f"SharedKey {self._account}:{_hash(self._key, text)}"
        return ""


class SharedKeyLiteSignature:
    """Shared Key Lite, for tables. It signs date and path only, which is less work than Shared Key for tables."""

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = base64.b64decode(key)

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        # Of the query, only a parameter "comp" would be signed. No request to tables has one here.
        text = f"{headers['x-ms-date']}\n/{self._account}{path}"
        headers["Authorization"] = f"SharedKeyLite {self._account}:{_hash(self._key, text)}"
        return ""


class SasSignature:
    """A SAS token. It is part of the query string and signs nothing of the request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        return self._token


def _hash(key: bytes, text: str) -> str:
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode("ascii")
