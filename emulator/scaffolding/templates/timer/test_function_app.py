from emulator.testing import SyncAppUnderTest


def test_clean_up_runs_every_five_minutes(azemu: SyncAppUnderTest) -> None:
    azemu.advance(minutes=15)
    runs = [line for line in azemu.logs if line.function == "clean_up" and line.message == "The timer has fired."]
    assert len(runs) == 3
