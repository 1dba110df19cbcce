"""A request to the management API, as both doors (webhook and RPC listener) hand it in, and the answers to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.extensions.newtonsoft import write
from emulator.host.http.server.requests import read_body


@dataclass(frozen=True, slots=True)
class Query:
    """Query parameters; names in any case."""

    pairs: Sequence[tuple[str, str]]

    @classmethod
    def parse(cls, text: str) -> Query:
        return cls([(name.lower(), value) for name, value in parse_qsl(text, keep_blank_values=True)])

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.pairs if each == name.lower()]

    def get(self, name: str) -> str | None:
        """The value, repeated ones joined by commas as .NET does it; None when it is not there."""
        values = self.all(name)
        return ",".join(values) if values else None

    def first_filled(self, name: str) -> str | None:
        """The first value that is not blank."""
        return next((value for value in self.all(name) if value.strip()), None)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """`path`: below the base, percent-encoded. `url`: as it was asked for. `origin`: scheme and authority of `url`."""

    method: str
    path: str
    query: Query
    headers: Mapping[str, str]
    origin: str
    url: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8-sig", "replace")

    @property
    def media_type(self) -> str:
        """Content type without parameters, in lower case; empty when there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read_request(request: web.Request, clock: Clock, *, base_length: int, body_limit: int) -> ApiRequest:
    """`base_length`: how many characters of the path come before what the API looks at.

    Raises BodyTooLarge, BodyBroken.
    """
    path, _, query = request.raw_path.partition("?")
    origin = f"{request.scheme}://{request.host}"
    return ApiRequest(
        method=request.method,
        path=path[base_length:],
        query=Query.parse(query),
        headers=request.headers,
        origin=origin,
        url=origin + request.raw_path,
        body=await read_body(request, clock, limit=body_limit),
    )


# Answers -----------------------------------------------------------------------------------------------------


class InvalidArgument(EmulatorError):
    """What .NET reports as an ArgumentException: the request asks for something impossible."""


def empty(status: int) -> web.Response:
    return web.Response(status=status)


def json_answer(status: int, value: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=write(value).encode(),
        headers={"Content-Type": "application/json; charset=utf-8", **(headers or {})},
    )


def message_answer(status: int, message: str) -> web.Response:
    return json_answer(status, {"Message": message})


def error_answer(
    status: int, message: str, *, exception: object, exception_type: str = "System.ArgumentException"
) -> web.Response:
    """`exception`: its text is shown. There is no .NET stack to show."""
    return json_answer(
        status,
        {"Message": message, "ExceptionMessage": str(exception), "ExceptionType": exception_type, "StackTrace": ""},
    )


def argument_error(error: Exception) -> web.Response:
    return error_answer(400, "One or more of the arguments submitted is incorrect", exception=error)


def json_error(error: Exception) -> web.Response:
    return error_answer(
        400,
        "Invalid JSON content",
        exception=error,
        exception_type="Newtonsoft.Json.JsonReaderException",
    )


def server_error(error: object, exception_type: str = "System.InvalidOperationException") -> web.Response:
    message = "Something went wrong while processing your request"
    return error_answer(500, message, exception=error, exception_type=exception_type)
