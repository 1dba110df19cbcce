"""One service of a storage account over HTTP: signed requests, retries, and errors as ours."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.storage.error_mapping import refusal, unreachable
from emulator.storage.rest.dates import http_date
from emulator.storage.rest.errors import error_in
from emulator.storage.rest.signatures import Signature
from emulator.storage.rest.transport import Answer, Interrupted, NotConnected, Transport

# Every Azurite of the last years knows this version, and with it block blobs may be written in one piece.
VERSION = "2021-12-02"

# Waits between attempts: for a server that restarts, throttles or closes an idle connection just now. A storage that
# is not there is reported after the first of them; whoever needs it for long asks again at its own pace.
_BACKOFF_SECONDS: tuple[float, ...] = (0.2, 0.6, 1.4)
_BACKOFF_SECONDS_UNCONNECTED = _BACKOFF_SECONDS[:1]
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

_SAFE = "-_.~"


def escaped(text: str) -> str:
    """For a path segment or a value in a query string."""
    return quote(text, safe=_SAFE)


class Service:
    """The blob, queue or table service of an account."""

    def __init__(self, transport: Transport, endpoint: str, signature: Signature, clock: Clock) -> None:
        self.endpoint = endpoint
        self._base_path = urlsplit(endpoint).path
        self._transport = transport
        self._signature = signature
        self._clock = clock

    async def ask(
        self,
        doing: str,
        method: str,
        path: str,
        *,
        query: tuple[tuple[str, str], ...] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        accept: frozenset[int] = frozenset(),
    ) -> Answer:
        """Send a request and give its answer, a success or one whose status is in `accept`.

        `doing` completes "Storage refused to …". `path`: below the endpoint, escaped. `query`: decoded values.
        Raises StorageError, StorageUnreachable. A request that got no answer is sent again: it may then be carried out
        twice, which callers of a storage service have to live with anyway.
        """
        full_path = self._base_path + path
        attempt = 0
        while True:
            target, complete = self._prepared(method, full_path, query, headers, body)
            failure: EmulatorError
            waits = _BACKOFF_SECONDS
            try:
                with self._clock.busy():
                    answer = await self._transport.send(method, target, complete, body)
            except NotConnected as error:
                failure = unreachable(doing, self.endpoint, str(error))
                waits = _BACKOFF_SECONDS_UNCONNECTED
            except Interrupted as error:
                failure = unreachable(doing, self.endpoint, str(error))
            else:
                if answer.status < 300 or answer.status in accept:
                    return answer
                code, detail = _said(answer)
                failure = refusal(doing, status=answer.status, code=code, detail=detail)
                if answer.status not in _TRANSIENT:
                    raise failure
            if attempt >= len(waits):
                raise failure
            await self._clock.sleep(waits[attempt], upkeep=True)
            attempt += 1

    def _prepared(
        self, method: str, path: str, query: tuple[tuple[str, str], ...], headers: Mapping[str, str] | None, body: bytes
    ) -> tuple[str, dict[str, str]]:
        """The target with its query, and all headers."""
        complete = {"x-ms-date": http_date(self._clock.now()), "x-ms-version": VERSION, **(headers or {})}
        if body or method in ("PUT", "POST"):
            complete["Content-Length"] = str(len(body))
        pairs = [f"{name}={escaped(value)}" for name, value in query]
        appended = self._signature.sign(method, path, query, complete)
        if appended:
            pairs.append(appended)
        return f"{path}?{'&'.join(pairs)}" if pairs else path, complete


def _said(answer: Answer) -> tuple[str, str]:
    """Error code and message of a refusal: in the headers, as XML (blobs, queues) or JSON (tables)."""
    code, message = error_in(answer.body)
    code = answer.headers.get("x-ms-error-code") or code
    return code or _phrase(answer.status), message or "no further explanation"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        return "Refused"
