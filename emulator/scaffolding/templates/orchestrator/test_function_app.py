from emulator.testing import SyncAppUnderTest


def test_orchestrate_returns_its_input(azemu: SyncAppUnderTest) -> None:
    instance = azemu.client.start_new("orchestrate", client_input={"number": 7})
    assert azemu.wait(instance).output == {"input": {"number": 7}}
