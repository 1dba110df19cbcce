"""App settings that switch features of the worker on. Source: azure-functions-python-worker, utils/common.py."""

from __future__ import annotations

# More words than the host accepts.
_ON = frozenset(("1", "true", "t", "yes", "y"))


def is_on(value: str | None) -> bool:
    """Return whether the value of a setting switches its feature on. `value` None: the setting is missing."""
    return (value or "").strip().lower() in _ON
