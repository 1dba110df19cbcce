"""Letting a request in: Shared Key, Shared Key Lite or a SAS token.

Facts: "Authorize with Shared Key" of the Azure Storage REST reference. Tables take the Lite form of Shared Key, whose
string to sign is the date and the resource; blobs and queues the full one.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from typing import Protocol

# The headers of a request that a Shared Key signs by position, as far as we send them.
_SIGNED = ("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date")
_CONDITIONS = ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")

Query = Iterable[tuple[str, str]]
"""Decoded names and values."""


class Signature(Protocol):
    """Adds to a request what lets it in."""

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        """Complete `headers`; gives what is to be appended to the query string. `path`: as sent, escaped."""


class SharedKeySignature:
    """For blobs and queues."""

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = base64.b64decode(key)

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        lower = {name.lower(): value for name, value in headers.items()}
        if lower.get("content-length") == "0":
            lower["content-length"] = ""
        text = "\n".join(
            (
                method,
                *(lower.get(name, "") for name in _SIGNED),
                *(lower.get(name, "") for name in _CONDITIONS),
                *(f"{name}:{lower[name]}" for name in sorted(lower) if name.startswith("x-ms-")),
                f"/{self._account}{path}",
                *(f"{name}:{value}" for name, value in sorted((name.lower(), value) for name, value in query)),
            )
        )
        headers["Authorization"] = f"SharedKey {self._account}:{_hash(self._key, text)}"
        return ""


class SharedKeyLiteSignature:
    """For tables."""

    def __init__(self, account: str, key: str) -> None:
        self._account = account
        self._key = base64.b64decode(key)

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        text = f"{headers['x-ms-date']}\n/{self._account}{path}"
        headers["Authorization"] = f"SharedKeyLite {self._account}:{_hash(self._key, text)}"
        return ""


class SasSignature:
    """The token is part of the query string and signs nothing of the request."""

    def __init__(self, token: str) -> None:
        self._token = token

    def sign(self, method: str, path: str, query: Query, headers: dict[str, str]) -> str:
        return self._token


def _hash(key: bytes, text: str) -> str:
    return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode("ascii")
