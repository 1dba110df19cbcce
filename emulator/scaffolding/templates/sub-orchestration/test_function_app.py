from emulator.testing import SyncAppUnderTest


def test_rollout_runs_an_orchestration_for_each_device(azemu: SyncAppUnderTest) -> None:
    instance = azemu.post("/api/rollout", json=["lamp", "door"]).json()["id"]
    assert azemu.wait(instance).output == {"lamp": "lamp works", "door": "door works"}
    assert azemu.client.get_status(f"{instance}:lamp").output == "lamp works"
