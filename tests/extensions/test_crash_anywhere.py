"""A host crashes before or after any of its storage calls, or one call fails: its triggers lose nothing.

The next host runs what is left. A function may run again, but nothing goes to a poison queue because of a crash.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest

from emulator.accounts import open_accounts
from emulator.app import LastingParts
from emulator.config.start import StartOptions, configure
from emulator.errors import EmulatorError
from emulator.storage.builtin import BuiltinAccount
from emulator.storage.paging import query_rows
from emulator.storage.port import NotFound, Operation, Row, TableOperation
from emulator.virtual_time import VirtualClock
from tests.durable.azurestorage.crashing import CrashPoint, Moment
from tests.running_apps import RunningApp, run_app, write_app
from tests.waiting import eventually

from .queues.apps import QUEUE_APP, decoded, encoded, notes

# A function is tried twice: by the host that crashes, and by the next one.
HOST_JSON = {
    "extensions": {
        "queues": {"maxDequeueCount": 2, "visibilityTimeout": "00:00:01"},
        "blobs": {"poisonBlobThreshold": 2},
    }
}
SETTINGS = {"TZ": "UTC", "AzureFunctionsWebHost__hostid": "crashing-1"}
RECEIPTS = "blobreceipts/crashing-1/"
FOUND_BLOBS = "azure-webjobs-blobtrigger-crashing-1"


@dataclass
class World:
    """Storage that outlives hosts, and what the functions of all hosts have noted.

    `hosts_folder`: keeps the locks of a host for the next one. `facts`: what clients and scenarios remember.
    """

    folder: Path
    clock: VirtualClock
    lasting: LastingParts
    hosts_folder: Path | None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def account(self) -> BuiltinAccount:
        account = self.lasting.accounts("AzureWebJobsStorage")
        assert isinstance(account, BuiltinAccount)
        return account

    @property
    def runs(self) -> list[Any]:
        return list(notes(self.folder))

    @asynccontextmanager
    async def host(self, crash: CrashPoint | None = None) -> AsyncIterator[RunningApp]:
        async with run_app(
            self.folder,
            clock=self.clock,
            lasting=self.lasting,
            hosts_folder=self.hosts_folder,
            around_account=None if crash is None else crash.account,
            settings=SETTINGS,
        ) as running:
            yield running

    async def messages(self, queue: str) -> list[str]:
        """Return the texts of all messages, hidden ones included; none if there is no such queue."""
        try:
            return [message.body for message in await self.account.queue(queue).list_messages()]
        except NotFound:
            return []

    async def upload(self, *names: str) -> None:
        container = self.account.container("inbox")
        await container.create()
        for name in names:
            await container.write(name, name.encode())

    async def blobs(self, container: str) -> dict[str, bytes]:
        try:
            opened = self.account.container(container)
            return {blob.name: await opened.read(blob.name) async for blob in opened.list()}
        except NotFound:
            return {}

    async def incomplete_receipts(self) -> list[str]:
        """Return "function/blob" of the blobs that have no completed receipt of their version."""
        hosts, complete = self.account.container("azure-webjobs-hosts"), set[str]()
        with suppress(NotFound):
            complete = {receipt.name async for receipt in hosts.list(RECEIPTS) if not receipt.metadata}
        return [
            f"{function}/{blob.name}"
            async for blob in self.account.container("inbox").list()
            for function in ("copy", "fail")
            if f"{RECEIPTS}Host.Functions.{function}/{blob.etag}/inbox/{blob.name}" not in complete
        ]


async def nothing(world: World) -> None:
    pass


@dataclass(frozen=True)
class Scenario:
    """An app, and what happens while it runs.

    `prepare`: before the first host starts. `first`: while that host runs; returns when it has finished its work.
    `between`: after the first host; `second`: while the next one runs. `check`: asserts what must be true in the end.
    `quick`: the crashes of the default tests: the n-th call of a kind, from 1.
    """

    name: str
    functions: str
    prepare: Callable[[World], Awaitable[None]]
    first: Callable[[World, RunningApp], Coroutine[Any, Any, None]]
    second: Callable[[World, RunningApp], Awaitable[None]]
    check: Callable[[World, str], Awaitable[None]]
    quick: Sequence[tuple[str, int]]
    between: Callable[[World], Awaitable[None]] = nothing


async def until(world: World, condition: Callable[[], Awaitable[bool]]) -> None:
    # Longer than a message of the crashed host stays hidden.
    await eventually(condition, "end of the work", within=7200, clock=world.clock, every=5)


# Queue trigger with inputs and outputs of all kinds ---------------------------------------------------------------

QUEUE_FUNCTIONS = """
import uuid

