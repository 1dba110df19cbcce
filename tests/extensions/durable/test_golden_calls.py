"""The management calls of the recordings, played again against our host with the recordings' app."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from emulator.durable.core.identity import TERMINAL
from tests.extensions.durable.recorded_calls import Call, Normal, differences, hub_of, recorded_calls
from tests.recordings import GOLDEN, RECORDED_APP
from tests.running_apps import OPTION, PROFILE, RunningApp, copy_app, run_app
from tests.sdk_releases import DURABLE, needs
from tests.waiting import eventually

PATIENCE_SECONDS = 30.0
ENDED = frozenset(status.wire_name for status in TERMINAL)

# Two hosts on one hub. How they share it over time: tests/durable/azurestorage/test_recorded_hosts.py.
TWO_HOSTS = {"two_hosts": "true", "two_hosts_blob_leases": "false"}
# No calls at all; how often an idle host asks: tests/durable/azurestorage/test_recorded_hosts.py.
_NOT_HERE = {"idle_three_minutes"}
SCENARIOS = sorted(set(GOLDEN.scenarios) - _NOT_HERE - set(TWO_HOSTS))

# Where we answer better than the real stack on purpose (docs/protocol/durable-orchestration.md, chapter 18, marked B).
BETTER = {
    # 23: the history can be shown although an id was used twice; there 400.
    ("changes_its_mind", "/instances/i1?showHistory=true&showHistoryOutput=true"): 200,
}
# Results of tasks that run side by side, in the order in which they happened to end.
_RACES = re.compile(r"fan_out|any_of|nested_compound")
# Its output names the one that happened to end first.
_WINNER_FIRST = "any_of_activities_then_rest"


@pytest.fixture(params=["memory", pytest.param("azurite", marks=[pytest.mark.azurite, pytest.mark.soak])])
def storage(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("azurite") if request.param == "azurite" else "builtin:memory"


@needs(DURABLE, "1.7.0")  # Recorded with this release.
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_recorded_calls_have_the_recorded_answers(scenario: str, storage: str, tmp_path: Path) -> None:
    calls = recorded_calls(scenario)
    settings = {PROFILE: "e26", f"{OPTION}hubName": hub_of(calls) or "GNameless"}
    async with (
        run_app(copy_app(RECORDED_APP, tmp_path / "app"), settings=settings, storage=storage) as app,
        called_server() as address,
    ):
        replay = Replay(app, scenario, address)
        for call in calls:
            await replay.play(call)


@pytest.mark.parametrize("scenario", TWO_HOSTS)
async def test_what_one_of_two_hosts_was_asked_both_have_done(scenario: str, tmp_path: Path) -> None:
    calls = recorded_calls(scenario)
    settings = {
        PROFILE: "e26",
        f"{OPTION}hubName": hub_of(calls) or "",
        f"{OPTION}storageProvider__useTablePartitionManagement": TWO_HOSTS[scenario],
    }
    storage = f"builtin:{tmp_path / 'storage.db'}"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    async with (
        run_app(copy_app(RECORDED_APP, tmp_path / "first" / "app"), settings=settings, storage=storage) as first,
        run_app(copy_app(RECORDED_APP, tmp_path / "second" / "app"), settings=settings, storage=storage) as second,
        called_server() as address,
    ):
        replay = Replay(first, scenario, address)
        for call in calls:
            await replay.play(call)
        theirs = Replay(second, scenario, address)
        for call in calls:
            await theirs.wait_for_state(call.instance_id or "", frozenset({"Completed"}))


def test_no_recording_is_left_out() -> None:
    assert {*SCENARIOS, *TWO_HOSTS, *_NOT_HERE} == set(GOLDEN.scenarios)
    assert recorded_calls("idle_three_minutes") == []


class Replay:
    """Plays the calls of one scenario in order. Ids and times of both sides are matched over the whole scenario."""

    def __init__(self, app: RunningApp, scenario: str, called_address: str) -> None:
        self.app = app
        self.scenario = scenario
        self.called_address = called_address
        self.recorded, self.ours = Normal(), Normal()
        self.started: set[str] = set()

    async def play(self, call: Call) -> None:
        """The call's answer must become the recorded one. What has no effect is repeated until it does."""
        await self.wait_for_its_turn(call)
        if (better := BETTER.get((self.scenario, call.path))) is not None:
            await self.wait_for_state(call.instance_id or "", ENDED)
            assert (await self.send(call))["status"] == better
            return
        expected = self.ordered(self.recorded.answer(call.status, call.headers, call.answer))
        end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            answer = self.ordered(await self.send(call))
            found = list(differences(expected, answer))
            had_effect = call.method != "GET" and answer["status"] != 404
            if not found or had_effect or asyncio.get_running_loop().time() > end:
                break
            await asyncio.sleep(0.05)
        assert found == [], f"{call.method} {call.path}"

    async def send(self, call: Call) -> dict[str, Any]:
        body = call.body.replace("127.0.0.1:18080", self.called_address) if call.body else None
        headers = {"Content-Type": call.content_type} if call.content_type else {}
        async with self.app.session.request(
            call.method,
            self.app.webhook + call.path,
            data=body,
            headers=headers,
            skip_auto_headers=["Content-Type"],
        ) as answer:
            text = (await answer.text()).replace(self.called_address, "127.0.0.1:18080")
            return self.ours.answer(answer.status, answer.headers, text)

    def ordered(self, answer: dict[str, Any]) -> dict[str, Any]:
        body = answer["body"]
        if _RACES.search(self.scenario) and isinstance(body, dict) and "historyEvents" in body:
            if self.scenario == _WINNER_FIRST:
                for result in (body, *body["historyEvents"]):
                    _forget_the_winner(result.get("output"))
                    _forget_the_winner(result.get("Result"))
            body["historyEvents"].sort(key=json.dumps)
        return answer

    # The recorder waited for an instance's state between its calls.

    async def wait_for_its_turn(self, call: Call) -> None:
        instance_id = call.instance_id
        if instance_id is None:
            return
        states = self.awaited_states(call, instance_id)
        if states:
            await self.wait_for_state(instance_id, states)
        if call.path.startswith("/orchestrators/"):
            self.started.add(instance_id)

    def awaited_states(self, call: Call, instance_id: str) -> frozenset[str]:
        if named := re.search(r"(?:status|in the) (\w+)(?: already| state|\"$)", call.answer):
            return frozenset({named[1]}) - {"Pending"}
        match call.path.partition("?")[0].strip("/").split("/"), call.status:
            case (["orchestrators", *_], 202) if instance_id in self.started:
                return ENDED
            case (_, 410) | ([_, _, "restart"], 202):
                return ENDED
            case (["instances", _], 200) if call.method == "DELETE":
                return ENDED
            case ([_, _, "rewind"], 202):
                return frozenset({"Failed"})
            case ([_, _, "resume"], 202):
                return frozenset({"Suspended"})
            case ([_, _, "suspend" | "terminate"], 202):
                return frozenset({"Running"})
            case ([_, _, "raiseEvent", _], 202):
                return frozenset({"Running", "Suspended"})
        return frozenset()

    async def wait_for_state(self, instance_id: str, states: frozenset[str]) -> None:
        async def is_in_one() -> bool:
            async with self.app.session.get(f"{self.app.webhook}/instances/{instance_id}") as answer:
                return (await answer.json())["runtimeStatus"] in states

        await eventually(is_in_one, f"{instance_id} in one of {sorted(states)}")


def _forget_the_winner(result: Any) -> None:
    """Of [the first result, [all results]]."""
    if isinstance(result, list) and len(result) == 2:
        result[0] = "one of them"


@asynccontextmanager
async def called_server() -> AsyncIterator[str]:
    """What the scenario `call_http` calls: address and port."""

    async def plain(request: web.Request) -> web.Response:
        names = sorted(name.lower() for name in request.headers)
        content = json.dumps({"method": request.method, "headers": names})
        return web.Response(text=content, headers={"X-Multi": "1"})

    async def slow(request: web.Request) -> web.Response:
        return web.Response(status=202, headers={"Location": str(request.url), "Retry-After": "1"})

    async def be_called_as_recorded(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = f"Python/3.11 aiohttp/{aiohttp.__version__}"  # Whatever Python runs it now.

    app = web.Application()
    app.add_routes([web.get("/plain", plain), web.get("/slow", slow)])
    app.on_response_prepare.append(be_called_as_recorded)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()
