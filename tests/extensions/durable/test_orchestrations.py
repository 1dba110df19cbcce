"""What an app's author meets: small apps with the real SDK, in virtual time, and what the log says about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from emulator.durable.core.events import EventSent
from emulator.testing import start
from tests.running_apps import DURABLE_APP, write_app
from tests.sdk_releases import DURABLE, needs

EntityId = pytest.importorskip("azure.durable_functions").EntityId

HOST_RETRY = "AzureFunctionsJobHost__retry__"
TALKATIVE = {"AzureFunctionsJobHost__logging__logLevel__default": "Information"}

FLAKY = """
calls = []

@app.orchestration_trigger(context_name="context")
def flaky(context):
    calls.append("flaky")
    yield context.call_activity("charge")

@app.retry(strategy="fixed_delay", max_retry_count="5", delay_interval="00:00:01")
@app.activity_trigger(input_name="nothing")
def charge(nothing):
    calls.append("charge")
    raise ValueError("no money")

@app.route(route="calls")
def count(req: func.HttpRequest) -> str:
    return " ".join(calls)
"""


async def test_retry_policies_are_not_for_durable_functions(tmp_path: Path) -> None:
    """An orchestrator must not run twice in an episode, and activities are retried by their orchestrator."""
    policy = {"strategy": "fixedDelay", "maxRetryCount": "2", "delayInterval": "00:00:01"}
    settings = {f"{HOST_RETRY}{name}": value for name, value in policy.items()}
    async with start(write_app(tmp_path, DURABLE_APP, FLAKY), settings=settings, check_determinism=False) as app:
        status = await app.wait(await app.client.start_new("flaky"))
        assert status.runtime_status.name == "Failed"
        assert (await app.get("/api/calls")).text == "flaky charge flaky"
        assert "The retry policy of the function 'charge' is not applied" in app.console


STORY = """
@app.orchestration_trigger(context_name="context")
def approval(context):
    decision = yield context.wait_for_external_event("decision")
    yield context.call_entity(df.EntityId("counter", "k"), "add", 2)
    yield context.wait_for_external_event("never")
    return decision

@app.entity_trigger(context_name="context")
def counter(context):
    if context.operation_name == "add":
        context.set_state(context.get_state(lambda: 0) + context.get_input())
    elif context.operation_name == "delete":
        context.destruct_on_exit()
    else:
        raise ValueError("cannot do that")
"""


def lines_about(console: str, subject: str) -> list[str]:
    """The extension's lines about an instance, without what all of them begin and end with."""
    found = [line.partition("Z] ")[2].partition(" HubName:")[0] for line in console.splitlines() if "HubName:" in line]
    return [line.removeprefix(f"{subject}: ") for line in found if line.startswith(f"{subject}: ")]


@needs(DURABLE, "1.2.9")  # It suspends.
async def test_the_log_tells_the_story_of_an_orchestration(tmp_path: Path) -> None:
    async with start(write_app(tmp_path, DURABLE_APP, STORY), settings=TALKATIVE) as app:
        await app.client.start_new("approval", "i1")
        await app.run_until_idle()
        await app.client.raise_event("i1", "never", 1)
        await app.run_until_idle()
        await app.client.suspend("i1", "lunch")
        await app.run_until_idle()
        await app.client.raise_event("i1", "decision", "yes")
        await app.run_until_idle()
        await app.client.resume("i1", "back")
        await app.wait("i1")
        await app.client.start_new("approval", "i2")
        await app.client.terminate("i2", "enough")
        await app.wait("i2")
        console = app.console
        [request] = [event.input for event in await app.history("i1") if isinstance(event, EventSent)]
    assert request is not None
    request_id = request.partition('"id":"')[2][:36]
    function = "Function 'approval (Orchestrator)'"
    assert lines_about(console, "i1") == [
        f"{function} scheduled. Reason: NewInstance. IsReplay: False. State: Scheduled. RuntimeStatus: Pending.",
        f"{function} started. IsReplay: False. Input: (null). State: Started. RuntimeStatus: Running.",
        f"{function} is waiting for input. Reason: WaitForExternalEvent:decision. IsReplay: False. State: Listening.",
        f"{function} awaited. IsReplay: False. State: Awaited.",
        f"{function} scheduled. Reason: RaiseEvent:never. IsReplay: False. State: Scheduled. RuntimeStatus: Pending.",
        f"{function} saved a 'never' event to an in-memory queue. State: ExternalEventDropped.",
        f"{function} awaited. IsReplay: False. State: Awaited.",
        "Suspending function 'approval (Orchestrator)'. Reason: lunch. State: Suspended. RuntimeStatus: Suspended.",
        f"{function} awaited. IsReplay: False. State: Awaited.",
        f"{function} scheduled. Reason: RaiseEvent:decision. IsReplay: False. State: Scheduled. RuntimeStatus: "
        "Pending.",
        f"{function} awaited. IsReplay: False. State: Awaited.",
        "Resuming function 'approval (Orchestrator)'. Reason: back. State: Scheduled. RuntimeStatus: Running.",
        f"{function} received a 'decision' event. State: ExternalEventRaised.",
        f"{function} is waiting for input. Reason: WaitForEntityResponse:{request_id}. IsReplay: False. State: "
        "Listening.",
        f"{function} awaited. IsReplay: False. State: Awaited.",
        f"{function} received an entity response. OperationId: {request_id}. State: ExternalEventRaised.",
        f"{function} completed. ContinuedAsNew: False. IsReplay: False. Output: (Redacted 9 characters). State: "
        "Completed. RuntimeStatus: Completed.",
    ]
    assert f"{function} was terminated. Reason: enough. State: Terminated. RuntimeStatus: Terminated." in lines_about(
        console, "i2"
    )


