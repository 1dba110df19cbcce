"""Situations that `why` explains, arranged with the real SDK in a running host, on both kinds of storage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

import pytest

from emulator.clock import SystemClock
from emulator.diagnosis.finding import Cause, Severity
from emulator.durable.core.entities.messages import Request, Timestamp
from emulator.durable.core.events import EventRaised
from emulator.durable.core.identity import EntityId
from emulator.virtual_time import VirtualClock
from tests.diagnosis.bench import Situation, in_real_time, in_virtual_time
from tests.running_apps import OPTION
from tests.storage.bench import unique
from tests.waiting import eventually

APP = """
    def retry(seconds):
        return df.RetryOptions(first_retry_interval_in_milliseconds=seconds * 1000, max_number_of_attempts=3)

    @app.orchestration_trigger(context_name="context")
    def approval(context):
        answer = yield context.wait_for_external_event("approval")  # waits for approval
        return answer

    @app.orchestration_trigger(context_name="context")
    def sleeper(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=2))  # sleeps

    @app.orchestration_trigger(context_name="context")
    def order(context):
        return (yield context.call_activity("charge", context.get_input()))  # charges

    @app.activity_trigger(input_name="seconds")
    def charge(seconds: float) -> str:
        gate.wait(seconds)  # in charge
        return "charged"

    @app.orchestration_trigger(context_name="context")
    def retrying(context):
        yield context.call_activity_with_retry("refuse", retry(30), None)  # retries

    @app.activity_trigger(input_name="nothing")
    def refuse(nothing: object):
        raise ValueError("card refused")

    @app.orchestration_trigger(context_name="context")
    def parent(context):
        yield context.call_sub_orchestrator("middle", None, "the-middle")  # calls middle

    @app.orchestration_trigger(context_name="context")
    def middle(context):
        yield context.call_sub_orchestrator("approval", None, "the-child")  # calls approval

    @app.orchestration_trigger(context_name="context")
    def everything(context):
        yield context.task_all([  # waits for all
            context.call_activity("quick", 1),
            context.create_timer(context.current_utc_datetime + timedelta(hours=1)),
            context.wait_for_external_event("paid"),
        ])

    @app.activity_trigger(input_name="number")
    def quick(number: int) -> int:
        return number

    @app.orchestration_trigger(context_name="context")
    def first(context):
        timer = context.create_timer(context.current_utc_datetime + timedelta(days=3))
        event = context.wait_for_external_event("decision")
        yield context.task_any([event, timer])  # waits for one

    @app.orchestration_trigger(context_name="context")
    def calls_unknown(context):
        yield context.call_activity("chrge", None)

    @app.orchestration_trigger(context_name="context")
    def loop(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(minutes=5))  # loops
        context.continue_as_new(None)

    @app.orchestration_trigger(context_name="context")
    def asks_entity(context):
        yield context.call_entity(df.EntityId("account", "a"), "get")  # asks

    @app.entity_trigger(context_name="context")
    def account(context):
        gate.wait(float(os.environ.get("ENTITY_SECONDS", "0")))  # in account
        context.set_result(1)

    @app.orchestration_trigger(context_name="context")
    def spins(context):
        gate.wait(4)  # spins
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=2))

    @app.orchestration_trigger(context_name="context")
    def fetches(context):
        yield context.call_http("GET", context.get_input())  # fetches
"""
GATE = "    import threading\n    gate = threading.Event()\n"

Work = Callable[[Situation], Awaitable[None]]


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Accept connections and answer nothing."""
    is_over = asyncio.Event()

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_over.wait()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        finally:
            is_over.set()


@dataclass(frozen=True)
class Arranged:
    work: Work
    settings: Mapping[str, str] = field(default_factory=dict)
    only_virtual: bool = False
    blocks: bool = False


SITUATIONS: dict[str, Arranged] = {}


def arranged(
    settings: Mapping[str, str] = MappingProxyType({}), *, only_virtual: bool = False, blocks: bool = False
) -> Callable[[Work], Work]:
    """Add a situation. `blocks`: a function blocks its thread, for which virtual time would wait."""

    def add(work: Work) -> Work:
        SITUATIONS[work.__name__] = Arranged(work, settings, only_virtual, blocks)
        return work

    return add


