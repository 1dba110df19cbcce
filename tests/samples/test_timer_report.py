"""The sample timer-report: reports of a week, and one that was missed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from emulator.testing import AppUnderTest, start

SAMPLE = Path(__file__).parents[2] / "samples" / "timer-report"
UTC_SETTINGS = {"TZ": "UTC", "AzureFunctionsWebHost__hostid": "timer-report"}


def reports(app: AppUnderTest) -> list[str]:
    return [line.message for line in app.logs if line.message.startswith("Sales")]


async def test_a_report_on_every_workday_and_one_that_was_missed(tmp_path: Path) -> None:
    store = tmp_path / "storage.db"
    # A Friday.
    friday = datetime(2026, 11, 27, 12, tzinfo=UTC)
    async with start(SAMPLE, storage=store, now=friday, settings=UTC_SETTINGS) as app:
        for sale in ({"product": "tea", "amount": 4.5}, {"product": "tea", "amount": 1}):
            assert (await app.post("/api/sales", json=sale)).status == 202
        assert (await app.post("/api/sales", json={"product": "tea", "amount": -1})).status == 400
        await app.advance(days=5)
        assert reports(app) == ['Sales: {"tea": 5.5}', "Sales: {}", "Sales: {}"]
    thursday = datetime(2026, 12, 3, 12, tzinfo=UTC)
    async with start(SAMPLE, storage=store, now=thursday, settings=UTC_SETTINGS) as app:
        await app.advance(minutes=1)
        assert reports(app) == ["Sales (late): {}"]
