"""From the exceptions of the Azure SDKs to ours.

The SDKs differ among themselves and from version to version in which class they raise for an answer; status and
error code are the service's, so only these are looked at.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, TypeVar

from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError

from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.storage.error_mapping import invalid, refusal, unreachable

T = TypeVar("T")


class Calls:
    """Runs the calls of one endpoint: time may not jump while one is under way, and errors come out as ours."""

    def __init__(self, endpoint: str, clock: Clock) -> None:
        self.endpoint = endpoint
        self._clock = clock

    async def run(self, doing: str, call: Awaitable[T]) -> T:
        """`doing` completes "Storage refused to …"."""
        try:
            with self._clock.busy():
                return await call
        except (AzureError, ValueError, TypeError) as error:
            raise self._translated(doing, error) from error

    def _translated(self, doing: str, error: Exception) -> EmulatorError:
        # The table client turns some refusals of a name into a ValueError; the answer is its context.
        answer = error if isinstance(error, AzureError) else error.__context__
        if isinstance(answer, HttpResponseError) and answer.response is not None:
            return _from_answer(doing, answer)
        if isinstance(answer, ServiceRequestError | ServiceResponseError):
            return unreachable(doing, self.endpoint, _first_line(str(answer)))
        return invalid(doing, "InvalidInput", _first_line(str(error)))


def _from_answer(doing: str, error: HttpResponseError) -> EmulatorError:
    code, detail = _said(error)
    index = getattr(error, "index", None)
    return refusal(doing, status=error.status_code or 0, code=code, detail=detail, failed_index=index)


def _said(error: HttpResponseError) -> tuple[str, str]:
    """The service's error code and the first line of its message."""
    response: Any = error.response
    code = getattr(error, "error_code", None)
    code = getattr(code, "value", code) or response.headers.get("x-ms-error-code") or ""
    detail = _first_line(error.message or "")
    if code:
        return code, detail
    try:  # insert_entity of the table client raises without having read the body
        said = json.loads(response.text())["odata.error"]
        return str(said["code"]), _first_line(str(said["message"]["value"]))
    except (ValueError, KeyError, TypeError):
        return str(response.reason or ""), detail


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()
