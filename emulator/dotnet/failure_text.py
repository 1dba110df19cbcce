"""Texts of failed functions for people: without the exceptions of .NET in JSON that the stored texts contain.

The worker of Python puts the exception of an activity into the text of the orchestrator's failure, once for each
level of sub-orchestrations, and every copy has the traceback escaped in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from emulator import bound_json as json

_BEGIN: Final = '{"$type":"System.'
# The SDK appends the state of the orchestrator, which contains the text once more.
_ORCHESTRATOR_STATE: Final = "$OutOfProcData$:"
# The traceback of the code in the worker; `StackTraceString` is that of .NET.
_TRACES: Final = ("RemoteStackTrace", "StackTraceString")


def readable_failure(text: str) -> str:
    """Return a failure with the tracebacks of its exceptions as lines, each exception once, instead of their JSON."""
    if _BEGIN not in text:
        return text
    text = "\n".join(line for line in text.split("\n") if not line.startswith(_ORCHESTRATOR_STATE))
    parts: list[str] = []
    seen: set[str] = set()
    start = 0
    while (begin := text.find(_BEGIN, start)) >= 0:
        parts.append(text[start:begin].rstrip(" "))
        try:
            exception, start = json.JSONDecoder(strict=False).raw_decode(text, begin)
        except (ValueError, RecursionError):
            # It was cut, so that nothing follows it.
            return "".join([*parts, "…"])
        trace = next((trace.rstrip() for trace in _traces(exception) if trace.strip()), "")
        if trace not in seen:
            seen.add(trace)
            parts.append(trace)
    parts.append(text[start:])
    return "\n".join(line.rstrip() for line in "".join(parts).splitlines() if line.strip())


def _traces(exception: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tracebacks of an exception and its causes, the innermost first."""
    inner = exception.get("InnerException")
    if isinstance(inner, dict):
        yield from _traces(inner)
    yield from (exception[name] for name in _TRACES if isinstance(exception.get(name), str))
