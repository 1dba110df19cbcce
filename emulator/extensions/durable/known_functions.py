"""What the management API wants to know of the app's functions."""

from __future__ import annotations

from typing import Protocol


class KnownFunctions(Protocol):
    def why_no_orchestrator(self, name: str) -> str | None:
        """None if there is such an orchestrator function, else why not, with the names that there are."""

    def why_no_entity(self, name: str) -> str | None:
        """The same for entity functions."""
