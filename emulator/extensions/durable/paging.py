"""Page size and continuation token of a listing. Source: spec/durable-client-http.md 2.7."""

from __future__ import annotations

from dataclasses import dataclass

from emulator.extensions.durable.api_request import ApiRequest
from emulator.extensions.durable.dotnet import parse_int
from emulator.storage.api import InvalidRequest

CONTINUATION_HEADER = "x-ms-continuation-token"
LARGEST_PAGE = 1000

_DEFAULT_PAGE = 100
_BEGINNING = "AA=="
"""The token of a page of no size that begins at the beginning. No storage gives it: keys have no control characters."""


@dataclass(frozen=True, slots=True)
class Paging:
    """`limit` 0: nothing is wanted but a token."""

    limit: int
    continuation: str | None

    @property
    def unmoved_token(self) -> str:
        """The token that leads to where this page begins."""
        return self.continuation or _BEGINNING


def read_paging(request: ApiRequest) -> Paging:
    """Raises InvalidRequest for a negative size, as storage does."""
    top = parse_int(request.query.get("top"))
    limit = _DEFAULT_PAGE if top is None else top
    if limit < 0:
        raise InvalidRequest(f"A page cannot have {limit} rows.", status=400, code="InvalidInput")
    token = request.headers.get(CONTINUATION_HEADER)
    return Paging(min(limit, LARGEST_PAGE), None if token in ("", _BEGINNING) else token)


def page_headers(continuation: str | None) -> dict[str, str]:
    """The header is there on the last page too, empty."""
    return {CONTINUATION_HEADER: continuation or ""}
