from datetime import timedelta

from emulator.testing import SyncAppUnderTest


def test_watch_ends_when_the_job_is_done(azemu: SyncAppUnderTest) -> None:
    states = iter(["running", "running", "done"])
    azemu.replace("watch_look", lambda job: next(states))
    begin = azemu.now
    started = azemu.post("/api/watch", json={"job": "7", "hours": 6})
    assert azemu.wait(started.json()["id"]).output == "done"
    assert timedelta(minutes=20) <= azemu.now - begin < timedelta(minutes=21)
    azemu.replace("watch_look", None)


def test_watch_gives_up_after_some_hours(azemu: SyncAppUnderTest) -> None:
    started = azemu.post("/api/watch", json={"job": "8", "hours": 1})
    assert azemu.wait(started.json()["id"]).output == "timed out"
