"""The Executor of Python functions: every call of one goes through the host, in the JSON of the Python SDK."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from emulator.clock import Clock
from emulator.durable.core.identity import FunctionKind
from emulator.durable.core.replay.actions import Answer
from emulator.durable.core.replay.diagnostics import Diagnostic
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
from emulator.durable.tracing.writing import orchestrator
from emulator.extensions.durable.functions import DurableFunctions
from emulator.extensions.durable.http_activity import HttpActivity
from emulator.extensions.durable.protocol import activities, entities, orchestrators
from emulator.extensions.newtonsoft import JsonReaderError
from emulator.host.invoker import BindingFailed, FunctionTimedOut
from emulator.instant import Instant
from emulator.worker.port import FunctionFailed, Returned, WorkerError

_log = logging.getLogger(__name__)

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class FunctionsExecutor:
    """Implements the engine's port Executor."""

    def __init__(
        self, functions: DurableFunctions, http: HttpActivity, options: DurableTaskOptions, *, clock: Clock
    ) -> None:
        self._functions = functions
        self._http = http
        self._clock = clock
        self._settings = ReplaySettings(
            missing=functions.missing,
            default_version=options.default_version,
            max_actions=options.max_orchestration_actions,
            reorder_window=options.entity_message_reorder_window,
            http_poll_interval=options.http_settings.default_async_request_sleep_time,
        )

    # Orchestrators ---------------------------------------------------------------------------------------------

    async def orchestrate(self, request: OrchestratorRequest) -> OrchestratorResult:
        """Call the function with the whole history, and find out what is new in its answer."""
        answer = await self._answer(request)
        replayed = replay(
            request.past,
            request.new,
            answer,
            started=request.started,
            settings=self._settings,
            wall_clock=Instant.of(self._clock.now()),
        )
        self._pass_on(replayed.remarks, request)
        return OrchestratorResult(
            decisions=replayed.decisions,
            custom_status=answer.custom_status,
            played=replayed.played,
            story=replayed.story,
        )

    async def _answer(self, request: OrchestratorRequest) -> Answer:
        name = request.started.name
        missing = self._functions.missing(FunctionKind.ORCHESTRATOR, name)
        if missing is not None:
            return orchestrators.cannot_run(missing)
        poll_interval = self._settings.http_poll_interval
        try:
            context = orchestrators.context_text(request, http_poll_interval=poll_interval)
            returned = await self._functions.invoke(FunctionKind.ORCHESTRATOR, name, context)
        except JsonReaderError:
            # The extension fails before it calls the function, and this is all that it says.
            return orchestrators.cannot_run(
                f"One or more errors occurred. (Exception while executing function: {name})"
            )
        except FunctionFailed as failure:
            return orchestrators.answer_of_failure(failure)
        except (FunctionTimedOut, BindingFailed, WorkerError) as error:
            raise WorkAborted(str(error)) from error
        return orchestrators.answer_of(_text(returned))

    def _pass_on(self, remarks: Sequence[Diagnostic], request: OrchestratorRequest) -> None:
        """Tell the app's author."""
        name = request.started.name
        for remark in remarks:
            where = self._functions.source(FunctionKind.ORCHESTRATOR, name) if remark.level == "error" else None
            function = orchestrator(request.instance.instance_id, name)
            _log.log(_LEVELS[remark.level], "%s%s: %s", function, f" ({where})" if where else "", remark.text)

    # Activities ------------------------------------------------------------------------------------------------

    async def act(self, request: ActivityRequest) -> ActivitySucceeded | ActivityFailed:
        name = request.name
        if name == HTTP_ACTIVITY:
            return await self._http.act(request)
        if self._functions.missing(FunctionKind.ACTIVITY, name) is not None:
            return activities.failure_without_details(name, f"Activity function '{name}' does not exist.")
        try:
            value = activities.trigger_value(request.input)
            returned = await self._functions.invoke(FunctionKind.ACTIVITY, name, value)
        except FunctionFailed as failure:
            return activities.failure_of(name, failure)
        except (FunctionTimedOut, BindingFailed, activities.UnreadableInput) as error:
            return activities.failure_without_details(name, str(error))
        except WorkerError as error:
            raise WorkAborted(str(error)) from error
        return ActivitySucceeded(activities.result_of(returned.value))

    # Entities --------------------------------------------------------------------------------------------------

    async def operate(self, batch: EntityBatch) -> EntityBatchResult:
        """A batch that fails as a whole is not committed and comes again; only a time-out is an answer."""
        missing = self._functions.missing(FunctionKind.ENTITY, batch.entity.name)
        if missing is not None:
            raise WorkAborted(missing)
        try:
            returned = await self._functions.invoke(FunctionKind.ENTITY, batch.entity.name, entities.batch_text(batch))
            return entities.result_of(_text(returned), batch)
        except FunctionTimedOut as error:
            return entities.all_failed(batch, str(error))
        except (WorkerError, BindingFailed, entities.UnreadableAnswer) as error:
            raise WorkAborted(str(error)) from error


def _text(returned: Returned) -> str | None:
    """What the function returned, as text. The SDK answers with JSON text; the converter marks it as such."""
    value = None if returned.value is None else returned.value.value
    return value if value is None or isinstance(value, str) else str(value)
