"""Exchanges between a host and azure-functions-durable 1.7.0, one set of files per orchestrator episode.

README.md in this folder describes the files.
"""

from pathlib import Path
from typing import Final

from tests.recordings.archive import Archive

EXAMPLES: Final = Archive(Path(__file__).parent / "examples.tar.gz")
"""Files `SCENARIO/N.context.json`, `N.result.json` or `N.error.txt`, and `N.host.json`."""
