from emulator.testing import SyncAppUnderTest


def test_receive_message_gets_a_message(azemu: SyncAppUnderTest) -> None:
    azemu.invoke("receive_message", "hello", metadata={"DeliveryCount": 2})
    assert "Delivery 2: hello" in [line.message for line in azemu.logs]
