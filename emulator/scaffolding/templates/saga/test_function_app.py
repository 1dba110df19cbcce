from emulator.testing import SyncAppUnderTest


def test_trip_is_booked(azemu: SyncAppUnderTest) -> None:
    instance = azemu.post("/api/trip", json={"parts": ["flight", "hotel"]}).json()["id"]
    assert azemu.wait(instance).output["booked"] == ["flight", "hotel"]


def test_trip_that_fails_is_cancelled_in_reverse_order(azemu: SyncAppUnderTest) -> None:
    instance = azemu.post("/api/trip", json={"parts": ["flight", "hotel", "moon"]}).json()["id"]
    result = azemu.wait(instance).output
    assert (result["cancelled"], result["failed"]) == (["hotel", "flight"], "moon")
    assert "Nobody flies there." in result["reason"]
