"""What an entity function is given, and what it answers.

Source: durable-extension, Listener/TaskEntityShim.cs (OutOfProc); azure-functions-durable 1.7.0, entity.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from emulator.durable.core.identity import EntityId
from emulator.durable.executor import EntityBatch, EntityBatchResult, EntitySignal, OperationResult


class UnreadableAnswer(Exception):
    """The function returned something that is not an answer to its batch."""


def batch_text(batch: EntityBatch) -> str:
    """The trigger's value. The SDK accepts no other members."""
    return json.dumps(
        {
            "self": {"name": batch.entity.name, "key": batch.entity.key},
            "exists": batch.exists,
            "state": batch.state,
            "batch": [
                {"name": each.name, "input": each.input, "isSignal": each.is_signal, "id": each.id}
                for each in batch.operations
            ],
        },
        indent=2,
        ensure_ascii=False,
    )


def result_of(returned: str | None, batch: EntityBatch) -> EntityBatchResult:
    """Raises UnreadableAnswer."""
    try:
        answer = json.loads(returned or "")
        results = [_result(each) for each in answer["results"]]
        exists, state = bool(answer["entityExists"]), answer["entityState"]
        signals = _signals(answer.get("signals") or ())
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableAnswer(f"The entity function's answer cannot be read ({error!r}): {returned}") from error
    if len(results) != len(batch.operations):
        raise UnreadableAnswer(
            f"The entity function answered {len(results)} operations, but its batch had {len(batch.operations)}."
        )
    return EntityBatchResult(exists=exists, state=state, results=results, signals=signals)


def _result(found: Mapping[str, Any]) -> OperationResult:
    duration = found.get("duration")
    return OperationResult(
        found["result"], bool(found["isError"]), duration if isinstance(duration, int | float) else 0
    )


def all_failed(batch: EntityBatch, message: str) -> EntityBatchResult:
    """Every operation gets the same plain text as its error; the state stays."""
    results = [OperationResult(message, is_error=True) for _ in batch.operations]
    return EntityBatchResult(exists=batch.exists, state=batch.state, results=results)


def _signals(found: Sequence[Mapping[str, Any]]) -> Sequence[EntitySignal]:
    return [
        EntitySignal(EntityId(each["target"]["name"].lower(), each["target"]["key"]), each["name"], each.get("input"))
        for each in found
    ]
