"""Retries of a host that stops."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from emulator.app import open_app
from emulator.config.start import StartOptions
from tests.running_apps import HTTP_APP, write_app
from tests.waiting import logged

FLAKY = """
@app.route(route="flaky")
@app.retry(strategy="fixed_delay", max_retry_count="3", delay_interval="01:00:00")
def flaky(req: func.HttpRequest):
    raise ValueError("down")
"""


async def test_a_host_that_stops_does_not_wait_for_retries(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = StartOptions(app=write_app(tmp_path / "app", HTTP_APP, FLAKY), port=0, storage="builtin:memory")
    async with aiohttp.ClientSession() as session:
        async with open_app(options, drain_seconds=600) as app:
            request = asyncio.create_task(session.get(f"http://127.0.0.1:{app.port}/api/flaky"))
            await logged(caplog, "Executed 'Functions.flaky' (Failed")
        answer = await request
        assert answer.status == 500
        answer.close()
    assert "Invocation cancelled - exiting retry loop." in caplog.text
