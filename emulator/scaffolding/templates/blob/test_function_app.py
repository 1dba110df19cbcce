from emulator.testing import SyncAppUnderTest


def test_process_blob_writes_another_blob(azemu: SyncAppUnderTest) -> None:
    azemu.upload("uploads/greeting.txt", "hello")
    azemu.upload("uploads/picture.png", b"\x89PNG")
    azemu.settle()
    assert azemu.blob("results/greeting.txt") == b"HELLO"
    assert azemu.blobs("results") == ["greeting.txt"]
