from emulator.testing import SyncAppUnderTest


def test_the_app_starts(azemu: SyncAppUnderTest) -> None:
    assert azemu.get("/").status == 200
