"""Conformance cases of the Durable Functions HTTP API, with their runner and the app that they need."""

from pathlib import Path
from typing import Final

CONFORMANCE_APP: Final = Path(__file__).parent / "conformance_app"
