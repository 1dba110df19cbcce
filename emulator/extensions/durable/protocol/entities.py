"""JSON of entity functions: the trigger's value with a batch of operations, and the response.

Source: durable-extension, Listener/TaskEntityShim.cs (OutOfProc); azure-functions-durable 1.7.0, entity.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator import bound_json as json
from emulator.durable.core.identity import EntityId
from emulator.durable.executor import EntityBatch, EntityBatchResult, EntitySignal, OperationResult


class UnreadableResponse(Exception):
    """The function's return value is not a response to its batch."""


def batch_text(batch: EntityBatch) -> str:
    """Return the trigger's value. The SDK fails if there are other members."""
    return json.dumps(
        {
            "self": {"name": batch.entity.name, "key": batch.entity.key},
            "exists": batch.exists,
            "state": batch.state,
            "batch": [
                {
                    "name": operation.name,
                    "input": operation.input,
                    "isSignal": operation.is_signal,
                    "id": operation.id,
                }
                for operation in batch.operations
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def result_of(returned: str | None, batch: EntityBatch) -> EntityBatchResult:
    """Read the function's response. Raises UnreadableResponse."""
    try:
        response = json.loads(returned or "")
        results = [_result(members) for members in response["results"]]
        exists, state = bool(response["entityExists"]), response["entityState"]
        signals = [
            EntitySignal(
                # Entity names are compared without case; the lower-case name is part of the instance id.
                EntityId(signal["target"]["name"].lower(), signal["target"]["key"]),
                signal["name"],
                signal.get("input"),
                signal.get("requestId"),
            )
            for signal in response.get("signals") or ()
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableResponse(f"The entity function's response cannot be read ({error!r}): {returned}") from error
    # A result is sent to the caller of the operation at the same position, so none may be missing.
    if len(results) != len(batch.operations):
        raise UnreadableResponse(
            f"The entity function returned {len(results)} results for a batch of {len(batch.operations)} operations."
        )
    return EntityBatchResult(exists=exists, state=state, results=results, signals=signals)


def _result(members: Mapping[str, Any]) -> OperationResult:
    # Only shown in the log, so an invalid value does not fail the batch.
    duration = members.get("duration")
    duration_ms = duration if isinstance(duration, int | float) else 0
    return OperationResult(members["result"], bool(members["isError"]), duration_ms)


def all_failed(batch: EntityBatch, message: str) -> EntityBatchResult:
    """Return a result in which every operation failed with the same text and the state is unchanged."""
    results = [OperationResult(message, is_error=True) for _ in batch.operations]
    return EntityBatchResult(exists=batch.exists, state=batch.state, results=results)
