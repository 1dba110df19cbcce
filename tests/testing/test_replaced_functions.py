"""Functions of libraries that a test has replaced: the app sees the replacements, and the host does not."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import pytest

from emulator.testing import start_sync
from tests.running_apps import DURABLE_APP, write_app

APP = """
import json, random, uuid
import aiohttp

@app.route("tickets", methods=["POST"])
@app.durable_client_input(client_name="client")
async def open_ticket(req: func.HttpRequest, client) -> func.HttpResponse:
    instance = await client.start_new("ticket", client_input=str(uuid.uuid4()))
    return client.create_check_status_response(req, instance)

@app.orchestration_trigger(context_name="context")
def ticket(context):
    number = context.get_input()
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    first = yield context.call_activity("reserve", number)
    return (yield context.call_activity("reserve", first))

@app.activity_trigger(input_name="number")
async def reserve(number: str) -> str:
    await asyncio.sleep(0.01)
    return number + "!"

@app.route("seen")
async def seen(req: func.HttpRequest) -> str:
    await asyncio.sleep(86400)
    try:
        async with aiohttp.ClientSession() as session, session.get("http://weather.test") as response:
            weather = response.status
    except ConnectionError as error:
        weather = str(error)
    return f"{uuid.uuid4().int} {random.random():.3f} {weather}"
"""
FIXED = uuid.UUID(int=7)


@pytest.fixture
def replace_functions(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    async def no_sleep(*_: object) -> None:
        pass

    async def no_network(*_: object, **__: object) -> Any:
        raise ConnectionError("no network")

    def replace() -> None:
        monkeypatch.setattr(uuid, "uuid4", lambda: FIXED)
        monkeypatch.setattr(random, "random", lambda: 0.25)
        monkeypatch.setattr(random, "uniform", mock.Mock(side_effect=AssertionError("uniform")))
        monkeypatch.setattr(time, "monotonic", lambda: 5.0)
        monkeypatch.setattr(time, "time", lambda: 5.0)
        monkeypatch.setattr(asyncio, "sleep", no_sleep)
        monkeypatch.setattr(aiohttp.ClientSession, "_request", no_network)

    return replace


@pytest.mark.parametrize("when", ["before the start", "after the start"])
@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_app_sees_them_and_the_host_does_not(
    tmp_path: Path, replace_functions: Callable[[], None], when: str, clock: Any
) -> None:
    app = write_app(tmp_path, DURABLE_APP, APP)
    if when == "before the start":
        replace_functions()
    with start_sync(app, clock=clock) as azemu:
        if when == "after the start":
            replace_functions()
        assert azemu.get("/api/seen").text == "7 0.250 no network"
        instance = azemu.post("/api/tickets").json()["id"]
        if clock == "virtual":
            assert azemu.wait(instance).output == f"{FIXED}!!"
        else:
            assert azemu.client.get_status(instance).name == "ticket"


def test_functions_of_json_fail_for_the_app_only(tmp_path: Path) -> None:
    code = """
@app.route("parse")
def parse(req: func.HttpRequest) -> str:
    import json
    return json.loads("1")
"""
    with start_sync(write_app(tmp_path, DURABLE_APP, code)) as azemu:
        with mock.patch("json.loads", side_effect=ValueError("not today")), mock.patch("json.dumps"):
            assert azemu.get("/api/parse").status == 500
            assert azemu.get("/admin/host/status").json()["state"] == "Running"
        assert "ValueError: not today" in azemu.console


def test_app_seeds_the_random_numbers_for_itself(tmp_path: Path) -> None:
    random.seed(42)
    expected = [random.random() for _ in range(2)]
    code = """
@app.route("draw")
def draw(req: func.HttpRequest) -> str:
    import random
    return repr(random.random())
"""
    with start_sync(write_app(tmp_path, DURABLE_APP, APP, code)) as azemu:
        random.seed(42)
        first = azemu.get("/api/draw").text
        azemu.wait(azemu.post("/api/tickets").json()["id"])
        assert [float(first), float(azemu.get("/api/draw").text)] == expected


def test_time_that_stands_still_for_a_whole_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Frozen:
            return cls(2020, 1, 1, tzinfo=tz)

    # As freezegun does, in all modules that have the class.
    import emulator.clock

    for module in (__import__("datetime"), emulator.clock):
        monkeypatch.setattr(module, "datetime", Frozen)
    code = """
@app.route("now")
def now(req: func.HttpRequest) -> str:
    import datetime
    return str(datetime.datetime.now().year)
"""
    with start_sync(write_app(tmp_path, DURABLE_APP, code), clock="real") as azemu:
        assert azemu.get("/api/now").text == "2020"
        assert azemu.now.year >= 2025
        assert azemu.now.tzinfo is UTC