@arranged()
async def event_never_raised(s: Situation) -> None:
    await s.host()
    await s.start("approval")
    found = await s.why("i1", Cause.EVENT_NOT_RAISED)
    assert found.sentence == f'waits for the event "approval" at {s.line("waits for approval")}, which was never raised'
    assert found.advice == ["Raise it: azemu durable raise i1 approval [DATA]"]


@arranged()
async def event_raised_in_capitals(s: Situation) -> None:
    await s.host()
    await s.start("approval")
    await s.why("i1", Cause.EVENT_NOT_RAISED)
    await s.raise_event("i1", "Approval")
    found = await s.why("i1", Cause.EVENT_OTHER_NAME)
    assert 'event "approval"' in found.sentence
    assert 'was raised as "Approval"' in found.sentence


@arranged()
async def event_raised_with_a_typo(s: Situation) -> None:
    await s.host()
    await s.start("approval")
    await s.why("i1", Cause.EVENT_NOT_RAISED)
    await s.raise_event("i1", "aproval")
    assert 'was raised as "aproval"' in (await s.why("i1", Cause.EVENT_OTHER_NAME)).sentence


@arranged()
async def another_event_raised(s: Situation) -> None:
    await s.host()
    await s.start("approval")
    await s.why("i1", Cause.EVENT_NOT_RAISED)
    await s.raise_event("i1", "payment")
    found = await s.why("i1", Cause.EVENT_NOT_RAISED)
    if isinstance(s.clock, VirtualClock):
        assert "Other events have arrived: payment." in found.facts


@arranged()
async def timer_in_two_hours(s: Situation) -> None:
    await s.host()
    await s.start("sleeper")
    found = await s.why("i1", Cause.TIMER)
    assert f"waits for a timer at {s.line('sleeps')} that is due in " in found.sentence
    if isinstance(s.clock, VirtualClock):
        assert "due in 2 h" in found.sentence


@arranged(blocks=True)
async def activity_runs(s: Situation) -> None:
    await s.host()
    await s.start("order", "3")
    found = await s.why("i1", Cause.ACTIVITY_RUNS)
    assert f'waits for the activity "charge" at {s.line("charges")}, which runs for ' in found.sentence
    assert any("in charge: gate.wait(seconds)" in fact for fact in found.facts)


@arranged()
async def pause_before_a_retry(s: Situation) -> None:
    await s.host()
    await s.start("retrying")
    found = await s.why("i1", Cause.RETRY_PAUSE)
    assert f'waits to try "refuse" at {s.line("retries")} again: attempt 2 of 3 begins in ' in found.sentence
    assert any("card refused" in fact for fact in found.facts)


@arranged({f"{OPTION}maxConcurrentActivityFunctions": "1"}, blocks=True)
async def all_activity_slots_used(s: Situation) -> None:
    await s.host()
    await s.start("order", "3")
    await s.why("i1", Cause.ACTIVITY_RUNS)
    await s.start("order", "0", id="i2")
    found = await s.why("i2", Cause.ACTIVITY_SLOTS)
    assert "all activity slots of this host (1) are in use, by charge" in found.sentence


@arranged()
async def suspended(s: Situation) -> None:
    await s.host()
    await s.start("approval")
    await s.why("i1", Cause.EVENT_NOT_RAISED)
    await s.suspend("i1")
    found = await s.why("i1", Cause.SUSPENDED)
    assert "(reason: later)" in found.sentence
    assert found.advice == ["Resume it: azemu durable resume i1"]


@arranged()
async def deepest_sub_orchestration(s: Situation) -> None:
    await s.host()
    await s.start("parent")
    found = await s.why("i1", Cause.EVENT_NOT_RAISED)
    assert found.sentence == (
        f'waits for the sub-orchestration middle "the-middle" at {s.line("calls middle")}, which waits for the '
        f'sub-orchestration approval "the-child" at {s.line("calls approval")}, which waits for the event '
        f'"approval" at {s.line("waits for approval")}, which was never raised'
    )
    assert found.advice == ["Raise it: azemu durable raise the-child approval [DATA]"]


@arranged()
async def one_of_three_has_ended(s: Situation) -> None:
    await s.host()
    await s.start("everything")
    await s.why("i1", Cause.ALL_OF)

    found = await s.why("i1", Cause.ALL_OF, Cause.TIMER, Cause.EVENT_NOT_RAISED)
    assert "waits for all of 3 tasks" in found.sentence
    if isinstance(s.clock, VirtualClock):
        assert "1 of 3 have ended" in found.sentence
        assert any('the event "paid"' in fact for fact in found.facts)
        assert any("due in 1 h" in fact for fact in found.facts)


