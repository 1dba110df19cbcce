"""A storage server that does not answer is the cause of everything else."""

from __future__ import annotations

from pathlib import Path

from emulator.accounts import open_accounts
from emulator.clock import SystemClock
from emulator.config.start import StartOptions, configure
from emulator.diagnosis.finding import Cause
from emulator.diagnosis.opening import open_diagnosis
from emulator.durable.options import DurableTaskOptions
from tests.running_apps import write_app

# No server listens at the discard port.
_NOWHERE = ";".join(
    [
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5",
        *(f"{service}Endpoint=http://127.0.0.1:9/devstoreaccount1" for service in ("Blob", "Queue", "Table")),
    ]
)


async def test_storage_that_does_not_answer_is_named(tmp_path: Path) -> None:
    clock = SystemClock()
    settings = {"AzureWebJobsStorage": _NOWHERE}
    chosen = StartOptions(app=write_app(tmp_path), port=0, settings=settings, create_host_json=False)
    configuration = configure(chosen, {})
    async with open_accounts(configuration.settings, clock, log_outages=False) as accounts:
        found = await open_diagnosis(DurableTaskOptions(), accounts, clock).why("i1")
    assert found.finding.cause is Cause.STORAGE_UNREACHABLE
    assert found.sentence.startswith("cannot be read, because the storage does not answer: ")
    assert "127.0.0.1:9" in found.sentence
