"""Replays what a recorded test did with queues against a host of azemu, in virtual time on the built-in store.

The functions do what messages tell them, as the recorded ones: `fail` raises, `sleep:4` takes four seconds. Those pass
in virtual time, between the host's call of the function and the function itself.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

from emulator.app import App, open_app
from emulator.clock import Clock
from emulator.config.start import StartOptions
from emulator.storage.builtin import BuiltinAccount
from emulator.storage.port import QueueMessage
from emulator.worker.port import FunctionMetadata, Invocation, Returned, Worker
from tests.recordings.triggers import TRIGGERS
from tests.running_apps import write_app
from tests.storage_calls import StorageCalls

APP = """
import pathlib

import azure.functions as func

app = func.FunctionApp()
STORAGE = "AzureWebJobsStorage"


def obey(text):
    if "fail" in text:
        raise RuntimeError("told to fail")


@app.function_name("QString")
@app.queue_trigger(arg_name="msg", queue_name="%q%", connection=STORAGE)
def q_string(msg: func.QueueMessage):
    obey(msg.get_body().decode())


@app.function_name("QPlain")
@app.queue_trigger(arg_name="msg", queue_name="%q%", connection=STORAGE)
async def q_plain(msg: func.QueueMessage):
    obey(msg.get_body().decode())


@app.function_name("QBytes")
@app.queue_trigger(arg_name="msg", queue_name="qbytes", connection=STORAGE, data_type="BINARY")
def q_bytes(msg: func.QueueMessage):
    pass


@app.function_name("QPoison")
@app.queue_trigger(arg_name="msg", queue_name="%q%-poison", connection=STORAGE)
def q_poison(msg: func.QueueMessage):
    obey(pathlib.Path(__file__).with_name("told").read_text())


@app.function_name("QRetry")
@app.retry(strategy="fixed_delay", max_retry_count="2", delay_interval="00:00:02")
@app.queue_trigger(arg_name="msg", queue_name="%q%", connection=STORAGE)
def q_retry(msg: func.QueueMessage):
    obey(msg.get_body().decode())


@app.function_name("OutString")
@app.generic_trigger(arg_name="call", type="manualTrigger")
@app.queue_output(arg_name="out", queue_name="%out%", connection=STORAGE)
def out_string(call: str, out: func.Out[str]):
    out.set(call)
