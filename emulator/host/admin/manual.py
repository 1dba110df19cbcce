"""azemu's own part of the admin API, /admin/azemu/…: run a function and wait for its result; captured outputs; inputs.

The Functions host has nothing of the kind: it responds to a manual invocation before the function has run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from emulator import bound_json as json
from emulator.clock import Clock
from emulator.errors import EmulatorError
from emulator.host.admin.api import RunningHost, admin_route, json_response
from emulator.host.captured_outputs import CapturedOutputs, json_value
from emulator.host.http.keys.authorization import AdminApi
from emulator.host.http.routing.routes import HttpCall, Route
from emulator.host.http.server.requests import BodyBroken, BodyTooLarge, read_body
from emulator.host.manual_invocation import (
    CannotInvoke,
    NoSuchFunction,
    NoSuchInput,
    RequestInvalid,
    find_function,
    invoke_manually,
    read_request,
    supplied_binding,
)
from emulator.host.supplied_inputs import SuppliedInputs, supplied_value
from emulator.ids import NewId

_MAX_BODY_BYTES = 100 * 1024 * 1024


class ManualApi:
    """Request handlers of /admin/azemu/…. Errors are JSON objects with the member `error`."""

    def __init__(
        self, host: RunningHost, outputs: CapturedOutputs, inputs: SuppliedInputs, clock: Clock, new_id: NewId
    ) -> None:
        self._host = host
        self._outputs = outputs
        self._inputs = inputs
        self._clock = clock
        self._new_id = new_id

    def routes(self) -> list[Route]:
        """Return the routes. Like the rest of the admin API they require the master key if keys are checked."""
        admin, function = AdminApi(), "admin/azemu/functions/{name}"
        return [
            admin_route("POST", f"{function}/invoke", admin, self.invoke),
            admin_route("GET", "admin/azemu/outputs", admin, self.list_outputs),
            admin_route("DELETE", "admin/azemu/outputs", admin, self.clear_outputs),
            admin_route("GET", f"{function}/outputs", admin, self.list_outputs),
            admin_route("PUT DELETE", f"{function}/inputs/{{binding}}", admin, self.supply_input),
        ]

    async def invoke(self, call: HttpCall) -> web.Response:
        # Unlike /admin/functions/{name} it waits, so that the caller gets result, outputs or the error.
        try:
            request = read_request(await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES))
            # Requests to the admin API do not wait for the host to start, unlike those to functions.
            if not self._host.status.can_invoke:
                return _error(503, f"The host cannot run functions: its state is {self._host.status.state.value}.")
            function = find_function(self._host, call.values["name"])
            result = await invoke_manually(self._host, self._outputs, function, request, self._new_id)
        except BodyTooLarge:
            return _error(413, f"The body has more than {_MAX_BODY_BYTES} bytes.")
        except BodyBroken:
            return _error(400, "The body is incomplete.")
        except NoSuchFunction as error:
            return _error(404, str(error))
        except (RequestInvalid, CannotInvoke) as error:
            return _error(400, str(error))
        except EmulatorError as error:
            # The invoker has logged it, too.
            return _error(500, str(error))
        return json_response(
            {
                "invocationId": result.invocation_id,
                **json_value(result.value, "result"),
                "outputs": [output.json_members() for output in result.outputs],
            }
        )

    async def list_outputs(self, call: HttpCall) -> web.Response:
        name = call.values.get("name")
        if name is not None and self._host.catalog.find(name) is None:
            return _error(404, str(NoSuchFunction(name, self._host.catalog)))
        return json_response([output.json_members() for output in self._outputs.of(name)])

    async def clear_outputs(self, call: HttpCall) -> web.Response:
        self._outputs.clear()
        return web.Response(status=204)

    async def supply_input(self, call: HttpCall) -> web.Response:
        try:
            function = find_function(self._host, call.values["name"])
            name = supplied_binding(self._host, function, call.values["binding"])
            body = await read_body(call.request, self._clock, limit=_MAX_BODY_BYTES)
        except (NoSuchFunction, NoSuchInput) as error:
            return _error(404, str(error))
        except (BodyTooLarge, BodyBroken):
            return _error(400, "The body is incomplete or too large.")
        if call.request.method == "DELETE":
            return web.Response(status=204 if self._inputs.remove(function.name, name) else 404)
        try:
            value = _body_value(body, call.request.content_type)
        except (ValueError, RecursionError) as error:
            return _error(400, f"The body is not JSON, as its Content-Type says: {error}")
        self._inputs.put(function.name, name, supplied_value(value))
        return web.Response(status=204)


def _body_value(body: bytes, content_type: str) -> Any:
    """Return JSON for the content type of JSON, else text, else bytes. Raises ValueError, RecursionError."""
    if content_type == "application/json":
        return json.loads(body)
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def _error(status: int, message: str) -> web.Response:
    members: Mapping[str, Any] = {"error": message}
    return json_response(members, status=status)
