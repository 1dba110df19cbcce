from emulator.testing import SyncAppUnderTest


def test_hello_answers_with_the_name(azemu: SyncAppUnderTest) -> None:
    assert azemu.get("/api/hello").text == "Hello, world."
    assert azemu.get("/api/hello?name=Ada").text == "Hello, Ada."
    assert azemu.post("/api/hello", json={"name": "Grace"}).text == "Hello, Grace."


def test_hello_refuses_a_body_that_is_not_json(azemu: SyncAppUnderTest) -> None:
    assert azemu.post("/api/hello", data="{").status == 400
