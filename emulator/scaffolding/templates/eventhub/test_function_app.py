from emulator.testing import SyncAppUnderTest


def test_read_event_gets_an_event(azemu: SyncAppUnderTest) -> None:
    azemu.invoke("read_event", "21.5")
    assert "Reading: 21.5" in [line.message for line in azemu.logs]
