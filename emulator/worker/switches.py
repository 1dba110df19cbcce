"""Settings that switch something in the worker on. The official worker knows more words for that than the host."""

from __future__ import annotations

from collections.abc import Mapping

_ON = frozenset(("1", "true", "t", "yes", "y"))


def is_on(settings: Mapping[str, str], name: str) -> bool:
    return settings.get(name, "").lower() in _ON