@arranged()
async def first_of_two(s: Situation) -> None:
    await s.host()
    await s.start("first")
    found = await s.why("i1", Cause.ANY_OF, Cause.TIMER, Cause.EVENT_NOT_RAISED)
    waits = f"waits for the first of 2 tasks at {s.line('waits for one')}"
    assert (found.sentence, found.severity) == (waits, Severity.WAITING)
    # Although the timer will end the wait: who has raised the event meant to end it now.
    await s.raise_event("i1", "Decison")
    found = await s.why("i1", Cause.ANY_OF, Cause.TIMER, Cause.EVENT_OTHER_NAME)
    # The summary names the problem, so no further line repeats it.
    assert [fact for fact in found.facts if "it was raised" in fact or "was raised as" in fact] == []
    assert found.severity is Severity.PROBLEM
    assert found.sentence.startswith(f'{waits}; it waits for the event "decision" at ')
    assert 'but the event was raised as "Decison"' in found.sentence


@arranged()
async def unknown_orchestrator(s: Situation) -> None:
    await s.host()
    await s.start("aproval")
    found = await s.why("i1", Cause.UNKNOWN_ORCHESTRATOR)
    assert "no orchestrator function aproval" in found.sentence
    assert any("approval" in fact for fact in found.facts)


@arranged()
async def unknown_activity(s: Situation) -> None:
    await s.host()
    await s.start("calls_unknown")
    assert "no activity function chrge" in (await s.why("i1", Cause.UNKNOWN_ACTIVITY)).sentence


@arranged()
async def function_disabled(s: Situation) -> None:
    await s.host(settings={"AzureWebJobs.charge.Disabled": "true"})
    await s.start("order", "1")
    found = await s.why("i1", Cause.SWITCHED_OFF)
    assert "the activity function charge does not run: it is disabled" in found.sentence


@arranged()
async def function_not_selected(s: Situation) -> None:
    await s.host(functions=("order",))
    await s.start("order", "1")
    found = await s.why("i1", Cause.SWITCHED_OFF)
    assert "not among the selected functions" in found.sentence


@arranged()
async def no_host_at_all(s: Situation) -> None:
    await s.start("approval")
    found = await s.why("i1", Cause.NO_HOST)
    assert found.sentence == f'has work to do, but no host runs on the task hub "{s.options.hub_name}"'
    assert found.severity is Severity.PROBLEM
    assert found.advice == ["Start one: azemu start"]


@arranged()
async def no_host_any_more(s: Situation) -> None:
    await s.host()
    await s.start("approval")
    await s.why("i1", Cause.EVENT_NOT_RAISED)
    await s.stop()
    await s.raise_event("i1", "approval")
    found = await s.why("i1", Cause.NO_HOST)
    assert any("EventRaised" in fact for fact in found.facts)


@arranged()
async def does_not_exist(s: Situation) -> None:
    await s.host()
    await s.start("approval", id="order-17")
    await s.why("order-17", Cause.EVENT_NOT_RAISED)
    found = await s.why("order-71", Cause.NOT_FOUND)
    assert "similar ones are order-17" in found.sentence


@arranged()
async def ended(s: Situation) -> None:
    await s.host()
    await s.start("order", "0")
    assert (await s.why("i1", Cause.COMPLETED)).severity is Severity.ENDED
    await s.start("retrying", id="i2")
    await s.why("i2", Cause.RETRY_PAUSE)
    await s.terminate("i2", "enough")
    assert "(reason: enough)" in (await s.why("i2", Cause.TERMINATED)).sentence
    await s.start("calls_http_wrongly", id="i3")
    await s.why("i3", Cause.UNKNOWN_ORCHESTRATOR)


@arranged(only_virtual=True)
async def loops(s: Situation) -> None:
    await s.host()
    await s.start("loop")
    await s.settle()
    await s.advance(minutes=16)
    found = await s.why("i1", Cause.LOOP, Cause.TIMER)
    assert "runs as a loop with continue_as_new (3 times since this host started, the last one 5 min after" in (
        found.sentence
    )
    assert f"now it waits for a timer at {s.line('loops')}" in found.sentence