@app.queue_trigger(arg_name="msg", queue_name="work", connection=STORAGE)
@app.queue_output(arg_name="sent", queue_name="sent", connection=STORAGE)
@app.blob_output(arg_name="copy", path="copies/{queueTrigger}", connection=STORAGE)
@app.table_output(arg_name="row", table_name="Rows", connection=STORAGE)
@app.blob_input(arg_name="blob", path="known/a", connection=STORAGE)
@app.table_input(arg_name="known", table_name="Known", partition_key="p", connection=STORAGE)
def work(msg: str, sent: func.Out[str], copy: func.Out[str], row: func.Out[str], blob: str, known: str):
    note(msg)
    if msg == "bad":
        raise ValueError("the message says so")
    sent.set(msg)
    copy.set(msg)
    read = blob + json.loads(known)[0]["Text"]
    row.set(json.dumps({"PartitionKey": msg, "RowKey": uuid.uuid4().hex, "Read": read}))
"""


async def put_messages(world: World) -> None:
    await world.account.container("known").create()
    await world.account.container("known").write("a", b"blob, ")
    await world.account.table("Known").create()
    await world.account.table("Known").submit([TableOperation(Operation.INSERT, Row("p", "r", {"Text": "row"}))])
    await world.account.queue("work").create()
    for text in ("good", "bad"):
        await world.account.queue("work").put(encoded(text))


async def until_queue_is_empty(world: World, running: RunningApp) -> None:
    async def is_empty() -> bool:
        return not await world.messages("work")

    await until(world, is_empty)


async def check_messages(world: World, where: str) -> None:
    assert {"good", "bad"} == {message for [message] in world.runs}, where
    assert set(await world.messages("sent")) == {encoded("good")}, where
    assert await world.blobs("copies") == {"good": b"good"}, where
    rows = [row async for row in query_rows(world.account.table("Rows"))]
    assert {(row.partition_key, row.properties["Read"]) for row in rows} == {("good", "blob, row")}, where
    assert set(await world.messages("work-poison")) == {encoded("bad")}, where


# Blob trigger -----------------------------------------------------------------------------------------------------

BLOB_FUNCTIONS = """
@app.blob_trigger(arg_name="blob", path="inbox/{name}", connection=STORAGE)
@app.blob_output(arg_name="copied", path="copies/{name}", connection=STORAGE)
def copy(blob: func.InputStream, copied: func.Out[bytes]):
    note("copy", blob.name)
    copied.set(blob.read())


@app.blob_trigger(arg_name="blob", path="inbox/{name}", connection=STORAGE)
def fail(blob: func.InputStream):
    note("fail", blob.name)
    raise ValueError("the blob says so")
"""


async def upload_one(world: World) -> None:
    await world.upload("a")


async def until_blobs_are_processed(world: World, running: RunningApp) -> None:
    async def is_done() -> bool:
        return not await world.messages(FOUND_BLOBS) and not await world.incomplete_receipts()

    await until(world, is_done)


async def check_blobs(world: World, where: str) -> None:
    assert ["copy", "inbox/a"] in world.runs, where
    assert ["fail", "inbox/a"] in world.runs, where
    assert await world.blobs("copies") == {"a": b"a"}, where
    poison = [json.loads(decoded(text)) for text in await world.messages("webjobs-blobtrigger-poison")]
    assert {message["FunctionId"] for message in poison} == {"Host.Functions.fail"}, where


# Blobs by Event Grid ----------------------------------------------------------------------------------------------

EVENT_GRID_FUNCTIONS = """
@app.blob_trigger(arg_name="blob", path="inbox/{name}", connection=STORAGE, source="EventGrid")
def on_event(blob: func.InputStream):
    note(blob.name)
