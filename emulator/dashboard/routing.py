"""Endpoints of the dashboard's API: how they are declared, and how their errors become responses.

    def home_routes(parts: DashboardParts) -> list[Route]:
        return [endpoint("GET", "home", Home(parts).state)]

An endpoint returns a response, usually `json_response`, or raises ApiError. Members of JSON objects are in camelCase,
times are texts as `utc_text` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from emulator import bound_json as json
from emulator.config.connections import DEFAULT_CONNECTION
from emulator.dashboard.parts import DashboardParts
from emulator.errors import ConfigurationError, EmulatorError, StorageUnavailable
from emulator.host.admin.api import admin_route, json_response
from emulator.host.http.keys.authorization import AdminApi
from emulator.host.http.routing.routes import Handler, HttpCall, Route
from emulator.host.http.server.requests import read_body
from emulator.logs import get_logger
from emulator.storage.port import StorageError, StorageUnreachable

_log = get_logger(__name__)

MAX_BODY_BYTES = 100 * 1024 * 1024
_MOST_DIGITS = 20


class ApiError(Exception):
    """The request cannot be answered as wanted. `status`: the HTTP status of the response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def endpoint(methods: str, template: str, handler: Handler) -> Route:
    """Return a route of the API. `methods`: separated by blanks. `template`: the path below `/azemu/api/`."""
    return admin_route(methods, template, AdminApi(), handler)


def error_response(status: int, message: str) -> web.Response:
    """Return the response for an error: `{"error": {"message": …}}`."""
    return json_response({"error": {"message": message}}, status=status)


def error_members(error: Exception, path: str) -> tuple[int, str]:
    """Return the status and the message for an error of an endpoint. `path`: of the request, for the log."""
    match error:
        case ApiError() | StorageError():
            return error.status, str(error)
        case StorageUnavailable() | StorageUnreachable():
            return 503, str(error)
        case ConfigurationError():
            return 400, str(error)
        case EmulatorError():
            return 500, str(error)
    _log.error("The dashboard could not answer the request of %s.", path, exc_info=error)
    return 500, f"{type(error).__name__}: {error}"


def check_writable(parts: DashboardParts, connection: str = DEFAULT_CONNECTION) -> None:
    """Raise ApiError 403 if the dashboard must not change what the connection leads to."""
    if not parts.may_write(connection):
        account = parts.accounts(connection).description
        raise ApiError(
            403,
            f"The dashboard only reads {account}, because it is not on this machine. To allow changes, start azemu "
            "with --dashboard-writes.",
        )


async def body_members(call: HttpCall, parts: DashboardParts) -> Mapping[str, Any]:
    """Return the JSON object in the body of a request; empty for no body. Raises ApiError 400."""
    body = await read_body(call.request, parts.clock, limit=MAX_BODY_BYTES)
    if not body.strip():
        return {}
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"The body is not JSON: {error}") from None
    if not isinstance(members, dict):
        raise ApiError(400, "The body must be a JSON object.")
    return members


def number_of(call: HttpCall, name: str, default: int, *, highest: int) -> int:
    """Return a query parameter that is a number from 0 to `highest`. Raises ApiError 400."""
    text = call.request.query.get(name)
    if text is None:
        return default
    digits = text.lstrip("0") or text[:1]
    # Python refuses to convert thousands of digits.
    if not digits.isdecimal() or not digits.isascii() or len(digits) > _MOST_DIGITS or int(digits) > highest:
        raise ApiError(400, f"The parameter {name} must be a number from 0 to {highest}, not '{text[:50]}'.")
    return int(digits)


def utc_text(moment: datetime | None) -> str | None:
    """Return a time in ISO 8601 with milliseconds and `Z`; None stays None."""
    return None if moment is None else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
