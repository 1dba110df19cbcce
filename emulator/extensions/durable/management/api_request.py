"""Requests to the durable HTTP API and its JSON responses, the same for the webhook and the RPC listener.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md chapter 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from emulator.clock import Clock
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.errors import EmulatorError
from emulator.host.http.server.requests import read_body


@dataclass(frozen=True, slots=True)
class Query:
    """Query parameters, whose names ignore case."""

    pairs: Sequence[tuple[str, str]]

    @classmethod
    def parse(cls, text: str) -> Query:
        """Parse the query string of a URL."""
        # ASP.NET Core keeps parameters without a value; `?runtimeStatus=` is not the same as no parameter.
        return cls([(name.lower(), value) for name, value in parse_qsl(text, keep_blank_values=True)])

    def all(self, name: str) -> list[str]:
        """Return the values of a parameter, which may be repeated."""
        return [value for key, value in self.pairs if key == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the value of a parameter; None if it is missing. .NET joins repeated ones with commas."""
        values = self.all(name)
        return ",".join(values) if values else None

    def first_filled(self, name: str) -> str | None:
        """Return the first value that is not blank."""
        return next((value for value in self.all(name) if value.strip()), None)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request with its body. `text`: the body as UTF-8 text, invalid bytes replaced; empty if there is none.

    `path`: the part behind the base path, percent-encoded. `url`: as requested. `origin`: its scheme and authority.
    """

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    origin: str
    url: str
    text: str

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_request(request: web.Request, clock: Clock, *, base_length: int, body_limit: int) -> ApiRequest:
    """Read a request with its body.

    `base_length`: number of characters of the base path. `body_limit`: in bytes. Raises BodyTooLarge, BodyBroken.
    """
    # The raw path, because ids in it are decoded in another way than aiohttp does it; see `routing.find_target`.
    path, _, query = request.raw_path.partition("?")
    origin = f"{request.scheme}://{request.host}"
    return ApiRequest(
        method=request.method,
        path=path[base_length:],
        query=Query.parse(query),
        headers=request.headers,
        origin=origin,
        url=origin + request.raw_path,
        # .NET's StreamReader also skips a byte order mark and replaces invalid bytes. The bytes are not kept, because a
        # body may have megabytes.
        text=(await read_body(request, clock, limit=body_limit)).decode("utf-8-sig", "replace"),
    )


class InvalidArgument(EmulatorError):
    """The request has an invalid argument. The extension throws ArgumentException in these cases."""


def empty_response(status: int) -> web.Response:
    """Return a response without a body."""
    return web.Response(status=status)


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a response with a JSON value as Newtonsoft.Json writes it."""
    return web.Response(
        status=status,
        body=newtonsoft_text(value).encode(),
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


def message_response(status: int, message: str) -> web.Response:
    """Return an error response with the member Message only."""
    return json_response(status, {"Message": message})


def error_response(
    status: int, message: str, *, exception: object, exception_type: str = "System.ArgumentException"
) -> web.Response:
    """Return an error response with the four members of HttpError. `exception`: its text becomes ExceptionMessage."""
    # StackTrace is present because clients may read it, and empty because there is no .NET stack.
    return json_response(
        status,
        {"Message": message, "ExceptionMessage": str(exception), "ExceptionType": exception_type, "StackTrace": ""},
    )


def argument_error_response(error: Exception) -> web.Response:
    """Return the 400 response to an invalid argument."""
    return error_response(400, "One or more of the arguments submitted is incorrect", exception=error)


def json_error_response(error: Exception) -> web.Response:
    """Return the 400 response to a body that is not JSON."""
    return error_response(
        400,
        "Invalid JSON content",
        exception=error,
        exception_type="Newtonsoft.Json.JsonReaderException",
    )


def server_error_response(error: object, exception_type: str = "System.InvalidOperationException") -> web.Response:
    """Return the 500 response to an unexpected error."""
    message = "Something went wrong while processing your request"
    return error_response(500, message, exception=error, exception_type=exception_type)