async def test_the_log_tells_what_entities_did(tmp_path: Path) -> None:
    async with start(write_app(tmp_path, DURABLE_APP, STORY), settings=TALKATIVE) as app:
        for operation in ("add", "multiply", "delete"):
            await app.client.signal_entity(EntityId("counter", "k"), operation, 2)
            await app.run_until_idle()
        console = app.console
    lines = [line.partition("'counter (Entity)' ")[2] for line in lines_about(console, "@counter@k")]
    batch = (
        "received 1 events and processed 1/1 entity operations. OutOfOrderMessages: 0. QueuedMessages: 0. "
        "UserStateSize: {}. Sources: 0. Destinations: 0. LockedBy: (null). Suspended: False. TraceFlags: Y. "
        "State: EntityBatch."
    )
    told = [re.sub("[0-9a-f-]{36}", "ID", re.sub(r"\d+ms", "Nms", line)) for line in lines]
    scheduled = "scheduled. Reason: EntitySignal:{}. IsReplay: False. State: Scheduled. RuntimeStatus: Pending."
    assert told == [
        scheduled.format("add"),
        "created entity state in '' operation . State: EntityStateCreated.",
        "completed 'add' operation ID in Nms. IsReplay: False. Input: (Redacted 3 characters). Output: (Redacted 4 "
        "characters).",
        batch.format(1),
        scheduled.format("multiply"),
        "failed 'multiply' operation ID after Nms with exception \"cannot do that\". Input: (Redacted 3 characters). "
        "IsReplay: False.",
        batch.format(1),
        scheduled.format("delete"),
        "completed 'delete' operation ID in Nms. IsReplay: False. Input: (Redacted 3 characters). Output: (Redacted 4 "
        "characters).",
        "deleted entity state in '' operation . State: EntityStateDeleted.",
        batch.format(4),
    ]


FAMILY = """
@app.orchestration_trigger(context_name="context")
def parent(context):
    return (yield context.call_sub_orchestrator("child", None, "taken"))

@app.orchestration_trigger(context_name="context")
def stubborn(context):
    retry = df.RetryOptions(first_retry_interval_in_milliseconds=1000, max_number_of_attempts=2)
    return (yield context.call_sub_orchestrator_with_retry("failing", retry, None, "own"))

@app.orchestration_trigger(context_name="context")
def child(context):
    return (yield context.wait_for_external_event("go"))

@app.orchestration_trigger(context_name="context")
def failing(context):
    yield context.create_timer(context.current_utc_datetime)
    raise ValueError("no")
"""


async def test_a_child_that_takes_the_id_of_a_running_instance_is_warned_of(tmp_path: Path) -> None:
    async with start(write_app(tmp_path, DURABLE_APP, FAMILY)) as app:
        await app.client.start_new("child", "taken")
        await app.run_until_idle()
        instance = await app.client.start_new("parent")
        await app.run_until_idle()
        await app.client.raise_event("taken", "go", "went")
        assert (await app.wait(instance)).output == '"went"'
        console = app.console
    told = f'The sub-orchestration "taken" of "{instance}" takes the id of an instance that is Running and replaces it'
    assert told in console


async def test_a_retried_child_with_an_id_overwrites_its_first_attempt(tmp_path: Path) -> None:
    settings = {"AzureFunctionsJobHost__logging__logLevel__default": "Debug"}
    async with start(write_app(tmp_path, DURABLE_APP, FAMILY), settings=settings) as app:
        instance = await app.client.start_new("stubborn")
        assert (await app.wait(instance)).runtime_status.name == "Failed"
        assert [each.instance_id for each in await app.client.get_status_all()] == sorted((instance, "own"))
        assert f'Instance "own" is started again by "{instance}"' in app.console


HEALING = """
ill = [True]

@app.orchestration_trigger(context_name="context")
def patient(context):
    yield context.call_activity("treat")
    return (yield context.wait_for_external_event("discharge"))

@app.activity_trigger(input_name="nothing")
def treat(nothing):
    if ill:
        ill.clear()
        raise ValueError("fever")
"""


