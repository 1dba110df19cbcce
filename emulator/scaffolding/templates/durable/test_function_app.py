from emulator.testing import SyncAppUnderTest


def test_greetings_are_said_in_their_order(azemu: SyncAppUnderTest) -> None:
    started = azemu.post("/api/greetings")
    assert started.status == 202
    status = azemu.wait(started.json()["id"])
    assert status.output == ["Hello, Tokyo.", "Hello, Seattle.", "Hello, London."]
