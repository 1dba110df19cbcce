"""Query parameters of list requests: page size, continuation token and the filter `runtimeStatus`.

Source: durable-extension, HttpApiHandler.cs; Enum.TryParse of .NET; docs/protocol/durable-client-http.md 2.7 and 2.8.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from emulator.dotnet.query_values import parse_int
from emulator.durable.core.identity import RuntimeStatus
from emulator.extensions.durable.management.api_request import ApiRequest, InvalidArgument
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.storage.port import InvalidRequest

CONTINUATION_HEADER = "x-ms-continuation-token"
LARGEST_PAGE = 1000

_DEFAULT_PAGE = 100
# The first page of a list, in the token of a response to `top=0`. No storage has such a token.
_FIRST_PAGE = "\0"


@dataclass(frozen=True, slots=True)
class Paging:
    """Requested page. `limit`: number of rows; 0 requests no rows, only a token. `continuation`: None: first page."""

    limit: int
    continuation: str | None

    @property
    def same_page(self) -> str:
        """The continuation of a response that has read no rows: it leads to the requested page again."""
        return self.continuation or _FIRST_PAGE


@contextmanager
def checked_pages(profile: HttpProfile) -> Iterator[None]:
    """Report a page that storage or `read_paging` refuses as InvalidArgument, if the profile says so."""
    try:
        yield
    except InvalidRequest as error:
        if not profile.checks_pages:
            raise
        raise InvalidArgument(f"The page cannot be read. {error}") from None


def read_paging(request: ApiRequest) -> Paging:
    """Return the requested page. Raises InvalidRequest for a negative size or an invalid token, as storage does."""
    top = parse_int(request.query.get("top"))
    limit = _DEFAULT_PAGE if top is None else top
    if limit < 0:
        raise InvalidRequest(
            f"The query parameter top is {limit}; it must not be negative.", status=400, code="InvalidInput"
        )
    token = request.headers.get(CONTINUATION_HEADER)
    if not token:
        return Paging(min(limit, LARGEST_PAGE), None)
    try:
        continuation = base64.b64decode(token, validate=True).decode()
    except ValueError:  # Not base64, or its content is not UTF-8.
        message = f'"{token}" in the header {CONTINUATION_HEADER} is not a token of this host.'
        raise InvalidRequest(message, status=400, code="InvalidInput") from None
    return Paging(min(limit, LARGEST_PAGE), None if continuation == _FIRST_PAGE else continuation)


def page_headers(continuation: str | None) -> dict[str, str]:
    """Return the response header with the token of the next page; None: this is the last page."""
    # The header is present on the last page too, with an empty value, as in the extension. Base64, because the token of
    # a storage can have characters that a header cannot.
    encoded = "" if continuation is None else base64.b64encode(continuation.encode()).decode()
    return {CONTINUATION_HEADER: encoded}


@dataclass(frozen=True, slots=True)
class StatusFilter:
    """Values of `runtimeStatus`.

    `statuses`: the valid ones. `has_unknown`: `Unknown` or -1 is among them. `has_other`: a number that no status has.
    """

    statuses: frozenset[RuntimeStatus]
    has_unknown: bool
    has_other: bool

    @property
    def matches_nothing(self) -> bool:
        """Whether the filter consists only of numbers that no status has."""
        return self.has_other and not self.statuses


def read_statuses(values: Sequence[str]) -> StatusFilter:
    """Parse values of `runtimeStatus`: names and numbers, repeated or separated by commas.

    Words that are neither are ignored; case matters.
    """
    words = [word.strip() for value in values for word in value.split(",")]
    # Enum.TryParse accepts every number, also those without a member. Hence a filter of such numbers matches nothing,
    # while a filter of unknown words only is not a filter.
    numbers = {number for word in words if (number := parse_int(word)) is not None}
    statuses = {status for word in words if (status := RuntimeStatus.from_wire_name(word)) is not None}
    statuses |= {status for status in RuntimeStatus if status in numbers}
    return StatusFilter(
        statuses=frozenset(statuses),
        has_unknown="Unknown" in words or -1 in numbers,
        has_other=any(number not in RuntimeStatus.__members__.values() for number in numbers - {-1}),
    )
