"""The extensions of a host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running_apps import run_app

APP = """
import azure.functions as func

app = func.FunctionApp()
"""


async def test_each_extension_reads_its_section_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sections = {
        "blobs": "poisonBlobTreshold",
        "durableTask": "maxConcurentActivityFunctions",
        "queues": "batchSise",
    }
    host = {"extensions": {name: {key: 3} for name, key in sections.items()}}
    async with run_app(tmp_path, APP, host=host):
        pass
    for key in sections.values():
        lines = [record.getMessage() for record in caplog.records if key in record.getMessage()]
        assert len(lines) == 1, lines