"""


async def upload_elsewhere(world: World) -> None:
    """Upload where the host does not look for blobs by itself: only the event leads to it."""
    await world.account.container("inbox").create()
    await world.account.container("elsewhere").create()
    await world.account.container("elsewhere").write("a", b"a")


async def deliver(world: World, running: RunningApp) -> None:
    """Deliver an event as Event Grid does, which repeats it until it is accepted, and wait until it is processed."""
    url = "http://127.0.0.1:10000/devstoreaccount1/elsewhere/a"
    data = {"api": "PutBlob", "eTag": "0x8D", "blobType": "BlockBlob", "url": url}
    body = json.dumps([{"id": "1", "eventType": "Microsoft.Storage.BlobCreated", "subject": "s", "data": data}])
    path = "/runtime/webhooks/blobs?functionName=Host.Functions.on_event"

    async def is_accepted() -> bool:
        if not world.facts.get("is accepted"):
            answer = await running.post(path, data=body, headers={"aeg-event-type": "Notification"})
            world.facts["is accepted"] = answer.status == 202
        return bool(world.facts["is accepted"])

    async def is_processed() -> bool:
        return not await world.messages(FOUND_BLOBS) and bool(world.runs)

    await until(world, is_accepted)
    await until(world, is_processed)


async def check_event(world: World, where: str) -> None:
    assert {name for [name] in world.runs} == {"elsewhere/a"}, where
    assert await world.messages("webjobs-blobtrigger-poison") == [], where


# Timer ------------------------------------------------------------------------------------------------------------

TIMER_FUNCTIONS = """
@app.timer_trigger(arg_name="timer", schedule="0 0 */1 * * *")
def hourly(timer: func.TimerRequest):
    note(timer.past_due, timer.schedule_status["Next"][11:16])
