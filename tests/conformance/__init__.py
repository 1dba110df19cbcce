"""Conformance cases of the Durable Functions HTTP API, with their runner and the app that they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.running_apps import RunningApp

CONFORMANCE_APP: Final = Path(__file__).parent / "conformance_app"


async def client_binding(app: RunningApp) -> dict[str, Any]:
    """Return the value that the conformance app gets for its durableClient input."""
    payload: dict[str, Any] = (await app.get("/api/binding")).json()
    return payload
