from emulator.testing import SyncAppUnderTest


def test_follow_rows_gets_changes(azemu: SyncAppUnderTest) -> None:
    azemu.invoke("follow_rows", [{"Operation": 0, "Item": {"Id": 7}}])
    assert "Operation 0 on row {'Id': 7}" in [line.message for line in azemu.logs]
