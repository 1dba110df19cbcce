"""Start and restart of orchestrations in the durable HTTP API, optionally waiting for completion.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.5 and 2.12.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from emulator.dotnet.json_reader import JsonReaderError, lenient_value, read_whole
from emulator.dotnet.json_writer import newtonsoft_text
from emulator.dotnet.query_values import parse_bool, parse_double
from emulator.durable.client import TimeoutTooShort
from emulator.durable.core.events import TraceContext
from emulator.durable.core.identity import FunctionKind, RuntimeStatus, has_lone_surrogate, storage_problem
from emulator.durable.hub import InstanceAlreadyExists
from emulator.durable.tracing.hub_log import orchestrator_label
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.hubs import SelectedHub
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    argument_error_response,
    error_response,
    json_error_response,
    json_response,
    message_response,
)
from emulator.extensions.durable.management.client_log import log_operation
from emulator.extensions.durable.management.management_urls import ManagementUrls
from emulator.extensions.durable.management.plain_input import start_input_problem
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.extensions.durable.management.status_payload import full_status_payload
from emulator.logs import get_logger

UrlsFor = Callable[[ApiRequest, SelectedHub], Awaitable[ManagementUrls]]
"""Return the management URLs that the caller of a request can reach. Raises InvalidOrigin."""

FORBIDDEN_IN_IDS = frozenset("/\\#?")
MAX_ID_LENGTH = 256

_NOT_FOUND = "InstanceId does not match a valid orchestration instance."
_log = get_logger(__name__)


class StartsApi:
    """Handlers of the endpoints that start orchestrations.

    `takes_traces`: continue the trace of a request's `traceparent` header.
    """

    def __init__(
        self, profile: HttpProfile, functions: DurableFunctions, urls_for: UrlsFor, *, takes_traces: bool
    ) -> None:
        self._profile = profile
        self._functions = functions
        self._urls_for = urls_for
        self._takes_traces = takes_traces

    async def start(
        self, request: ApiRequest, hub: SelectedHub, function: str, instance_id: str | None
    ) -> web.Response:
        """Start an orchestration."""
        # First, because invalid forwarded headers must not leave a running instance behind an error response.
        urls = await self._urls_for(request, hub)
        try:
            body = request.text or None
            problem = _input_problem(body)
            if self._profile.checks_starts:
                self._check_start(hub, function, instance_id)
            check_storable(instance_id or "")
            # As in the extension, a trace context is stored only if distributed tracing is on.
            parent = request.headers.get("traceparent") if self._takes_traces else None
            trace = TraceContext(parent, request.headers.get("tracestate")) if parent else None
            started = await hub.client.start(
                function,
                body,
                instance_id=instance_id,
                version=request.query.get("version"),
                trace=trace,
            )
            log_operation(request, hub, "StartOrchestration", started)
            hub.lifecycle.scheduled(orchestrator_label(started, function), "NewInstance")
            if problem:
                _log.warning("Instance %s of %s was started with a %s", started, function, problem)
            return await self._started_response(request, hub, started, urls)
        except JsonReaderError as error:
            return json_error_response(error)
        except InstanceAlreadyExists as error:
            return message_response(409, str(error))
        except (InvalidArgument, TimeoutTooShort) as error:
            if self._profile.short_start_errors:
                return message_response(400, str(error))
            return argument_error_response(error)

    def _check_start(self, hub: SelectedHub, function: str, instance_id: str | None) -> None:
        if hub.is_own and (problem := self._functions.missing(FunctionKind.ORCHESTRATOR, function)):
            raise InvalidArgument(problem)
        # Without one the client generates a valid id.
        if instance_id is not None:
            check_instance_id(instance_id)

    async def restart(self, request: ApiRequest, hub: SelectedHub, instance_id: str) -> web.Response:
        """Start an orchestration again with its original input."""
        # Before the start, for the same reason as there.
        urls = await self._urls_for(request, hub)
        status = await hub.client.status(instance_id)
        if status is None:
            text = f"No instance with ID '{instance_id}' was found. (Parameter 'instanceId')"
            return error_response(400, _NOT_FOUND, exception=text)
        # A new instance id is the default: with the old one the new run replaces the history of the first.
        keep_id = parse_bool(request.query.get("restartWithNewInstanceId")) is False
        try:
            if self._profile.checks_starts:
                self._check_start(hub, status.name, None)
            # The stored input may be text that is not JSON. It is restarted as a JSON string then.
            restarted = await hub.client.restart(status, newtonsoft_text(lenient_value(status.input)), keep_id=keep_id)
            hub.lifecycle.scheduled(orchestrator_label(restarted, status.name), "NewInstance")
            return await self._started_response(request, hub, restarted, urls)
        except InstanceAlreadyExists as error:
            return error_response(
                409,
                "A non-terminal instance with this instance ID already exists.",
                exception=error,
                exception_type="DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException",
            )
        except (InvalidArgument, TimeoutTooShort) as error:
            # The extension takes every ArgumentException for a missing instance, so the message is the same.
            return error_response(400, _NOT_FOUND, exception=error)

    async def _started_response(
        self, request: ApiRequest, hub: SelectedHub, instance_id: str, urls: ManagementUrls
    ) -> web.Response:
        """Return the check-status response, or the output if the instance ends within the timeout of the request.

        Raises TimeoutTooShort.
        """
        # One of the two parameters alone is ignored, as in the extension.
        timeout = parse_double(request.query.get("timeout"))
        interval = parse_double(request.query.get("pollingInterval"))
        if timeout is not None and interval is not None:
            ended = await hub.client.wait_for_end(instance_id, timeout_seconds=timeout, interval_seconds=interval)
            if ended is not None and ended.runtime_status is RuntimeStatus.COMPLETED:
                return json_response(200, lenient_value(ended.output))
            # Any other end, a failure included, is a 200 response with the status.
            if ended is not None:
                return json_response(200, await full_status_payload(hub.client, ended, request.query))
        payload = urls.check_status(instance_id)
        # Not finished in time, or not asked to wait: the caller polls.
        return json_response(202, payload, {"Location": payload["statusQueryGetUri"], "Retry-After": "10"})


def _input_problem(body: str | None) -> str | None:
    """Return what an orchestrator cannot read in a body; None: it can. Raises JsonReaderError."""
    if not body:
        return None
    # A blank body is accepted here and fails as input before any user code runs, as in the extension.
    if not body.strip():
        return "blank text, which is not JSON, so it fails, as on Azure. Send JSON, or no body"
    # The value is not kept until the start is stored: it is another copy of the body.
    return start_input_problem(read_whole(body))


def check_instance_id(instance_id: str) -> None:
    """Raise InvalidArgument with a message of the extension if an instance id is invalid."""
    # The extension swaps message and parameter name of these exceptions; clients may compare the texts.
    if instance_id.startswith("@"):
        raise InvalidArgument("instanceId (Parameter 'Orchestration instance ids must not start with @.')")
    if has_forbidden_characters(instance_id):
        raise InvalidArgument(
            "instanceId (Parameter 'Orchestration instance ids must not contain /, \\, #, ?, or control characters.')"
        )
    if len(instance_id) > MAX_ID_LENGTH:
        raise InvalidArgument(f"Instance ID lengths must not exceed {MAX_ID_LENGTH} characters.")


def check_storable(instance_id: str) -> None:
    """Raise InvalidArgument if storage cannot have an instance with this id.

    The extension sends the message first and responds with 500 when storage refuses the row. The message then stays.
    """
    if problem := storage_problem(instance_id):
        raise InvalidArgument(f"The instance ID {instance_id[:100]!a} {problem}")


def has_forbidden_characters(text: str) -> bool:
    """Return whether a text has characters that instance ids and entity keys must not contain."""
    # They are not allowed in the keys of Azure tables, where ids are stored.
    return has_lone_surrogate(text) or any(
        letter in FORBIDDEN_IN_IDS or ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in text
    )
