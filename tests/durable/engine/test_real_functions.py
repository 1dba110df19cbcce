"""The recorded app, run by the real SDK on the built-in store in virtual time: days pass in milliseconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from emulator.durable.core.identity import EntityId, RuntimeStatus
from emulator.storage.port import StorageAccount
from emulator.virtual_time import VirtualClock
from tests.durable.azurestorage.world import messages_left
from tests.durable.engine.app import App, running_app
from tests.recordings import RECORDED_APP
from tests.sdk_releases import DURABLE, needs

# Recorded with this release. In earlier ones these two end otherwise.
LATEST = needs(DURABLE, "1.7.0")
pytestmark = needs(DURABLE, "1.2.0")

COUNTER = EntityId("counter", "k1")


@pytest.fixture
async def app(account: StorageAccount, clock: VirtualClock) -> AsyncIterator[App]:
    async with running_app(RECORDED_APP, account, clock) as app:
        yield app


@pytest.mark.parametrize(
    ("orchestration", "input", "output"),
    [
        ("hello_cities", None, ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]),
        ("chain_n", 5, 5),
        ("fan_out_n", 120, sum(number * number for number in range(120))),
        ("nested_compound", None, [1, 4]),
        ("activity_fail_caught", None, {"caught_first_line": "Activity function 'Boom' failed: ValueError: boom 1"}),
        ("fan_out_one_boom", None, ["Activity function 'Boom' failed: ValueError: boom 1", "Hello after!"]),
        ("retry_success", None, "x worked"),
        ("fan_out_retry", None, ["0 worked", "1 worked"]),
        ("parent_two", None, [{"k": 1}, "x"]),
        ("parent_child_fails", None, "Orchestrator function 'child' failed: no input"),
        ("fan_out_children", None, [0, 1]),
        ("counter_loop", 1, 3),
        ("continue_without_yield", 0, "end"),
        ("monitor", 5, "done"),
        ("entity_calls", None, 5),
        ("entity_call_fails", None, "entity said: cannot do that"),
        ("sleeper", 3600, "woke"),
        ("long_timer", None, "ten days later"),
        ("approval", 60, "timed out"),
        ("returns_none", None, None),
        ("fire_and_forget_activity", None, "done"),
        ("big", 200_000, "x" * 200_000),
    ],
)
async def test_outputs(app: App, orchestration: str, input: Any, output: Any) -> None:
    found = await app.run(orchestration, input)
    if isinstance(output, dict):
        found = {name: found[name] for name in output}
    assert found == output


@LATEST
async def test_the_first_of_several_activities_wins(app: App) -> None:
    winner, results = await app.run("any_of_activities_then_rest", None)
    # The two run at the same time, so either may end first.
    assert winner in results
    assert results == [1, 4]


@pytest.mark.parametrize(
    ("orchestration", "input", "why"),
    [
        ("activity_fail_uncaught", None, "Activity function 'Boom' failed: ValueError: boom 1 \n {"),
        ("retry_never", None, "Activity function 'Flaky' failed: RuntimeError: attempt 3 of never \n {"),
        ("child_retry_fails", None, "Orchestrator function 'child' failed: no input \n Message: no input"),
        ("raises_at_once", None, "bad input"),
        pytest.param("not_serializable", None, "Object of type set is not JSON serializable", marks=LATEST),
        ("no_yield", [1], None),
        # The real host leaves this instance Running for ever.
        ("fails_while_retrying", None, "The function 'A' doesn't exist, is disabled, or is not an activity function."),
        ("nobody", None, "The function 'nobody' doesn't exist, is disabled, or is not an orchestrator function."),
    ],
)
async def test_failures(app: App, orchestration: str, input: Any, why: str | None) -> None:
    if why is None:
        # Plain JSON, as curl users send it: the SDK can read objects and texts of JSON only.
        await app.start(orchestration, input)
        why = "One or more errors occurred. (Result: Failure\nException: TypeError: the JSON object must be str"
    else:
        await app.begin(orchestration, input)
    output = await app.output()
    assert output.startswith(f"Orchestrator function '{orchestration}' failed: {why}")
    assert (await app.status()).runtime_status is RuntimeStatus.FAILED


async def test_time_is_never_before_the_timer(app: App, clock: VirtualClock) -> None:
    before, after = await app.run("plain_timer")
    began, woke = (clock.now().fromisoformat(text) for text in (before, after))
    assert woke - began >= timedelta(seconds=30)


async def test_an_approval_ends_the_wait(app: App, clock: VirtualClock) -> None:
    began = clock.now()
    await app.begin("approval", 86_400)
    await app.becomes("i1", RuntimeStatus.RUNNING)
    assert (await app.status()).custom_status == '"waiting"'
    await app.tell("i1", "approval", {"by": "ada"})
    assert await app.output() == '{"by": "ada"}'
    assert clock.now() - began < timedelta(minutes=1)
    assert (await app.status()).custom_status == '"approved"'


async def test_the_log_tells_what_an_orchestrator_waits_for(app: App, caplog: pytest.LogCaptureFixture) -> None:
    await app.begin("approval", 60)
    await app.output()
    said = [record.getMessage() for record in caplog.records if "is waiting for input" in record.getMessage()]
    event, timer = (line.partition(" HubName: TestHub.")[0] for line in said)
    subject = "i1: Function 'approval (Orchestrator)' is waiting for input. Reason: "
    assert timer.startswith(f"{subject}CreateTimer:2")
    assert event == f"{subject}WaitForExternalEvent:approval. IsReplay: False. State: Listening."


async def test_events_are_carried_into_the_next_generation(app: App) -> None:
    await app.begin("count_events", [])
    for number in range(3):
        await app.tell("i1", "tick", number)
    assert sorted(await app.output()) == ["0", "1", "2"]


async def test_a_suspended_orchestration_does_not_continue(app: App, clock: VirtualClock) -> None:
    await app.begin("two_events")
    await app.becomes("i1", RuntimeStatus.RUNNING)
    await app.suspend("i1")
    await app.becomes("i1", RuntimeStatus.SUSPENDED)
    await app.tell("i1", "A", 1)
    await app.tell("i1", "B", 2)
    await clock.sleep(3600)
    assert (await app.status()).runtime_status is RuntimeStatus.SUSPENDED
    await app.resume("i1")
    assert await app.output() == ["1", "2"]


async def test_a_terminated_parent_leaves_its_child_alone(app: App, account: StorageAccount) -> None:
    await app.begin("call_child", {"name": "approval", "input": 60, "id": "child-1"})
    await app.becomes("i1", RuntimeStatus.RUNNING)
    await app.clock.sleep(5)  # the child has begun
    await app.terminate("i1", "enough")
    assert await app.output() == "enough"
    assert await app.output("child-1") == "timed out"


async def test_a_changed_function_fails_as_nondeterministic(app: App, caplog: pytest.LogCaptureFixture) -> None:
    output = await app.run("changes_its_mind")
    assert output.startswith("Non-Deterministic workflow detected: A previous execution of this orchestration")
    source = RECORDED_APP / "function_app.py"
    decorator = source.read_text().splitlines().index("def changes_its_mind(context):")
    assert f"Function 'changes_its_mind (Orchestrator)' ({source}:{decorator})" in caplog.text


async def test_signals_change_the_state_in_their_order(app: App, clock: VirtualClock) -> None:
    for number in range(1, 11):
        await app.signal_entity(COUNTER, "add", number)
    await clock.sleep(60)
    assert await app.entity_state(COUNTER) == "55"
    await app.signal_entity(COUNTER, "delete", None)
    await clock.sleep(60)
    status = await app.status(COUNTER.instance_id)
    assert (status.input, status.custom_status) == ('{"state":"null","sorter":{}}', "{}")


async def test_http_is_called_and_a_refused_connection_is_an_error(app: App, unused_tcp_port: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"method": request.method, "headers": sorted(map(str.lower, request.headers))})

    server = web.AppRunner(web.Application())
    server.app.router.add_get("/plain", answer)
    await server.setup()
    await web.TCPSite(server, "127.0.0.1", unused_tcp_port).start()
    url = f"http://127.0.0.1:{unused_tcp_port}"
    try:
        assert await app.run("call_local_http", f"{url}/plain") == [
            200,
            '{"method": "GET", "headers": ["host", "user-agent"]}',
        ]
    finally:
        await server.cleanup()
    refused = await app.run("call_local_http", f"{url}/plain", id="i2")
    assert refused.startswith(
        f"Orchestrator function 'call_local_http' failed: Connection refused (127.0.0.1:{unused_tcp_port}) \n "
        '{"$type":"System.Net.Http.HttpRequestException, System.Net.Http"'
    )


async def test_no_message_stays_in_the_queues(app: App, account: StorageAccount) -> None:
    for number, orchestration in enumerate(("hello_cities", "parent_two", "entity_calls", "counter_loop")):
        await app.run(orchestration, 1 if orchestration == "counter_loop" else None, id=f"i{number}")
    await app.clock.sleep(600)
    assert await messages_left(account) == {}
