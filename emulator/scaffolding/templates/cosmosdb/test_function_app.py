from emulator.testing import SyncAppUnderTest


def test_follow_changes_gets_documents(azemu: SyncAppUnderTest) -> None:
    azemu.invoke("follow_changes", [{"id": "7"}, {"id": "8"}])
    messages = [line.message for line in azemu.logs if line.function == "follow_changes"]
    assert messages == ["Document 7 has changed.", "Document 8 has changed."]
