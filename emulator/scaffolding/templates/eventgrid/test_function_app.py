from emulator.testing import SyncAppUnderTest


def test_handle_event_gets_an_event(azemu: SyncAppUnderTest) -> None:
    azemu.send_event("handle_event", {"eventType": "Created", "subject": "orders/7", "data": {"sum": 12}})
    assert "Event Created about orders/7: {'sum': 12}" in [line.message for line in azemu.logs]