"""
STATUS = "timers/crashing-1/Host.Functions.hourly/status"


async def sleep_until(world: World, hour: int, minute: int) -> None:
    now = world.clock.now()
    await world.clock.sleep((now.replace(hour=hour, minute=minute, second=0, microsecond=0) - now).total_seconds())


async def begin_before_three(world: World) -> None:
    await world.clock.sleep(timedelta(days=1).total_seconds() - world.clock.now().hour * 3600)
    await sleep_until(world, 2, 59)


async def until_three(world: World, running: RunningApp) -> None:
    await sleep_until(world, 3, 1)


async def miss_the_run_at_four(world: World) -> None:
    world.facts["is monitored"] = STATUS in await world.blobs("azure-webjobs-hosts")
    await sleep_until(world, 4, 20)


async def until_five(world: World, running: RunningApp) -> None:
    await sleep_until(world, 5, 1)


async def check_timer(world: World, where: str) -> None:
    past_due = [run for run in world.runs if run[0]]
    # A host that crashes during its first start stores no status, so the next one knows of no missed run.
    assert len(past_due) == world.facts["is monitored"], (where, world.runs)
    assert [False, "05:00"] in world.runs, (where, world.runs)
    status = json.loads((await world.blobs("azure-webjobs-hosts"))[STATUS])
    assert status["Next"][11:16] == "06:00", where


SCENARIOS = [
    Scenario(
        "queue",
        QUEUE_FUNCTIONS,
        put_messages,
        until_queue_is_empty,
        until_queue_is_empty,
        check_messages,
        quick=[
            ("put sent", 1),
            ("page Known", 1),
            ("delete work", 1),
            ("hide work", 1),
            ("put work-poison", 1),
            ("delete work", 2),
        ],
    ),
    Scenario(
        "blob",
        BLOB_FUNCTIONS,
        upload_one,
        until_blobs_are_processed,
        until_blobs_are_processed,
        check_blobs,
        quick=[
            (f"put {FOUND_BLOBS}", 1),
            ("set_metadata azure-webjobs-hosts", 1),
            ("read_range inbox", 1),
            (f"delete {FOUND_BLOBS}", 1),
            ("put webjobs-blobtrigger-poison", 1),
        ],
    ),
    Scenario(
        "event_grid",
        EVENT_GRID_FUNCTIONS,
        upload_elsewhere,
        deliver,
        deliver,
        check_event,
        quick=[(f"put {FOUND_BLOBS}", 1), ("properties elsewhere", 1), (f"delete {FOUND_BLOBS}", 1)],
    ),
    Scenario(
        "timer",
        TIMER_FUNCTIONS,
        begin_before_three,
        until_three,
        until_five,
        check_timer,
        quick=[("write azure-webjobs-hosts", 3), ("write azure-webjobs-hosts", 4)],
        between=miss_the_run_at_four,
    ),
]


@asynccontextmanager
async def open_world(folder: Path, clock: VirtualClock, *, keeps_locks: bool) -> AsyncIterator[World]:
    (folder / "notes.jsonl").unlink(missing_ok=True)
    options = StartOptions(app=folder, port=0, storage="builtin:memory", settings=SETTINGS)
    async with open_accounts(configure(options, {}).settings, clock) as accounts:
        with TemporaryDirectory() as hosts:
            yield World(folder, clock, LastingParts(accounts), Path(hosts) if keeps_locks else None)


async def run_until_crash(scenario: Scenario, world: World, crash: CrashPoint) -> None:
    """Run the first host until it has finished its work or has crashed."""
    # A host that cannot reach storage when it starts says so; requests of clients fail when it crashes.
    with suppress(EmulatorError, aiohttp.ClientError), ExitStack() as ending:
        async with world.host(crash) as running:
            working = asyncio.create_task(scenario.first(world, running))
            crashing = asyncio.create_task(crash.happened.wait())
            await asyncio.wait({working, crashing}, return_when=asyncio.FIRST_COMPLETED)
            if crash.happened.is_set():
                working.cancel()
                await asyncio.wait({working})
                # What is left of the host waits for storage until its drain ends.
                ending.enter_context(world.clock.running(upkeep=True))
            else:
                crashing.cancel()
                await working


async def run_with(crash: CrashPoint, scenario: Scenario, folder: Path, clock: VirtualClock, *, heir: bool) -> None:
    """Run a scenario on two hosts, the first with this crash, and check the end.

    `heir`: the second host knows the locks of the first one, as after a kill on one machine; otherwise it waits until
    they have expired.
    """
    async with open_world(folder, clock, keeps_locks=heir) as world:
        await scenario.prepare(world)
        await run_until_crash(scenario, world, crash)
        await scenario.between(world)
        async with world.host() as running:
            await scenario.second(world, running)
            await scenario.check(world, f"call {crash.calls}: {crash.log[-1:]}")


# Bindings that make no storage calls of their own: what the others do is in the scenarios.
WITHOUT_STORAGE = {"httpTrigger", "http", "warmupTrigger", "eventGridTrigger", "eventGrid"}
# What the durable extension does in storage is done by the task hub: tests/durable/azurestorage/test_crash_anywhere.py.
OF_TASK_HUB = {"orchestrationTrigger", "activityTrigger", "entityTrigger", "durableClient", "orchestrationClient"}


async def test_every_binding_that_uses_storage_is_in_a_scenario(tmp_path: Path, clock: VirtualClock) -> None:
    functions = [scenario.functions for scenario in SCENARIOS]
    folder = write_app(tmp_path / "app", QUEUE_APP, *functions, host=HOST_JSON)
    async with open_world(folder, clock, keeps_locks=False) as world, world.host() as running:
        offered = {
            (kind, type.lower())
            for extension in running.app.host.extensions
            for kind, types in (("trigger", extension.triggers), ("in", extension.inputs), ("out", extension.outputs))
            for type in types
        }
        tried = {
            ("trigger" if binding.is_trigger else binding.direction, binding.type.lower())
            for function in running.app.host.catalog.functions
            for binding in function.metadata.bindings
        }
    others = {type.lower() for type in WITHOUT_STORAGE | OF_TASK_HUB}
    assert {(kind, type) for kind, type in offered if type not in others} == tried


QUICK = [(scenario, call, heir) for scenario in SCENARIOS for call, heir in zip(scenario.quick, cycle([True, False]))]


@pytest.mark.parametrize(
    ("scenario", "call", "heir"), QUICK, ids=[f"{scenario.name}-{call[0]}-{call[1]}" for scenario, call, _ in QUICK]
)
async def test_a_crash_at_an_important_call_loses_nothing(
    scenario: Scenario, call: tuple[str, int], heir: bool, tmp_path: Path, clock: VirtualClock
) -> None:
    folder = write_app(tmp_path / "app", QUEUE_APP, scenario.functions, host=HOST_JSON)
    crash = CrashPoint(call)
    await run_with(crash, scenario, folder, clock, heir=heir)
    assert crash.happened.is_set()


@pytest.mark.soak
@pytest.mark.parametrize("once", [False, True], ids=["crash", "failure"])
@pytest.mark.parametrize("heir", [False, True], ids=["stranger", "heir"])
@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.value)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_a_crash_or_failure_at_any_call_loses_nothing(
    scenario: Scenario, moment: Moment, heir: bool, once: bool, tmp_path: Path, clock: VirtualClock
) -> None:
    folder = write_app(tmp_path / "app", QUEUE_APP, scenario.functions, host=HOST_JSON)
    without = CrashPoint()
    await run_with(without, scenario, folder, clock, heir=heir)
    assert without.calls > 10
    for number in range(without.calls):
        # Renewals of leases: one of them is like the next.
        if without.log[max(number - 1, 0) : number + 1] != ["renew ", "renew "]:
            await run_with(CrashPoint(number, moment, once=once), scenario, folder, clock, heir=heir)
