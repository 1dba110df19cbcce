from emulator.testing import SyncAppUnderTest


def test_counter_adds_for_each_key(azemu: SyncAppUnderTest) -> None:
    for key, number in (("a", 3), ("a", 4), ("b", 1)):
        assert azemu.post(f"/api/counter/{key}", json=number).status == 202
    azemu.run_until_idle()
    assert azemu.get("/api/counter/a").json() == 7
    assert azemu.get("/api/counter/b").json() == 1
    assert azemu.get("/api/counter/c").json() == 0
