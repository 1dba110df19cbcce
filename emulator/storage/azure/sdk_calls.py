"""Calls of the Azure SDKs: test clocks do not advance during a call, and failures become errors of `storage.port`."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.storage.availability import ServiceAvailability
from emulator.storage.error_mapping import invalid_request, no_response, service_error

T = TypeVar("T")


class SdkCalls:
    """Executes SDK calls to one endpoint."""

    def __init__(self, endpoint: str, clock: Clock, availability: ServiceAvailability) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._availability = availability

    async def run(self, action: str, call: Awaitable[T]) -> T:
        """Await a call. `action` completes "Storage refused to …". Raises StorageError, StorageUnreachable."""
        try:
            with self._clock.busy():
                return await call
        # ValueError and TypeError: how the SDKs refuse arguments without a request.
        except (AzureError, ValueError, TypeError) as error:
            raise self._translate(action, error) from error

    def _translate(self, action: str, error: Exception) -> EmulatorError:
        # The class of an SDK error differs between the SDKs and their versions. Status and error code come from the
        # service, so only these are used.
        # The table client raises a ValueError for some names that the service refused, while it handles the response.
        cause = error if isinstance(error, AzureError) else error.__context__
        if isinstance(cause, HttpResponseError) and cause.response is not None:
            code, detail = _error_details(cause)
            # Of the table client's errors, for a transaction.
            index = getattr(cause, "index", None)
            return service_error(action, status=cause.status_code or 0, code=code, detail=detail, failed_index=index)
        if isinstance(cause, ServiceRequestError | ServiceResponseError):
            return self._availability.error(no_response(action, self.endpoint, _first_line(str(cause))))
        # The SDK itself refused an argument.
        return invalid_request(action, "InvalidInput", _first_line(str(error)))


def _error_details(error: HttpResponseError) -> tuple[str, str]:
    """Return the service's error code and the first line of its message."""
    response: Any = error.response
    code = getattr(error, "error_code", None)
    code = getattr(code, "value", code) or response.headers.get("x-ms-error-code") or ""
    detail = _first_line(error.message or "")
    if code:
        return code, detail
    try:
        # create_entity of the table client raises without having read the body.
        body = json.loads(response.text())["odata.error"]
        return str(body["code"]), _first_line(str(body["message"]["value"]))
    except (ValueError, KeyError, TypeError):
        return str(response.reason or ""), detail


def _first_line(text: str) -> str:
    # The other lines are request id, time, and advice for users of the SDK.
    return text.split("\n", 1)[0].strip()