@arranged()
async def scheduled_start(s: Situation) -> None:
    await s.host()
    await s.start("approval", at=s.now + timedelta(hours=5))
    assert "is scheduled to start in" in (await s.why("i1", Cause.SCHEDULED_START)).sentence


@arranged({f"{OPTION}maxConcurrentOrchestratorFunctions": "1"}, blocks=True)
async def all_orchestrator_slots_used(s: Situation) -> None:
    await s.host()
    await s.start("spins")
    found = await s.why("i1", Cause.BLOCKED)
    assert any("in spins: gate.wait(4)" in fact for fact in found.facts)
    await s.start("approval", id="i2")
    found = await s.why("i2", Cause.ORCHESTRATOR_SLOTS)
    assert "all orchestrator slots of this host (1) are in use, by spins" in found.sentence


@arranged(blocks=True)
async def entity_runs(s: Situation) -> None:
    await s.host(settings={"ENTITY_SECONDS": "3"})
    await s.start("asks_entity")
    found = await s.why("i1", Cause.ENTITY_RUNS)
    assert f"waits for the entity @account@a at {s.line('asks')}, which runs for" in found.sentence


@arranged()
async def message_for_an_orchestration_that_waits_for_an_entity_locked_by_another(s: Situation) -> None:
    await s.host()
    await s.start("approval", id="holder")
    await s.why("holder", Cause.EVENT_NOT_RAISED)
    entity = EntityId("account", "a")
    timestamp = Timestamp(s.now)
    request = Request(
        id="lock-1", parent="holder", parent_execution=s.executions["holder"], lockset=(entity,), timestamp=timestamp
    )
    await s.send(
        entity.instance_id, EventRaised(timestamp=s.now, name=request.event_name, input=request.from_instance())
    )

    async def locked() -> bool:
        found = await s.hub.status(entity.instance_id)
        return found is not None and "lockedBy" in (found.custom_status or "")

    await s.settle()
    await eventually(locked, "the lock", within=30, clock=SystemClock())
    # The answer is for a request that the history of the holder does not have.
    await s.account.queue(s.hub.names.control_queue_of("holder")).clear()
    await s.start("asks_entity")
    found = await s.why("i1", Cause.ENTITY_LOCKED, Cause.EVENT_NOT_RAISED)
    assert f'entity @account@a at {s.line("asks")}, whose lock the instance "holder" holds' in found.sentence
    assert "which waits for the event" in found.sentence


@arranged()
async def owner_of_the_control_queue_is_dead(s: Situation) -> None:
    await s.host()
    await s.start("approval")
    await s.why("i1", Cause.EVENT_NOT_RAISED)
    await s.stop()
    queue = s.hub.names.control_queue_of("i1")
    others = [name for name in s.hub.names.control_queues if name != queue]
    await s.own(queue, "killed-host", expires_in=-30)
    await s.own(others[0], "other-host", expires_in=30)
    await s.raise_event("i1", "approval")
    found = await s.why("i1", Cause.OWNER_DEAD)
    assert f"killed-host, the owner of its control queue {queue}, has not renewed its lease since" in found.sentence


@arranged()
async def nobody_owns_the_control_queue(s: Situation) -> None:
    await s.hub.create()
    queue = s.hub.names.control_queue_of("i1")
    others = [name for name in s.hub.names.control_queues if name != queue]
    await s.own(others[0], "other-host", expires_in=30)
    await s.start("approval")
    found = await s.why("i1", Cause.NO_OWNER)
    assert f"no host owns its control queue {queue}" in found.sentence


@arranged()
async def another_host_owns_the_control_queue(s: Situation) -> None:
    await s.hub.create()
    for queue in s.hub.names.control_queues:
        await s.own(queue, "host-of-another-app", expires_in=90)
    await s.start("approval")
    assert (await s.why("i1", Cause.QUEUED)).severity is Severity.WORKING
    if not isinstance(s.clock, VirtualClock):
        return
    await s.advance(seconds=31)
    found = await s.why("i1", Cause.OTHER_HOST)
    assert "has a message that host-of-another-app should process" in found.sentence


@arranged()
async def poison_message(s: Situation) -> None:
    await s.start("approval")
    queue = s.account.queue(s.hub.names.control_queue_of("i1"))
    for _ in range(10):
        [message] = await queue.get(limit=1, hide_for=timedelta(seconds=1))
        await queue.hide(message, hide_for=timedelta(0))
    found = await s.why("i1", Cause.POISON)
    assert f"in {queue.name} was received 10 times without success" in found.sentence


