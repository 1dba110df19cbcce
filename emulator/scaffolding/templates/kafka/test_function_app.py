from emulator.testing import SyncAppUnderTest


def test_read_kafka_gets_an_event(azemu: SyncAppUnderTest) -> None:
    azemu.invoke("read_kafka", "21.5")
    assert any("Reading:" in line.message and "21.5" in line.message for line in azemu.logs)
