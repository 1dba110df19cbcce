"""Trace of an orchestrator function: a replay beside its invocations that shows where its code waits.

The function runs on the history as in every episode. What it logs is dropped, and its response is returned to the
caller only, so that looking at an instance changes nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from emulator.ids import new_id
from emulator.worker.failures import function_failed
from emulator.worker.port import FunctionFailed, Invocation
from emulator.worker.user_logs import UserLogs
from emulator.worker.yields import Yields


@dataclass(frozen=True, slots=True)
class Traced:
    """Outcome of a trace. `response`: what the SDK returned; None if the function has raised `failure`."""

    response: str | None
    failure: FunctionFailed | None
    yields: Yields


async def trace(
    user_function: Callable[..., Any], context: str, name: str, logs: UserLogs, *, seconds: float
) -> Traced | None:
    """Run an orchestrator of the SDK, as its author has written it, on the history in `context`.

    `name`: of the function. None: it has not returned within `seconds` of real time. Its thread is given up then.
    """
    # A dependency of the app, not of azemu.
    from azure.durable_functions import Orchestrator

    # Observes the generator, which knows the line of each yield.
    yields = Yields()
    handle: Any = Orchestrator.create(yields.observed(user_function))
    invocation = Invocation(id=new_id(), function=name, inputs={}, on_log=lambda _record: None)
    outcome: Future[str | FunctionFailed] = Future()

    def run() -> None:
        with logs.invocation(invocation):
            try:
                outcome.set_result(handle(context))
            except BaseException as error:
                # Not only Exception: a SystemExit of user code must not leave the caller waiting.
                outcome.set_result(function_failed(error))

    # A thread of its own: the function may never return, and the threads of the pool are for invocations.
    threading.Thread(target=contextvars.Context().run, args=(run,), name="azemu trace", daemon=True).start()
    try:
        # On another thread, because the loop of a test may have virtual time, in which the limit would mean nothing.
        result = await asyncio.to_thread(outcome.result, seconds)
    except TimeoutError:
        return None
    if isinstance(result, FunctionFailed):
        return Traced(None, result, yields)
    return Traced(result, None, yields)