@arranged()
async def message_cannot_be_read(s: Situation) -> None:
    await s.start("approval")
    queue = s.account.queue(s.hub.names.control_queue_of("i1"))
    await queue.clear()
    await queue.put("no JSON")
    found = await s.why("i1", Cause.UNREADABLE_MESSAGE)
    assert f"{queue.name} has one that cannot be read" in found.sentence


@arranged()
async def start_message_lost(s: Situation) -> None:
    await s.start("approval")
    await s.account.queue(s.hub.names.control_queue_of("i1")).clear()
    found = await s.why("i1", Cause.LOST)
    assert "its start message is lost" in found.sentence
    assert found.severity is Severity.PROBLEM


@arranged(only_virtual=True)
async def app_with_a_syntax_error(s: Situation) -> None:
    await s.start("approval")
    (s.folder / "function_app.py").write_text("def broken(:\n")
    await s.host()
    found = await s.why("i1", Cause.APP_BROKEN)
    assert "the app could not be loaded" in found.sentence
    assert "SyntaxError" in found.sentence


@arranged(blocks=True)
async def http_request_without_a_response(s: Situation) -> None:
    async with silent_server() as url:
        await s.host()
        await s.start("fetches", json.dumps(url))
        found = await s.why("i1", Cause.HTTP_RUNS)
        assert f"waits for the response of call_http at {s.line('fetches')}" in found.sentence
        await s.stop()


@arranged()
async def entity_function_is_missing(s: Situation) -> None:
    await s.host()
    await s.signal("@nobody@x", "add")
    found = await s.why("@nobody@x", Cause.EPISODE_FAILS)
    assert "'nobody' doesn't exist" in found.sentence


@arranged(only_virtual=True)
async def code_was_changed(s: Situation) -> None:
    await s.host()
    await s.start("sleeper")
    await s.why("i1", Cause.TIMER)
    await s.stop()
    code = (s.folder / "function_app.py").read_text()
    timer = "context.create_timer(context.current_utc_datetime + timedelta(hours=2))  # sleeps"
    (s.folder / "function_app.py").write_text(code.replace(timer, 'context.call_activity("quick", 1)'))
    await s.host()
    found = await s.why("i1", Cause.CODE_CHANGED, Cause.TIMER)
    assert "has code that cannot be replayed on its history" in found.sentence
    await s.advance(hours=3)
    assert "does not follow its history" in (await s.why("i1", Cause.NON_DETERMINISTIC)).sentence


@arranged()
async def all_instances_worst_first(s: Situation) -> None:
    await s.host()
    await s.start("approval", id="a-waits")
    await s.start("approval", id="z-wrong")
    await s.why("a-waits", Cause.EVENT_NOT_RAISED)
    await s.why("z-wrong", Cause.EVENT_NOT_RAISED)
    await s.raise_event("z-wrong", "approve")
    await s.why("z-wrong", Cause.EVENT_OTHER_NAME)
    found = await s.diagnosis.why_all()
    assert [one.instance_id for one in found.explanations] == ["z-wrong", "a-waits"]
    assert not found.has_more


@pytest.mark.parametrize("name", [name for name, each in SITUATIONS.items() if each.blocks])
async def test_a_blocking_situation_on_the_builtin_store(name: str, tmp_path: Path) -> None:
    each = SITUATIONS[name]
    await in_real_time(tmp_path / "app", GATE + APP, each.work, storage="builtin:memory", settings=each.settings)


@pytest.mark.parametrize("name", [name for name, each in SITUATIONS.items() if not each.blocks])
def test_a_situation_on_the_builtin_store(name: str, tmp_path: Path) -> None:
    each = SITUATIONS[name]
    in_virtual_time(tmp_path / "app", GATE + APP, each.work, settings=each.settings)


@pytest.mark.soak
@pytest.mark.azurite
@pytest.mark.parametrize("name", [name for name, each in SITUATIONS.items() if not each.only_virtual])
async def test_a_situation_on_azurite(name: str, tmp_path: Path, azurite: str) -> None:
    each = SITUATIONS[name]
    settings = {f"{OPTION}storageProvider__maxQueuePollingInterval": "00:00:00.500", **each.settings}
    await in_real_time(tmp_path / "app", GATE + APP, each.work, storage=azurite, hub=unique("Why"), settings=settings)
