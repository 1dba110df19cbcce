from emulator.testing import SyncAppUnderTest


def test_export_shows_its_progress(azemu: SyncAppUnderTest) -> None:
    instance = azemu.client.start_new("export", client_input={"rows": 3})
    status = azemu.wait(instance)
    assert status.output == {"rows": 3}
    assert status.custom_status == {"written": 3, "of": 3}


def test_export_answers_at_once_when_there_is_little_to_do(azemu: SyncAppUnderTest) -> None:
    answer = azemu.post("/api/export", json={"rows": 0})
    assert (answer.status, answer.json()) == (200, {"rows": 0})
