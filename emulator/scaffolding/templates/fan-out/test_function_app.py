from emulator.testing import SyncAppUnderTest


def test_word_count_adds_the_counts_of_all_texts(azemu: SyncAppUnderTest) -> None:
    started = azemu.post("/api/word_count", json=["one", "one two", "one two three"])
    assert azemu.wait(started.json()["id"]).output == 6
