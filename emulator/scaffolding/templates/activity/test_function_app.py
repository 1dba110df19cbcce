from emulator.testing import SyncAppUnderTest


def test_act_returns_a_greeting(azemu: SyncAppUnderTest) -> None:
    assert azemu.invoke("act", "Ada").value == "Hello, Ada."
