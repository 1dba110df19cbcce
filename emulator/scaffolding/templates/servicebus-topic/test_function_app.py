from emulator.testing import SyncAppUnderTest


def test_receive_topic_gets_a_message(azemu: SyncAppUnderTest) -> None:
    azemu.invoke("receive_topic", "hello", metadata={"MessageId": "7"})
    assert "Message 7: hello" in [line.message for line in azemu.logs]
