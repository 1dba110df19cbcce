"""Execution of durable functions in Python: the engine's Executor, which invokes them through the functions host.

Requests and results of the engine are converted to and from the JSON that the durable SDK of Python reads and writes.
Source: durable-extension, Listener/OutOfProcOrchestrationShim.cs, TaskActivityShim.cs, TaskEntityShim.cs.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence

from emulator.dotnet.json_reader import JsonReaderError
from emulator.durable.core.identity import FunctionKind
from emulator.durable.core.replay.actions import OrchestratorResponse
from emulator.durable.core.replay.durable_http import HTTP_ACTIVITY
from emulator.durable.core.replay.program import ReplaySettings, replay
from emulator.durable.executor import (
    ActivityFailed,
    ActivityRequest,
    ActivitySucceeded,
    EntityBatch,
    EntityBatchResult,
    OrchestratorRequest,
    OrchestratorResult,
    WorkAborted,
)
from emulator.durable.options import DurableTaskOptions
from emulator.durable.tracing.hub_log import orchestrator_label
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.http_activity import HttpActivity
from emulator.extensions.durable.protocol import activities, entities, orchestrators
from emulator.host.invoker import BindingFailed, FunctionTimedOut
from emulator.logs import get_logger
from emulator.worker.large_text import LARGE_CHARACTERS, LargeText, is_large
from emulator.worker.port import FunctionFailed, Returned, WorkerError

_log = get_logger(__name__)

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class FunctionsExecutor:
    """Implements the engine's port Executor with functions of the app.

    `load_errors`: why some functions of the app could not be loaded. While there are any, work for a function that is
    missing, or that is listed but cannot be loaded (v1 programming model), waits instead of failing: its developer is
    about to repair it. (On Azure, no function of the app runs then, or every call of a v1 function fails.)
    """

    def __init__(
        self,
        functions: DurableFunctions,
        http: HttpActivity,
        options: DurableTaskOptions,
        *,
        load_errors: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._load_errors = load_errors
        self._functions = functions
        self._http = http
        self._settings = ReplaySettings(
            missing=self._missing,
            default_version=options.default_version,
            max_actions=options.max_orchestration_actions,
            reorder_window=options.entity_message_reorder_window,
            http_poll_interval=options.http_settings.default_async_request_sleep_time,
        )

    def _missing(self, kind: FunctionKind, name: str) -> str | None:
        """Return None if there is such a function, else a message. Raises WorkAborted if it may only not be loaded."""
        if (load_error := self._functions.load_error(kind, name)) is not None:
            raise WorkAborted(f"The function '{name}' could not be loaded: {load_error.partition(chr(10))[0]}")
        missing = self._functions.missing(kind, name)
        if missing is not None and self._load_errors():
            raise WorkAborted(f"{missing} Functions of the app could not be loaded; see the error at the start.")
        return missing

    # Orchestrators ---------------------------------------------------------------------------------------------

    async def orchestrate(self, request: OrchestratorRequest) -> OrchestratorResult:
        """Call the function with the whole history, and find out which of its actions are new.

        Raises WorkAborted if the function could not be run and the episode has to be retried.
        """
        response = await self._call(request)
        # Python's SDK returns all actions since the start of the orchestration, so they are replayed against the
        # history. The .NET extension does the same (OutOfProcOrchestrationShim).
        replayed = replay(
            request.past,
            request.new,
            response,
            started=request.started,
            settings=self._settings,
            sent_at=request.sent_at,
        )
        name = request.started.name
        for diagnostic in replayed.diagnostics:
            is_error = diagnostic.level == "error"
            source = self._functions.source(FunctionKind.ORCHESTRATOR, name) if is_error else None
            function = orchestrator_label(request.started.instance.instance_id, name)
            where = f" ({source})" if source else ""
            _log.log(_LEVELS[diagnostic.level], "%s%s: %s", function, where, diagnostic.text)
        return OrchestratorResult(
            decisions=replayed.decisions,
            custom_status=response.custom_status,
            played=replayed.played,
            trace=replayed.trace,
        )

    async def _call(self, request: OrchestratorRequest) -> OrchestratorResponse:
        name, instance_id = request.started.name, request.started.instance.instance_id
        missing = self._missing(FunctionKind.ORCHESTRATOR, name)
        if missing is not None:
            return orchestrators.cannot_run(missing)
        try:
            pieces = orchestrators.context_pieces(
                request, http_poll_interval=self._settings.http_poll_interval, once_from=LARGE_CHARACTERS
            )
            if is_large(pieces):
                returned = await self._invoke_large(name, LargeText.of(pieces), instance_id)
            else:
                returned = await self._functions.invoke(
                    FunctionKind.ORCHESTRATOR, name, "".join(pieces), instance_id=instance_id
                )
        except JsonReaderError:
            # The .NET extension fails before it calls the function, and its message contains nothing else.
            return orchestrators.cannot_run(
                f"One or more errors occurred. (Exception while executing function: {name})"
            )
        except FunctionFailed as failure:
            return orchestrators.response_in_failure(failure)
        except (FunctionTimedOut, BindingFailed, WorkerError) as error:
            # Not the orchestrator's own failure, so its history must not record one. The episode is retried.
            raise WorkAborted(str(error)) from error
        return orchestrators.response_of(_text(returned))

    async def _invoke_large(self, name: str, context: LargeText, instance_id: str) -> Returned:
        try:
            return await self._functions.invoke(FunctionKind.ORCHESTRATOR, name, context, instance_id=instance_id)
        finally:
            # The objects of the SDK refer to each other, so the payloads would stay until the next full collection,
            # which may be minutes away.
            gc.collect()

    # Activities ------------------------------------------------------------------------------------------------

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        """Call an activity function. Raises WorkAborted if it could not be run and has to be retried."""
        name = request.name
        # The durable SDK schedules call_http as an activity of this name, which no function of the app can have.
        if name == HTTP_ACTIVITY:
            return await self._http.act(request)
        if self._missing(FunctionKind.ACTIVITY, name) is not None:
            return activities.failure_without_details(name, f"Activity function '{name}' does not exist.")
        try:
            value = activities.trigger_value(request.input)
            returned = await self._functions.invoke(
                FunctionKind.ACTIVITY, name, value, instance_id=request.instance.instance_id
            )
        except FunctionFailed as failure:
            return activities.failure_of(name, failure)
        except (FunctionTimedOut, BindingFailed, activities.UnreadableInput) as error:
            return activities.failure_without_details(name, str(error))
        except WorkerError as error:
            raise WorkAborted(str(error)) from error
        return ActivitySucceeded(activities.result_of(returned.value))

    # Entities --------------------------------------------------------------------------------------------------

    async def operate(self, batch: EntityBatch) -> EntityBatchResult:
        """Call an entity function with a batch of operations.

        Raises WorkAborted if the batch fails as a whole; it is not committed then, and will be retried.
        """
        missing = self._missing(FunctionKind.ENTITY, batch.entity.name)
        if missing is not None:
            raise WorkAborted(missing)
        try:
            returned = await self._functions.invoke(
                FunctionKind.ENTITY,
                batch.entity.name,
                entities.batch_text(batch),
                instance_id=batch.entity.instance_id,
            )
            return entities.result_of(_text(returned), batch)
        except FunctionTimedOut as error:
            # Retrying would time out again. So, as in TaskEntityShim, every operation of the batch fails.
            return entities.all_failed(batch, str(error))
        # An entity's state must not be lost because of one invalid response, so the batch is retried.
        except (WorkerError, BindingFailed, entities.UnreadableResponse) as error:
            raise WorkAborted(str(error)) from error


def _text(returned: Returned) -> str | None:
    # The SDK returns JSON as text, which the converters of the worker do not parse.
    value = None if returned.value is None else returned.value.value
    return value if value is None or isinstance(value, str) else str(value)
