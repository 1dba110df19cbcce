"""What an app's author meets: small apps with the real SDK, in virtual time, and what the log says about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from emulator.testing import start
from tests.testing.apps import write_app

HOST_RETRY = "AzureFunctionsJobHost__retry__"

FLAKY = """
calls = []

@app.orchestration_trigger(context_name="context")
def flaky(context):
    calls.append("flaky")
    yield context.call_activity("charge")

@app.retry(strategy="fixed_delay", max_retry_count="5", delay_interval="00:00:01")
@app.activity_trigger(input_name="nothing")
def charge(nothing):
    calls.append("charge")
    raise ValueError("no money")

@app.route(route="calls")
def count(req: func.HttpRequest) -> str:
    return " ".join(calls)
"""


async def test_retry_policies_are_not_for_durable_functions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An orchestrator must not run twice in an episode, and activities are retried by their orchestrator."""
    policy = {"strategy": "fixedDelay", "maxRetryCount": "2", "delayInterval": "00:00:01"}
    settings = {f"{HOST_RETRY}{name}": value for name, value in policy.items()}
    async with start(write_app(tmp_path, FLAKY), settings=settings, check_determinism=False) as app:
        status = await app.wait(await app.client.start_new("flaky"))
        assert status.runtime_status.name == "Failed"
        assert (await app.get("/api/calls")).text == "flaky charge flaky"
    assert "The retry policy of the function 'charge' is not applied" in caplog.text
