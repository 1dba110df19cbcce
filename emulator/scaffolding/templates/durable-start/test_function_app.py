from emulator.testing import SyncAppUnderTest


def test_start_any_refuses_an_orchestrator_that_does_not_exist(azemu: SyncAppUnderTest) -> None:
    answer = azemu.post("/api/start_any/missing", json={"number": 7})
    assert answer.status == 400
    assert "missing" in answer.text
