"""Starting and restarting, with or without waiting for the end.

Source: durable-extension, HttpApiHandler.cs; docs/protocol/durable-client-http.md 2.5 and 2.12.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from emulator.durable.client import TimeoutTooShort
from emulator.durable.core.events import TraceContext
from emulator.durable.core.identity import FunctionKind, RuntimeStatus
from emulator.durable.hub import InstanceAlreadyExists
from emulator.durable.tracing.writing import orchestrator
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.hubs import SelectedHub
from emulator.extensions.durable.management.api_request import (
    ApiRequest,
    InvalidArgument,
    argument_error,
    error_answer,
    json_answer,
    json_error,
    message_answer,
)
from emulator.extensions.durable.management.dotnet import parse_bool, parse_double
from emulator.extensions.durable.management.management_urls import ManagementUrls
from emulator.extensions.durable.management.profiles import HttpProfile
from emulator.extensions.durable.management.status_payload import full_status_payload
from emulator.extensions.newtonsoft import JsonReaderError, lenient, read_whole, write

UrlsFor = Callable[[ApiRequest, SelectedHub], Awaitable[ManagementUrls]]
"""The management URLs as the caller of this request can use them. Raises InvalidOrigin."""

FORBIDDEN_IN_IDS = frozenset("/\\#?")
LONGEST_ID = 256

_NOT_FOUND = "InstanceId does not match a valid orchestration instance."
_log = logging.getLogger(__name__)


class StartsApi:
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
        urls = await self._urls_for(request, hub)
        try:
            body = request.text if request.body else None
            value = _checked_input(body)
            if self._profile.checks_starts:
                self._check_start(hub, function, instance_id)
            started = await hub.client.start(
                function,
                body,
                instance_id=instance_id,
                version=request.query.get("version"),
                trace=_trace(request) if self._takes_traces else None,
            )
            hub.lifecycle.scheduled(orchestrator(started, function), "NewInstance")
            _warn_of_plain_input(function, started, value)
            return await self._started(request, hub, started, urls)
        except JsonReaderError as error:
            return json_error(error)
        except InstanceAlreadyExists as error:
            return message_answer(409, str(error))
        except (InvalidArgument, TimeoutTooShort) as error:
            return message_answer(400, str(error)) if self._profile.short_start_errors else argument_error(error)

    def _check_start(self, hub: SelectedHub, function: str, instance_id: str | None) -> None:
        if hub.is_own and (why := self._functions.missing(FunctionKind.ORCHESTRATOR, function)):
            raise InvalidArgument(why)
        if instance_id is not None:
            check_instance_id(instance_id)

    async def restart(self, request: ApiRequest, hub: SelectedHub, instance_id: str) -> web.Response:
        urls = await self._urls_for(request, hub)
        status = await hub.client.status(instance_id)
        if status is None:
            text = f"No instance with ID '{instance_id}' was found. (Parameter 'instanceId')"
            return error_answer(400, _NOT_FOUND, exception=text)
        keep_id = parse_bool(request.query.get("restartWithNewInstanceId")) is False
        try:
            if self._profile.checks_starts:
                self._check_start(hub, status.name, None)
            restarted = await hub.client.restart(status, write(lenient(status.input)), keep_id=keep_id)
            hub.lifecycle.scheduled(orchestrator(restarted, status.name), "NewInstance")
            return await self._started(request, hub, restarted, urls)
        except InstanceAlreadyExists as error:
            return error_answer(
                409,
                "A non-terminal instance with this instance ID already exists.",
                exception=error,
                exception_type="DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException",
            )
        except (InvalidArgument, TimeoutTooShort) as error:
            # The same Message whatever is wrong: the extension takes every ArgumentException for a missing instance.
            return error_answer(400, _NOT_FOUND, exception=error)

    async def _started(
        self, request: ApiRequest, hub: SelectedHub, instance_id: str, urls: ManagementUrls
    ) -> web.Response:
        """The check-status answer, or the outcome if the caller wants to wait for it. Raises TimeoutTooShort."""
        timeout = parse_double(request.query.get("timeout"))
        interval = parse_double(request.query.get("pollingInterval"))
        if timeout is not None and interval is not None:
            ended = await hub.client.wait_for_end(instance_id, timeout_seconds=timeout, interval_seconds=interval)
            if ended is not None and ended.runtime_status is RuntimeStatus.COMPLETED:
                return json_answer(200, lenient(ended.output))
            if ended is not None:
                return json_answer(200, await full_status_payload(hub.client, ended, request.query))
        payload = urls.check_status(instance_id)
        return json_answer(202, payload, {"Location": payload["statusQueryGetUri"], "Retry-After": "10"})


def check_instance_id(instance_id: str) -> None:
    """Raises InvalidArgument, with the words of the extension (whose arguments are swapped)."""
    if instance_id.startswith("@"):
        raise InvalidArgument("instanceId (Parameter 'Orchestration instance ids must not start with @.')")
    if has_forbidden_characters(instance_id):
        raise InvalidArgument(
            "instanceId (Parameter 'Orchestration instance ids must not contain /, \\, #, ?, or control characters.')"
        )
    if len(instance_id) > LONGEST_ID:
        raise InvalidArgument(f"Instance ID lengths must not exceed {LONGEST_ID} characters.")


def has_forbidden_characters(text: str) -> bool:
    return any(letter in FORBIDDEN_IN_IDS or ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in text)


def _checked_input(body: str | None) -> Any:
    """The value of the body. Blanks pass here: the instance then fails before any user code. Raises JsonReaderError."""
    return read_whole(body) if body and body.strip() else None


def _warn_of_plain_input(function: str, instance_id: str, value: Any) -> None:
    """What azure-functions-durable 1.7.0 cannot read: `get_input` loads JSON from what was not a JSON text."""
    if value is None or isinstance(value, dict | str):
        return
    _log.warning(
        "Instance %s of %s was started with a plain JSON %s. get_input() of azure-functions-durable raises TypeError "
        "for it; send a JSON object, or a JSON string that holds the JSON text.",
        instance_id,
        function,
        type(value).__name__,
    )


def _trace(request: ApiRequest) -> TraceContext | None:
    parent = request.headers.get("traceparent")
    return TraceContext(parent, request.headers.get("tracestate")) if parent else None
