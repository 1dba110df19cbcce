from emulator.testing import SyncAppUnderTest


def test_note_is_stored_as_a_row(azemu: SyncAppUnderTest) -> None:
    added = azemu.post("/api/note", json={"text": "buy milk"})
    assert added.status == 201
    assert azemu.get("/api/note").json() == [{"id": added.json()["id"], "text": "buy milk"}]
    [row] = azemu.rows("Notes")
    assert row["text"] == "buy milk"


def test_note_needs_a_text(azemu: SyncAppUnderTest) -> None:
    assert azemu.post("/api/note", json={}).status == 400
