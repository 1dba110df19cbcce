"""Input that `get_input()` of azure-functions-durable cannot read: JSON that does not contain JSON text in a string.

The SDK's own client encodes an input twice, so that an orchestrator or entity decodes it once more than other clients
expect. Source: azure-functions-durable 1.7.0, DurableOrchestrationContext.get_input, DurableEntityContext.get_input.
"""

from __future__ import annotations

from typing import Any

from emulator import bound_json as json

_MAX_EXAMPLE = 200


def start_input_problem(value: Any) -> str | None:
    """Return why `get_input()` of an orchestrator fails for a parsed input, and what to send; None: it works."""
    # The SDK writes an object back to text before it reads it, so only objects can be sent as they are.
    return None if isinstance(value, dict) else _problem(value, "Send a JSON object, or a")


def operation_input_problem(value: Any) -> str | None:
    """Return why `get_input()` of an entity fails for a parsed input, and what to send; None: it works."""
    # Unlike an orchestrator, an entity cannot read objects either.
    return _problem(value, "Send a")


def _problem(value: Any, advice: str) -> str | None:
    if value is None or _contains_json(value):
        return None
    if isinstance(value, str):
        kind, error = "JSON string, whose text is not JSON", "JSONDecodeError"
    else:
        kind, error = f"JSON {type(value).__name__}", "TypeError"
    encoded = json.dumps(json.dumps(value, ensure_ascii=False, default=str), ensure_ascii=False)
    example = f": {encoded}" if len(encoded) <= _MAX_EXAMPLE else ""
    return (
        f"plain {kind}. get_input() of azure-functions-durable raises {error} for such input, as on Azure. {advice} "
        f"JSON string that contains JSON text{example}"
    )


def _contains_json(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True
