"""Page size and continuation token of a listing. Source: docs/protocol/durable-client-http.md 2.7."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from emulator.dotnet.query_values import parse_int
from emulator.extensions.durable.management.api_request import ApiRequest
from emulator.storage.port import InvalidRequest

CONTINUATION_HEADER = "x-ms-continuation-token"
LARGEST_PAGE = 1000

_DEFAULT_PAGE = 100
_BEGINNING = "\0"
"""Stands for the beginning in the token of a page without rows. No storage has such a token."""


@dataclass(frozen=True, slots=True)
class Paging:
    """`limit` 0: nothing is wanted but a token that leads to where this page begins."""

    limit: int
    continuation: str | None

    @property
    def unmoved(self) -> str:
        return self.continuation or _BEGINNING


def read_paging(request: ApiRequest) -> Paging:
    """Raises InvalidRequest for a negative size or a strange token, as storage does."""
    top = parse_int(request.query.get("top"))
    limit = _DEFAULT_PAGE if top is None else top
    if limit < 0:
        raise InvalidRequest(f"A page cannot have {limit} rows.", status=400, code="InvalidInput")
    token = request.headers.get(CONTINUATION_HEADER)
    continuation = _decoded(token) if token else None
    return Paging(min(limit, LARGEST_PAGE), None if continuation == _BEGINNING else continuation)


def page_headers(continuation: str | None) -> dict[str, str]:
    """The header is there on the last page too, empty. A storage's token may hold what a header cannot."""
    encoded = "" if continuation is None else base64.b64encode(continuation.encode()).decode()
    return {CONTINUATION_HEADER: encoded}


def _decoded(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:  # not base64, or not UTF-8 in it
        message = f'"{token}" in the header {CONTINUATION_HEADER} is no token of this host.'
        raise InvalidRequest(message, status=400, code="InvalidInput") from None
