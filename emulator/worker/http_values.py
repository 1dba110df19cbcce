"""HTTP values: requests in the form that azure.functions' converter reads, responses in the form that it writes.

The library works on its own Datum objects, one per member of the protobuf messages RpcHttp and RpcHttpCookie.
Source: docs/protocol/python-worker.md 4.3 and 4.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import format_datetime, parsedate_to_datetime
from http.cookies import Morsel, SimpleCookie
from typing import Any

from azure.functions import meta

from emulator.worker.port import HttpCookie, HttpRequestData, HttpResponseData

_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


def library_request(request: HttpRequestData) -> dict[str, Any]:
    """Return the members that the library's HttpRequestConverter reads."""

    def texts(values: Mapping[str, str]) -> dict[str, Any]:
        return {name: meta.Datum(value, "string") for name, value in values.items()}

    return {
        "method": meta.Datum(request.method, "string"),
        "url": meta.Datum(request.url, "string"),
        "headers": texts(request.headers),
        "query": texts(request.query),
        "params": texts(request.route_params),
        # Always bytes: the converter decodes JSON and forms from it when user code asks.
        "body": meta.Datum(request.body, "bytes"),
    }


def response_data(members: Mapping[str, Any]) -> HttpResponseData:
    """Read what the library's HttpResponseConverter has written.

    Raises TypeError for a status code that is not a number, ValueError for a cookie's date that cannot be parsed; both
    fail the invocation.
    """
    status = members["status_code"].value
    try:
        code = int(status)
    except ValueError:
        raise TypeError(f"an HTTP status code must be a whole number, not {status!r}") from None
    jars: list[SimpleCookie] = members.get("cookies") or []
    return HttpResponseData(
        status=code,
        headers=[(name, header.value) for name, header in members["headers"].items()],
        # A jar holds the cookies of one Set-Cookie header.
        cookies=[_cookie(morsel) for jar in jars for morsel in jar.values()],
        body=members["body"].value,
    )


def _cookie(morsel: Morsel[str]) -> HttpCookie:
    max_age, expires = morsel["max-age"], None
    if text := morsel["expires"]:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            # The official worker's text.
            raise ValueError(f"Can not parse value {text} of expires in the cookie due to invalid format.") from None
        expires = format_datetime(moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC), usegmt=True)
    return HttpCookie(
        name=morsel.key,
        value=morsel.value,
        # Domain, path and the two flags are always present in the official worker's message, empty or false if the
        # header does not have them; expires, SameSite and Max-Age are absent then.
        domain=morsel["domain"],
        path=morsel["path"],
        expires=expires,
        secure=bool(morsel["secure"]),
        http_only=bool(morsel["httponly"]),
        same_site=_SAME_SITE.get(str(morsel["samesite"]).lower()),
        max_age=float(max_age) if max_age not in ("", None) else None,
    )
