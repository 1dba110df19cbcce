"""HTTP responses of functions: the status, headers and body for what a function has returned.

    response = render(returned, "$return")
    response.status, response.headers, response.body

Source: host, Binding/Http/HttpBinding.cs, RawScriptResult.cs; docs/protocol/functions-host.md 4.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from emulator.dotnet.json_reader import JsonReaderError, read_whole
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.dotnet.token_text import indented, scalar_text
from emulator.errors import EmulatorError
from emulator.host.bindings import RETURN
from emulator.host.http_options import BAD_IN_HEADER_VALUE, HEADER_NAME
from emulator.worker.port import Datum, HttpCookie, HttpResponseData, Returned

PLAIN_TEXT = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"

# Headers about the connection are set by the web server. A function that set them could break the framing of the
# response, so they are dropped.
HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "upgrade"))
_FILE_NAME = re.compile(r"\bfilename\s*=\s*\"?([^\";]+)", re.IGNORECASE)


class ResponseRefused(EmulatorError):
    """The function returned a status, header or length that cannot be sent. The client gets a 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedResponse:
    """A response to be sent. `headers`: in order, with Set-Cookie; Content-Length only if the function has set it."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


def render(returned: Returned, output: str | None) -> RenderedResponse:
    """Return the response of an invocation. `output`: the name of the function's http output binding, if it has one.

    Raises ResponseRefused.
    """
    if output == RETURN:
        return _response(returned.value)
    if output is not None and output in returned.outputs:
        return _response(returned.outputs[output])
    # The function has set no http output. ASP.NET Core's ObjectResult then formats the return value by its type
    # and does not look for JSON in texts, as the http output does.
    match returned.value:
        case Datum("string", text):
            return RenderedResponse(headers=[("Content-Type", PLAIN_TEXT)], body=text.encode())
        case Datum("json", text):
            return RenderedResponse(headers=[("Content-Type", JSON)], body=text.encode())
        case value:
            return _response(value)


def _response(value: Datum | None) -> RenderedResponse:
    match value:
        case None:
            return RenderedResponse(status=204)
        case Datum("http", HttpResponseData() as data):
            cookies = [("Set-Cookie", cookie_text(cookie)) for cookie in data.cookies]
            headers = [*_first_of_each(data.headers), *cookies]
            return _checked(RenderedResponse(status=data.status, headers=headers, body=data.body))
        case Datum("bytes", bytes() as body):
            return RenderedResponse(body=body)
        case Datum("string" | "json", str() as text):
            return text_response(text)
        case Datum(_, other):
            return _text(scalar_text(other))


def _first_of_each(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    # ASP.NET Core adds a header only if it is not there yet, so the first of several with one name wins. Set-Cookie is
    # not affected: cookies have a list of their own.
    kept: dict[str, tuple[str, str]] = {}
    for name, value in headers:
        if name.lower() not in HOP_BY_HOP:
            kept.setdefault(name.lower(), (name, value))
    return list(kept.values())


def _checked(response: RenderedResponse) -> RenderedResponse:
    if not 200 <= response.status <= 999:
        raise ResponseRefused(f"The function returned the HTTP status {response.status}; allowed are 200 to 999.")
    for name, value in response.headers:
        check_header(name, value)
    return response


def check_header(name: str, value: str) -> None:
    """Raise ResponseRefused if a header cannot be sent: its name is not a token or its value not printable ASCII."""
    if not HEADER_NAME.fullmatch(name):
        raise ResponseRefused(
            f"The function returned an HTTP header with the name {name!r}, which cannot be sent. Use letters, digits "
            "and hyphens."
        )
    wrong = BAD_IN_HEADER_VALUE.search(value)
    if wrong is None:
        return
    if ord(wrong[0]) < 0x80:
        raise ResponseRefused(
            f"The function returned the HTTP header {name!r}: {value!r}, which cannot be sent. It contains the control "
            f"character {wrong[0]!r}. Remove it."
        )
    advice = "Encode the value, for example with urllib.parse.quote"
    if file_name := _FILE_NAME.search(value):
        advice = f"Encode the file name: filename*=UTF-8''{quote(file_name[1])} (RFC 6266; urllib.parse.quote)"
    raise ResponseRefused(
        f"The function returned the HTTP header {name!r}: {value!r}, which cannot be sent. Azure accepts only ASCII in "
        f"response headers, and {wrong[0]!r} is not. {advice}."
    )


def check_length(response: RenderedResponse, method: str) -> None:
    """Raise ResponseRefused if the function has set a Content-Length that differs from the length of the body."""
    # A client would wait for the missing bytes, or take the surplus ones for the next response. The response to HEAD
    # has no body and may state the length of the one that GET would get.
    value = next((value.strip() for name, value in response.headers if name.lower() == "content-length"), None)
    if value is None or value == str(len(response.body)) or (method == "HEAD" and re.fullmatch("[0-9]+", value)):
        return
    raise ResponseRefused(
        f"The function returned a body of {len(response.body)} bytes and the header Content-Length: {value}."
    )


def cookie_text(cookie: HttpCookie) -> str:
    """Return the value of Set-Cookie in the order and letter case of ASP.NET Core (SetCookieHeaderValue)."""
    parts = [f"{cookie.name}={quote(cookie.value, safe='-_.~')}"]
    if cookie.expires is not None:
        parts.append(f"expires={cookie.expires}")
    if cookie.max_age is not None:
        parts.append(f"max-age={int(cookie.max_age)}")
    if cookie.domain is not None:
        parts.append(f"domain={cookie.domain}")
    if cookie.path is not None:
        parts.append(f"path={cookie.path}")
    if cookie.secure:
        parts.append("secure")
    if cookie.same_site is not None:
        parts.append(f"samesite={cookie.same_site.lower().removeprefix('explicit')}")
    if cookie.http_only:
        parts.append("httponly")
    return "; ".join(parts)


# Texts -------------------------------------------------------------------------------------------------------


def text_response(text: str) -> RenderedResponse:
    """Return the response for a text: JSON in it is formatted, and a JSON object with a `body` is a whole response.

    So does the Functions host with every text of an http output (RawScriptResult). Raises ResponseRefused.
    """
    try:
        content = read_whole(text)
    except JsonReaderError:
        return _text(text)
    if isinstance(content, dict):
        # A default that no JSON text can contain, because `"body": null` counts as a body.
        body = _member(content, "body", missing=content)
        if body is not content:
            return _response_object(content, body)
    if isinstance(content, dict | list):
        return _text(indented(content))
    return _text(scalar_text(content))


def _response_object(members: Mapping[str, Any], body: Any) -> RenderedResponse:
    headers = _member(members, "headers")
    named = [(name, scalar_text(value)) for name, value in headers.items()] if isinstance(headers, dict) else []
    text = newtonsoft_text(body) if isinstance(body, dict | list) else scalar_text(body)
    types = [] if any(name.lower() == "content-type" for name, _ in named) else [("Content-Type", PLAIN_TEXT)]
    status = _member(members, "statusCode", missing=_member(members, "status"))
    if isinstance(status, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,9}\s*", status, re.ASCII):
        status = int(status)
    elif not isinstance(status, int) or isinstance(status, bool):
        status = 200
    # Half a surrogate pair can be written in JSON but not in UTF-8; .NET sends a replacement character too.
    encoded = text.encode("utf-8", "replace")
    return _checked(RenderedResponse(status=status, headers=[*types, *_first_of_each(named)], body=encoded))


def _member(members: Mapping[str, Any], name: str, *, missing: Any = None) -> Any:
    return next((value for key, value in members.items() if key.lower() == name.lower()), missing)


def _text(text: str) -> RenderedResponse:
    return RenderedResponse(headers=[("Content-Type", PLAIN_TEXT)], body=text.encode("utf-8", "replace"))
