from emulator.testing import SyncAppUnderTest


def test_load_ahead_runs(azemu: SyncAppUnderTest) -> None:
    azemu.invoke("load_ahead")
    assert "This worker is warm." in [line.message for line in azemu.logs]
