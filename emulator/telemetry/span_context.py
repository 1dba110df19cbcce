"""W3C trace context: the identity of a span, and the span in which the running task works.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

# version-trace-span-flags. Later versions may have more parts.
_TRACE_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED: Final = 1


@dataclass(frozen=True, slots=True)
class SpanContext:
    """The identity of a span. `trace_id`: 32 hex digits; `span_id`: 16. `sampled`: whether its trace is recorded."""

    trace_id: str
    span_id: str
    sampled: bool = True
    trace_state: str = ""

    @classmethod
    def parse(cls, trace_parent: str | None, trace_state: str | None = None) -> SpanContext | None:
        """Read the header `traceparent`; None if it is missing or invalid. All versions are accepted but ff."""
        match = _TRACE_PARENT.fullmatch(trace_parent or "")
        if match is None:
            return None
        version, trace_id, span_id, flags, more = match.groups()
        # Ids of zeros stand for no span. Taken for one, all requests of such a caller would be a single trace.
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), trace_state or "")

    @property
    def trace_parent(self) -> str:
        """The value of the header `traceparent`."""
        # The version of what this module writes, whatever version the parent had.
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


_current: Final[ContextVar[SpanContext | None]] = ContextVar("azemu's current span", default=None)


def current_span() -> SpanContext | None:
    """Return the span in which the running task works; None: it works in no span, or traces are off."""
    return _current.get()


@contextmanager
def working_in(context: SpanContext | None) -> Iterator[None]:
    """Make a span the current one of the running task while entered."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)