@needs(DURABLE, "1.3.0")  # Earlier releases fail when they replay a rewound history.
async def test_a_rewound_instance_runs_and_the_log_says_what_azure_would_show(tmp_path: Path) -> None:
    async with start(write_app(tmp_path, DURABLE_APP, HEALING), settings=TALKATIVE) as app:
        instance = await app.client.start_new("patient")
        assert (await app.wait(instance)).runtime_status.name == "Failed"
        await app.client.rewind(instance, "again")
        await app.run_until_idle()
        assert (await app.client.get_status(instance)).runtime_status.name == "Running"
        await app.client.raise_event(instance, "discharge", "well")
        assert (await app.wait(instance)).output == '"well"'
        story = lines_about(app.console, instance)
    named = "Function 'patient (Orchestrator)'"
    rewound = f"{named} was rewound. Reason: again. State: Rewound."
    goes_on = (
        f"{named} continues after its rewind. Its status is Running again; on Azure it stays Pending, with the old "
        "output, until the end."
    )
    assert [line for line in story if "rew" in line] == [rewound, goes_on]


HEALING_CHILD = """
ill = [True]

@app.orchestration_trigger(context_name="context")
def family(context):
    first = yield context.call_sub_orchestrator("child", 1, "first")
    second = yield context.call_sub_orchestrator("child", 2, "second")
    return [first, second]

@app.orchestration_trigger(context_name="context")
def child(context):
    return (yield context.call_activity("double", context.get_input()))

@app.activity_trigger(input_name="number")
def double(number: int):
    if number == 2 and ill:
        ill.clear()
        raise ValueError("fever")
    return 2 * number
"""


@needs(DURABLE, "1.3.0")
async def test_a_rewound_instance_calls_a_child_again_that_was_purged(tmp_path: Path) -> None:
    """The extension answers 500 and leaves the parent half rewound."""
    async with start(write_app(tmp_path, DURABLE_APP, HEALING_CHILD)) as app:
        instance = await app.client.start_new("family")
        assert (await app.wait(instance)).runtime_status.name == "Failed"
        await app.client.purge_instance_history("second")
        await app.client.rewind(instance, "again")
        healed = await app.wait(instance)
        assert (healed.runtime_status.name, healed.output) == ("Completed", [2, 4])
        assert (await app.client.get_status("second")).runtime_status.name == "Completed"


BUSY = """
import threading
running, most, gate, pair = set(), [0], threading.Lock(), threading.Event()

def work(name):
    with gate:
        running.add(name)
        most[0] = max(most[0], len(running))
        if len(running) == 2:
            pair.set()
    # The first one waits for a second, however late the machine starts it; later ones give a third one a moment.
    if pair.is_set():
        time.sleep(0.02)
    else:
        pair.wait(30)
    with gate:
        running.discard(name)

@app.orchestration_trigger(context_name="context")
def crowd(context):
    yield context.task_all([context.call_activity("act", number) for number in range(6)])

@app.orchestration_trigger(context_name="context")
def alone(context):
    work(context.instance_id)
    yield context.create_timer(context.current_utc_datetime)

@app.activity_trigger(input_name="number")
def act(number: int):
    work(number)

@app.entity_trigger(context_name="context")
def member(context):
    work(context.entity_key)

@app.route(route="most")
def seen(req: func.HttpRequest) -> str:
    return str(most[0])
"""


@pytest.mark.parametrize("kind", ["Activity", "Orchestrator", "Entity"])
async def test_no_more_functions_run_at_once_than_host_json_allows(kind: str, tmp_path: Path) -> None:
    settings = {f"AzureFunctionsJobHost__extensions__durableTask__maxConcurrent{kind}Functions": "2"}
    async with start(write_app(tmp_path, DURABLE_APP, BUSY), settings=settings, check_determinism=False) as app:
        match kind:
            case "Activity":
                await app.wait(await app.client.start_new("crowd"))
            case "Orchestrator":
                for instance in [await app.client.start_new("alone") for _ in range(6)]:
                    await app.wait(instance)
            case "Entity":
                for number in range(6):
                    await app.client.signal_entity(EntityId("member", str(number)), "come")
                await app.run_until_idle()
        assert (await app.get("/api/most")).text == "2"


LARGE = """
@app.orchestration_trigger(context_name="context")
def large(context):
    text = yield context.call_activity("repeat", context.get_input())
    return (yield context.call_sub_orchestrator("inner", text))

@app.orchestration_trigger(context_name="context")
def inner(context):
    given = context.get_input()
    yield context.call_activity("repeat", "")
    return [len(given), given[:2], given[-2:]]

@app.activity_trigger(input_name="text")
def repeat(text):
    return text * (1 << 19)
"""


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("\u2028\U0001f40d", True),
        pytest.param("\u2028\U0001f40d", False, marks=pytest.mark.soak),
        pytest.param("xy", True, marks=pytest.mark.soak),
        pytest.param("xy", False, marks=pytest.mark.soak),
        pytest.param('"/', False, marks=pytest.mark.soak),
    ],
    ids=ascii,
)
async def test_payloads_of_megabytes_arrive_unchanged(text: str, check: bool, tmp_path: Path) -> None:
    async with start(write_app(tmp_path, DURABLE_APP, LARGE), check_determinism=check) as app:
        status = await app.wait(await app.client.start_new("large", client_input=text))
        assert status.output == [1 << 20, text, text]
