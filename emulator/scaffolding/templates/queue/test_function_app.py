from emulator.testing import SyncAppUnderTest


def test_process_message_answers_through_another_queue(azemu: SyncAppUnderTest) -> None:
    azemu.put_message("work-items", "hello")
    azemu.settle()
    assert azemu.messages("work-results") == ["HELLO"]
