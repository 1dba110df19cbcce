"""Every method of DurableOrchestrationClient of azure-functions-durable, over real HTTP, as Python code calls it."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import CONFORMANCE_APP
from tests.running_apps import DURABLE_APP, RunningApp, copy_app, run_app
from tests.sdk_releases import DURABLE, needs
from tests.waiting import eventually

df = pytest.importorskip("azure.durable_functions")

# They take the request of the HTTP function that they are called in; test_conformance.py covers them.
NEEDS_A_REQUEST = {"create_check_status_response"}


class SdkClient:
    """Calls methods of the client inside the app; `called` has their names."""

    def __init__(self, app: RunningApp) -> None:
        self.app = app
        self.called: set[str] = set()

    async def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """The method's value. Raises RuntimeError with what it raised."""
        self.called.add(method)
        call = {"op": method, "args": args, "kwargs": kwargs}
        async with self.app.session.post(f"{self.app.url}/api/client", json=call) as answer:
            outcome = await answer.json()
        if not outcome["ok"]:
            raise RuntimeError(f"{outcome['type']}: {outcome['error']}")
        return outcome["value"]

    async def ends(self, instance_id: str) -> Any:
        """Wait for the end of an instance; its status."""
        answer = await self("wait_for_completion_or_create_check_status_response", None, instance_id, 20_000, 50)
        assert answer["status_code"] != 202, answer
        return await self("get_status", instance_id)

    async def is_in(self, instance_id: str, status: str) -> None:
        async def is_in() -> bool:
            return bool((await self("get_status", instance_id))["runtimeStatus"] == status)

        await eventually(is_in, f"{instance_id} in {status}")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[SdkClient]:
    async with run_app(copy_app(CONFORMANCE_APP, tmp_path / "app")) as app:
        yield SdkClient(app)


@needs(DURABLE, "1.6.0")
async def test_every_method_works(client: SdkClient) -> None:
    # Starting, watching, listing.
    assert await client("start_new", "hello_one", "one") == "one"
    assert (await client.ends("one"))["output"] == "Hello Tokyo!"
    shown = await client("get_status", "one", show_history=True, show_history_output=True)
    assert [event["EventType"] for event in shown["historyEvents"]] == [
        "ExecutionStarted",
        "TaskCompleted",
        "ExecutionCompleted",
    ]
    await client("start_new", "wait_for_approval", "two")
    assert [status["instanceId"] for status in await client("get_status_all")] == ["one", "two"]
    completed = await client("get_status_by", runtime_status={"statuses": ["Completed"]})
    assert [status["instanceId"] for status in completed] == ["one"]

    # Steering.
    await client.is_in("two", "Running")
    await client("suspend", "two", "lunch")
    await client.is_in("two", "Suspended")
    await client("resume", "two", "back")
    await client.is_in("two", "Running")
    await client("raise_event", "two", "Approval", True)
    assert (await client.ends("two"))["output"] == {"approved": "true"}
    await client("start_new", "wait_for_approval", "three")
    await client("terminate", "three", "enough")
    assert (await client.ends("three"))["runtimeStatus"] == "Terminated"

    # Again: from a failure, and from the beginning.
    await client("start_new", "heal_me", "patient")
    assert (await client.ends("patient"))["runtimeStatus"] == "Failed"
    async with client.app.session.post(f"{client.app.url}/api/heal?id=patient") as answer:
        assert answer.status == 200
    await client("rewind", "patient", "healed now")
    assert (await client.ends("patient"))["output"] == "healed"
    restarted = await client("restart", "one")
    assert (await client.ends(restarted["id"]))["output"] == "Hello Tokyo!"

    # Entities.
    counter = {"entity": ["counter", "c"]}
    await client("signal_entity", counter, "add", 5)

    async def state() -> Any:
        found = await client("read_entity_state", counter)
        return found if found["entity_exists"] else None

    assert await eventually(state, "state of the entity") == {"entity_exists": True, "entity_state": 5}

    # URLs.
    links = await client("get_client_response_links", None, "one")
    assert links == await client("create_http_management_payload", "one")
    async with client.app.session.get(links["statusQueryGetUri"]) as answer:
        assert (await answer.json())["instanceId"] == "one"

    # Purging.
    assert await client("purge_instance_history", "one") == {"instances_deleted": 1}
    window = {"created_time_from": {"utc": "2020-01-01T00:00:00+00:00"}}
    purged = await client("purge_instance_history_by", **window, runtime_status={"statuses": ["Terminated"]})
    assert purged == {"instances_deleted": 1}
    assert not {"one", "three"} & {status["instanceId"] for status in await client("get_status_all")}

    public = {name for name, _ in inspect.getmembers(df.DurableOrchestrationClient, inspect.isfunction)}
    assert {name for name in public if not name.startswith("_")} - NEEDS_A_REQUEST == client.called


async def test_a_start_under_a_taken_id_tells_the_status_of_its_owner(client: SdkClient) -> None:
    await client("start_new", "wait_for_approval", "taken")
    await client.is_in("taken", "Running")
    with pytest.raises(RuntimeError, match="An Orchestration instance with the status Running already exists"):
        await client("start_new", "hello_one", "taken")


async def test_a_misspelt_orchestrator_is_named_with_those_that_there_are(client: SdkClient) -> None:
    with pytest.raises(RuntimeError, match=r"The function 'helo' doesn't exist.*'hello_one', 'hello_sequence'"):
        await client("start_new", "helo")


async def test_inputs_too_large_for_a_queue_message_go_both_ways(client: SdkClient) -> None:
    await client("start_new", "echo_input", "large", {"text": "é" * 100_000})
    assert (await client.ends("large"))["output"] == {"text": "é" * 100_000}


# The SDK sends the invocation id if the function has the parameter `context`.
OPERATIONS = """
@app.route(route="operations")
@app.durable_client_input(client_name="client")
async def operations(req: func.HttpRequest, client: df.DurableOrchestrationClient, context: func.Context):
    await client.start_new("wait", "one")
    await client.raise_event("one", "go", 1)
    await client.wait_for_completion_or_create_check_status_response(req, "one", 20_000, 50)
    await client.restart("one")
    await client.signal_entity(df.EntityId("Counter", "c"), "add")
    return func.HttpResponse(context.invocation_id)

@app.orchestration_trigger(context_name="context")
def wait(context):
    yield context.wait_for_external_event("go")

@app.entity_trigger(context_name="context")
def counter(context):
    context.set_state(1)
"""


async def test_client_operations_are_logged_with_the_invocation_that_calls_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with run_app(tmp_path, DURABLE_APP, OPERATIONS) as app:
        invocation = (await app.get("/api/operations")).text
        # Any other client may send the header, too.
        other = "0d8fb4ac-5a0d-4d3a-9f0a-7c8a1c1f0c11"
        for text in ("not a GUID", other):
            await app.get("/runtime/webhooks/durabletask/instances", headers={"X-Azure-Functions-InvocationId": text})
    logged = re.findall(
        r"Client operation '(\w+)' received for instance '(.*)'\. FunctionInvocationId: (.*)\. HubName: ", caplog.text
    )
    assert logged == [
        ("StartOrchestration", "one", invocation),
        ("RaiseEvent", "one", invocation),
        ("Restart", "one", invocation),
        ("SignalEntity", "@counter@c", invocation),
        ("QueryInstances", "(filter)", other),
    ]
