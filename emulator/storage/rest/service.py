"""Requests to one service of a storage account: signatures, retries, and the errors of `storage.port`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.storage.availability import ServiceAvailability
from emulator.storage.error_mapping import no_response, service_error
from emulator.storage.port import InvalidRequest
from emulator.storage.rest.http_dates import http_date
from emulator.storage.rest.signatures import Signature
from emulator.storage.rest.transport import NotConnected, Response, ResponseLost, Transport

# With this version a block blob of any size may be written in one request. All recent Azurites accept it; they
# refuse a version that is newer than they are.
VERSION = "2021-12-02"

# Waits before the second, third and fourth attempt, for a server that restarts, throttles or is just closing an idle
# connection. If nothing listens at the start, only the first one: users should be told at once. A server that has
# answered before is probably being restarted, which takes an Azurite two to five seconds.
_BACKOFF_SECONDS: tuple[float, ...] = (0.2, 0.6, 1.4)
_BACKOFF_SECONDS_UNCONNECTED = _BACKOFF_SECONDS[:1]
_BACKOFF_SECONDS_RESTARTING = (*_BACKOFF_SECONDS, 2.0, 2.0, 2.0)
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

Query = tuple[tuple[str, str], ...]
"""Decoded names and values of a query string."""


def escaped(text: str) -> str:
    """Escape a path segment or a value of a query string: all but the unreserved characters of RFC 3986.

    Raises InvalidRequest for a text that has no UTF-8.
    """
    try:
        return quote(text, safe="-_.~")
    except UnicodeEncodeError:
        raise InvalidRequest(
            f"{text!a} has half of a surrogate pair, which a URL may not have.", status=400, code="InvalidUri"
        ) from None


class StorageService:
    """The blob, queue or table service of an account."""

    def __init__(
        self,
        transport: Transport,
        endpoint: str,
        signature: Signature,
        clock: Clock,
        availability: ServiceAvailability,
    ) -> None:
        self.endpoint = endpoint
        self._base_path = urlsplit(endpoint).path
        self._transport = transport
        self._signature = signature
        self._clock = clock
        self._availability = availability

    async def request(
        self,
        action: str,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        accept: frozenset[int] = frozenset(),
    ) -> Response:
        """Send a request and return its response: a success, or one whose status is in `accept`.

        `action` completes "Storage refused to …". `path`: below the endpoint, escaped. A request without a response is
        sent again, so the service may execute it twice. Raises StorageError, StorageUnreachable.
        """
        attempt = 0
        while True:
            # Each attempt is signed with its own date: the service refuses a date that is 15 minutes old.
            target, all_headers = self._sign(method, self._base_path + path, query, headers, body)
            responses = self._availability.responses
            try:
                # Virtual time must not jump while a server works in real time.
                with self._clock.busy():
                    response = await self._transport.send(method, target, all_headers, body)
            except (NotConnected, ResponseLost) as error:
                self._availability.unanswered(since=responses)
                waits = _BACKOFF_SECONDS
                if isinstance(error, NotConnected):
                    waits = _BACKOFF_SECONDS_RESTARTING if responses else _BACKOFF_SECONDS_UNCONNECTED
                if attempt >= len(waits):
                    raise self._availability.error(no_response(action, self.endpoint, str(error))) from error
            else:
                self._availability.answered()
                if response.status < 300 or response.status in accept:
                    return response
                waits = _BACKOFF_SECONDS
                # Any other request would be refused again.
                if response.status not in _TRANSIENT or attempt >= len(waits):
                    code, detail = _error_details(response)
                    raise service_error(action, status=response.status, code=code, detail=detail)
            await self._clock.sleep(waits[attempt], upkeep=True)
            attempt += 1

    def _sign(
        self, method: str, path: str, query: Query, headers: Mapping[str, str] | None, body: bytes
    ) -> tuple[str, dict[str, str]]:
        """Return the target (path and query) and all headers of a request."""
        all_headers = {"x-ms-date": http_date(self._clock.now()), "x-ms-version": VERSION, **(headers or {})}
        # Azure requires a length for these methods, even of an empty body.
        if body or method in ("PUT", "POST"):
            all_headers["Content-Length"] = str(len(body))
        pairs = [f"{name}={escaped(value)}" for name, value in query]
        token = self._signature.sign(method, path, query, all_headers)
        if token:
            pairs.append(token)
        return f"{path}?{'&'.join(pairs)}" if pairs else path, all_headers


def read_error(body: bytes) -> tuple[str, str]:
    """Return error code and first line of the message of an error response; "" for a part that is missing.

    Tables use JSON, queues and blobs XML. Proxies and half-started servers send anything else.
    """
    code = message = ""
    try:
        if body[:1] == b"{":
            error = json.loads(body)["odata.error"]
            code, message = str(error["code"]), str(error["message"]["value"])
        elif b"<" in body[:4]:  # behind a byte order mark, if there is one
            root = ElementTree.fromstring(body)
            code, message = root.findtext("Code") or "", root.findtext("Message") or ""
    except (ElementTree.ParseError, ValueError, KeyError, TypeError):
        pass
    # The other lines are request id and time.
    return code, message.split("\n", 1)[0].strip()


def _error_details(response: Response) -> tuple[str, str]:
    code, message = read_error(response.body)
    # The response to a HEAD has no body, so only the header names the code.
    code = response.headers.get("x-ms-error-code") or code
    if not code:
        try:
            code = HTTPStatus(response.status).phrase.replace(" ", "")
        except ValueError:
            code = "Refused"
    return code, message or "no further explanation"
