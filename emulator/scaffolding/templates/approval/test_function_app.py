from datetime import timedelta

from emulator.testing import SyncAppUnderTest


def test_approval_ends_with_the_decision(azemu: SyncAppUnderTest) -> None:
    instance = azemu.post("/api/approval", json={"title": "Budget"}).json()["id"]
    azemu.run_until_idle(limit=timedelta(0))
    assert azemu.post(f"/api/approval/{instance}/decision", json=True).status == 202
    assert azemu.wait(instance).output == "approved"


def test_approval_is_escalated_after_three_days(azemu: SyncAppUnderTest) -> None:
    begin = azemu.now
    instance = azemu.post("/api/approval", json={"title": "Budget"}).json()["id"]
    assert azemu.wait(instance).output == "escalated"
    assert azemu.now - begin >= timedelta(days=3)