"""
OPTION = "AzureWebJobs:extensions:queues:"
_SLEEP = re.compile(r"sleep:([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Run:
    """One call of a function: its message, when it began and ended, and whether it succeeded."""

    function: str
    message: str | bytes
    metadata: Mapping[str, Any]
    began_at: datetime
    ended_at: datetime
    succeeded: bool


@dataclass
class Runs:
    """All runs of a host, in the order of their beginnings, as far as they have begun (`begun`) and ended (`ended`)."""

    clock: Clock
    begun: list[Invocation] = field(default_factory=list)
    ended: list[Run] = field(default_factory=list)

    @asynccontextmanager
    async def around_worker(self, opening: AbstractAsyncContextManager[Worker]) -> AsyncIterator[Worker]:
        async with opening as worker:
            yield _ObservedWorker(worker, self)


class _ObservedWorker:
    def __init__(self, worker: Worker, runs: Runs) -> None:
        self._worker = worker
        self._runs = runs

    async def load(self) -> Sequence[FunctionMetadata]:
        return await self._worker.load()

    async def invoke(self, invocation: Invocation) -> Returned:
        runs, began_at = self._runs, self._runs.clock.now()
        runs.begun.append(invocation)
        value = invocation.inputs.get("msg")
        message = value.value if value is not None else ""
        told = _SLEEP.search(message) if isinstance(message, str) else None
        if told:
            await runs.clock.sleep(float(told[1]))
        succeeded = False
        try:
            returned = await self._worker.invoke(invocation)
            succeeded = True
            return returned
        finally:
            metadata = {name: datum.value for name, datum in invocation.trigger_metadata.items()}
            runs.ended.append(Run(invocation.function, message, metadata, began_at, runs.clock.now(), succeeded))


class Replay:
    """A host that is started, stopped and given messages, as the steps of a recording say."""

    def __init__(self, folder: Path, account: BuiltinAccount, clock: Clock, **settings: str) -> None:
        self.account = account
        self.calls = StorageCalls()
        self.runs = Runs(clock)
        self.texts: dict[str, str] = {}
        """The texts, as stored, of the messages that were put, by message id."""
        self.clock = clock
        self._folder = write_app(folder, APP)
        self._settings = {"q": "q-work", "out": "out", **settings}
        self._host = AsyncExitStack()
        self.app: App | None = None
        self._receive_next = 0
        self.tell("")

    def tell(self, what: str) -> None:
        """Say what functions do that take no orders from their messages: "fail" or anything else."""
        (self._folder / "told").write_text(what)

    async def start(self, functions: str, options: Sequence[str] = ()) -> App:
        """Start a host with these functions (comma-separated) and recorded options."""
        settings = dict(self._settings)
        for option in options:
            name, separator, value = option.partition("=")
            if name.startswith(OPTION):
                settings[f"AzureFunctionsJobHost__extensions__queues__{name.removeprefix(OPTION)}"] = value
            elif separator:
                settings[name] = value
        chosen = StartOptions(
            app=self._folder,
            port=0,
            storage="builtin:memory",
            functions=[*functions.split(","), "OutString"],
            settings=settings,
        )
        # The host's own account would end with it; this one stays, as storage does.
        self.app = await self._host.enter_async_context(
            open_app(
                chosen,
                clock=self.clock,
                around_account=lambda _: self.calls.around(self.account),
                around_worker=self.runs.around_worker,
            )
        )
        return self.app

    async def stop(self) -> None:
        """Stop the host in order."""
        await self._host.aclose()
        self.app = None

    async def put(self, queue: str, stored: str, **options: Any) -> QueueMessage:
        """Put a message with this text, as stored; it lives for a week unless `lives_for` says otherwise."""
        message = await self.account.queue(queue).put(stored, **{"lives_for": timedelta(days=7), **options})
        self.texts[message.id] = stored
        return message

    async def play(self, scenario: str, *, host: int = 1, until: float = float("inf")) -> None:
        """Do what the recorded test did, at its times. `until`: up to this time; then stop the host."""
        steps = [step for step in TRIGGERS.steps(scenario) if step["t"] <= until]
        began_at = self.clock.now() - timedelta(seconds=steps[0]["t"])
        for step, following in zip_longest(steps, steps[1:]):
            await self.clock.sleep((began_at + timedelta(seconds=step["t"]) - self.clock.now()).total_seconds())
            # The recorded host took a second to start, and was told before it received anything.
            if following is not None and "ready" in following["test"]:
                for told in steps:
                    if "shall now" in told["test"] and 0 <= told["t"] - following["t"] < 0.1:
                        await self._do(told, host)
            await self._do(step, host)
        if until < float("inf"):
            await self.clock.sleep((began_at + timedelta(seconds=until) - self.clock.now()).total_seconds())
        await self.stop()

    async def _do(self, step: Mapping[str, Any], host: int) -> None:
        match step["test"].split():
            case ["host", number, "started"] if int(number) == host:
                await self.start(step["functions"], step["options"])
            case ["host", number, "SIGTERM"] if int(number) == host:
                await self.stop()
            case [_, "shall", "now:", what]:
                self.tell(what)
            case ["storage", what]:
                self.calls.cut_off = what == "stops"
            case ["create", "queue", name]:
                await self.account.queue(name).create()
            case ["delete", "queue", *_]:
                await self.account.queue(self._settings["q"]).drop()
            case ["a", "message", "that", "was", "received", "twice", *_]:
                self._receive_next = 2
            case ["put", "message", "on", name]:
                await self._put_as_recorded(name, step)
            case ["message", what, *_]:
                await self._change_message_in_work(deletes=what == "deleted")

    async def _put_as_recorded(self, name: str, step: Mapping[str, Any]) -> None:
        seconds = step.get("time_to_live", 7 * 86400)
        await self.put(
            name,
            step["stored"],
            lives_for=None if seconds == -1 else timedelta(seconds=seconds),
            visible_in=timedelta(seconds=step.get("visibility_timeout", 0)),
        )
        for _ in range(self._receive_next):
            await self.account.queue(name).get(limit=1, hide_for=timedelta(seconds=1))
            await self.clock.sleep(1.1)
        self._receive_next = 0

    async def _change_message_in_work(self, *, deletes: bool) -> None:
        """Delete the message of the last run that began, or give it another text and hide it, as somebody else."""
        # With the receipt that the function got.
        metadata = {name: datum.value for name, datum in self.runs.begun[-1].trigger_metadata.items()}
        at = self.clock.now()
        message = QueueMessage(metadata["Id"], "", metadata["PopReceipt"], 1, at, at)
        queue = self.account.queue(self._settings["q"])
        if deletes:
            await queue.delete(message)
        else:
            changed = base64.b64encode(b"changed").decode()
            await queue.hide(message, hide_for=timedelta(seconds=8), body=changed)

    # What has happened ------------------------------------------------------------------------------------------

    def story(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return what the host has changed, by the stored text of the message: ("update", seconds), ("delete",),
        ("put", queue); and under "created" the queues that it has created.
        """
        story: dict[str, list[tuple[Any, ...]]] = {}
        for change in self.calls.changes:
            match change.operation:
                case "update":
                    text = self.texts[change.arguments["message"].id]
                    story.setdefault(text, []).append(("update", change.arguments["hide_for"].total_seconds()))
                case "delete":
                    story.setdefault(self.texts[change.arguments["message"].id], []).append(("delete",))
                case "put":
                    self.texts[change.answer.id] = change.arguments["body"]
                    story.setdefault(change.arguments["body"], []).append(("put", change.target))
                case "create":
                    story.setdefault("created", []).append((change.target,))
        return story

    async def texts_left(self) -> Counter[tuple[str, str]]:
        """Return the messages that are in the account, as queue and stored text."""
        left: Counter[tuple[str, str]] = Counter()
        async for name in self.account.queues():
            left.update((name, message.body) for message in await self.account.queue(name).list_messages())
        return left


def recorded_texts_left(scenario: str) -> Counter[tuple[str, str]]:
    """Return the messages that were left at the end of a recording, in the form of `Replay.texts_left`."""
    queues = TRIGGERS.storage(scenario)["queues"]
    return Counter((name, message["stored"]) for name, queue in queues.items() for message in queue["messages"])


def recorded_story(scenario: str, *, host: int = 1, until: float = float("inf")) -> dict[str, list[tuple[Any, ...]]]:
    """Return the story of a recording, in the form of `Replay.story`."""
    texts = {line["id"]: line["stored"] for line in TRIGGERS.steps(scenario) if line["test"].startswith("put message")}
    story: dict[str, list[tuple[Any, ...]]] = {}
    for change in TRIGGERS.changes(scenario):
        if change.get("host") != host or change["t"] > until or "queue" not in change or not change["status"]:
            continue  # Another host's, or a request without a response.
        match change["op"]:
            case "put":
                texts[change["message"]["MessageId"]] = change["stored"]
                story.setdefault(change["stored"], []).append(("put", change["queue"]))
            case "update":
                story.setdefault(texts[change["id"]], []).append(("update", float(change["hide"])))
            case "delete":
                story.setdefault(texts[change["id"]], []).append(("delete",))
            case "create":
                story.setdefault("created", []).append((change["queue"],))
    return story


def recorded_runs(scenario: str, *, host: int = 1, until: float = float("inf")) -> list[tuple[str, Any, Any, bool]]:
    """Return the recorded runs, sorted: function, text, dequeue count, whether it succeeded."""
    lines = [line for line in TRIGGERS.received(scenario) if line["host"] == host and line["t"] <= until]
    failed = {line["invocation"] for line in lines if line["event"] == "throws"}
    return sorted(
        (
            line["function"],
            line["bindingData"].get("QueueTrigger", {}).get("json"),
            line["bindingData"]["DequeueCount"]["json"],
            line["invocation"] not in failed,
        )
        for line in lines
        if line["event"] == "start"
    )


def runs_of(replay: Replay) -> list[tuple[str, Any, Any, bool]]:
    """Return the runs in the form of `recorded_runs`."""
    return sorted(
        (run.function, run.metadata.get("QueueTrigger"), json.loads(run.metadata["DequeueCount"]), run.succeeded)
        for run in replay.runs.ended
    )
