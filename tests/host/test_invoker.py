"""One invocation: inputs, retries, time limit, outputs, and what is said: docs/protocol/functions-host.md chapter 7.

The worker is the real one with real apps; extensions are small ones made here.
"""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from emulator.clock import Clock, SystemClock
from emulator.errors import EmulatorError
from emulator.host.bindings import BindingTypes
from emulator.host.captured_outputs import CapturedOutputs, noting
from emulator.host.catalog import Catalog, build_catalog
from emulator.host.invoker import BindingFailed, FunctionTimedOut, Invoker
from emulator.host.port import BindingContext, Extension, Input, Output, Trigger, TriggerEvent
from emulator.logs import get_logger
from emulator.virtual_time import VirtualTimeLoop
from emulator.worker.inprocess import InProcessWorker
from emulator.worker.port import Datum, FunctionFailed, RetryPolicy, Returned
from tests.counting_ids import counting_ids
from tests.running_apps import write_app
from tests.worker.apps import value_of

HEAD = """
import logging, threading
import azure.functions as func
app = func.FunctionApp()
"""
TRIGGER = '@app.generic_trigger(arg_name="x", type="thingTrigger")\n'


class Gone(EmulatorError):
    """What a store of things says."""


@dataclass
class Things:
    """An extension with a store: `thing` bindings read and write it by their `path`."""

    stored: dict[str, Datum] = field(default_factory=dict)
    reading: Callable[[BindingContext], Awaitable[None]] | None = None
    outputs: CapturedOutputs = field(default_factory=CapturedOutputs)

    async def read(self, context: BindingContext) -> Datum | None:
        if self.reading is not None:
            await self.reading(context)
        return self.stored.get(str(context.properties["path"]))

    async def write(self, context: BindingContext, datum: Datum) -> None:
        path = str(context.properties["path"])
        if path == "nowhere":
            raise Gone("Nowhere does not exist.")
        self.stored[path] = datum

    @property
    def extension(self) -> Extension:
        return Extension(
            name="things",
            triggers={"thingtrigger": Trigger(listen=lambda function, binding, invoke: nullcontext())},
            inputs={"thing": Input(read=self.read)},
            outputs={"thing": Output(write=self.write)},
        )


@dataclass(frozen=True)
class Bench:
    clock: Clock
    things: Things
    catalog: Catalog
    invoker: Invoker

    async def call(self, name: str = "f", value: str | None = None, **event: Any) -> Returned:
        function = self.catalog.find(name)
        assert function is not None
        datum = None if value is None else Datum("string", value)
        return await self.invoker.invoke(function, TriggerEvent(value=datum, **event))


Open = Callable[..., Awaitable[Bench]]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Open]:
    """await bench(code, timeout=…, retry=…): an invoker for the functions of that app, in virtual time."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    async with AsyncExitStack() as stack:

        async def open_bench(code: str, *, clock: Clock = loop.clock, **options: Any) -> Bench:
            write_app(tmp_path, HEAD, code)
            worker = InProcessWorker(tmp_path, settings={}, clock=clock, on_log=lambda record: None)
            await stack.enter_async_context(worker)
            things = Things()
            types = BindingTypes(
                [things.extension], around_output=partial(noting, captured=things.outputs, clock=clock)
            )
            catalog = build_catalog(
                await worker.load(), types, expand=lambda text: text, is_disabled=lambda name: False
            )
            assert catalog.problems == []
            invoker = Invoker(
                worker,
                types,
                prepared=catalog.prepared,
                clock=clock,
                new_id=counting_ids(),
                spread=lambda low, high: 1.0,
                **options,
            )
            stack.enter_context(loop.clock.running())
            return Bench(clock, things, catalog, invoker)

        yield open_bench


def told(caplog: pytest.LogCaptureFixture, category: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == f"emulator.categories.{category}"]


@pytest.fixture(autouse=True)
def _hear_everything() -> Iterator[None]:
    host = get_logger("emulator")
    host.setLevel(logging.DEBUG)
    yield
    host.setLevel(logging.NOTSET)


FIRST_ID = "00000000-0000-0000-0000-000000000001"


async def test_inputs_are_read_and_outputs_written_by_their_rendered_members(bench: Open) -> None:
    app = await bench("""
@app.generic_input_binding(arg_name="old", type="thing", path="in/{name}")
@app.generic_output_binding(arg_name="new", type="thing", path="out/{name}/{sys.methodname}")
@app.generic_output_binding(arg_name="unset", type="thing", path="never")
@app.generic_output_binding(arg_name="$return", type="thing", path="returned/{id}")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, old, new: func.Out[str], unset: func.Out[str]):
    new.set(old + "!")
    return "back"
""")
    app.things.stored["in/a"] = Datum("string", "old text")
    returned = await app.call(value='{"id": 7}', binding_data={"Name": "a", "id": 1})
    assert app.things.stored == {
        "in/a": Datum("string", "old text"),
        "out/a/f": Datum("string", "old text!"),
        "returned/7": Datum("string", "back"),
    }
    assert returned.value == Datum("string", "back")


async def test_inputs_are_read_concurrently(bench: Open) -> None:
    app = await bench("""
@app.generic_input_binding(arg_name="a", type="thing", path="a")
@app.generic_input_binding(arg_name="b", type="thing", path="b")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, a, b): return f"{a} {b}"
""")
    together = asyncio.Barrier(2)

    async def meet(context: BindingContext) -> None:
        await together.wait()

    app.things.reading = meet
    assert (await app.call()).value == Datum("string", "None None")


async def test_log_lines_of_a_successful_invocation(bench: Open, caplog: pytest.LogCaptureFixture) -> None:
    app = await bench(
        TRIGGER
        + """
def f(x):
    logging.warning("careful"); print("printed"); logging.getLogger("azure.functions.inner").info("hidden")
"""
    )
    await app.call(reason="New thing detected.", details={"Id": "5", "Count": "1"})
    assert told(caplog, "Function.f") == [
        f"Executing 'Functions.f' (Reason='New thing detected.', Id={FIRST_ID})",
        "Trigger Details: Id: 5, Count: 1",
        f"Executed 'Functions.f' (Succeeded, Id={FIRST_ID}, Duration=0ms)",
    ]
    assert told(caplog, "Function.f.User") == ["careful"]
    assert told(caplog, "Host.Function.Console") == ["printed"]
    assert told(caplog, "Worker.python") == ["hidden"]
    own = [record for record in caplog.records if record.name.startswith("emulator.categories.")]
    assert {vars(record)["invocation_id"] for record in own} == {FIRST_ID}


async def test_a_failure_is_logged_once_and_raised(bench: Open, caplog: pytest.LogCaptureFixture) -> None:
    app = await bench(TRIGGER + "def f(x): raise ValueError('boom')")
    with pytest.raises(FunctionFailed, match="ValueError: boom"):
        await app.call(invocation_id="given")
    executing, executed, exception = told(caplog, "Function.f")
    assert executing.endswith("Id=given)")
    assert executed == "Executed 'Functions.f' (Failed, Id=given, Duration=0ms)"
    lines = exception.splitlines()
    assert lines[0] == "Exception while executing function: Functions.f. Result: Failure"
    assert lines[1] == "Exception: ValueError: boom"
    assert 'function_app.py", line' in lines[2]


async def test_a_failing_function_writes_nothing(bench: Open) -> None:
    app = await bench("""
@app.generic_output_binding(arg_name="new", type="thing", path="out")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, new: func.Out[str]):
    new.set("half"); raise RuntimeError
""")
    with pytest.raises(FunctionFailed):
        await app.call()
    assert app.things.stored == {}


async def test_an_expression_without_a_value_fails_the_invocation(bench: Open) -> None:
    app = await bench("""
@app.generic_input_binding(arg_name="a", type="thing", path="{unknown}")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, a): ...
""")
    with pytest.raises(BindingFailed) as failed:
        await app.call()
    assert (
        str(failed.value)
        == "Exception binding parameter 'a'. No value for named parameter 'unknown'. The trigger gives: no names."
    )


async def test_an_output_that_cannot_be_written_fails_the_invocation(
    bench: Open, caplog: pytest.LogCaptureFixture
) -> None:
    app = await bench("""
@app.generic_output_binding(arg_name="a", type="thing", path="nowhere")
@app.generic_output_binding(arg_name="b", type="thing", path="somewhere")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, a: func.Out[str], b: func.Out[str]):
    a.set("1"); b.set("2")
""")
    with pytest.raises(BindingFailed) as failed:
        await app.call()
    assert str(failed.value) == "Error while handling parameter a after function returned: Nowhere does not exist."
    assert "somewhere" in app.things.stored
    assert told(caplog, "Function.f")[1].startswith("Executed 'Functions.f' (Failed,")


async def test_a_missing_input_is_none(bench: Open) -> None:
    app = await bench("""
@app.generic_input_binding(arg_name="a", type="thing", path="missing")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, a): return str(a)
""")
    assert (await app.call()).value == Datum("string", "None")


# Retries --------------------------------------------------------------------------------------------------------

FLAKY = """
@app.retry({policy})
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, context):
    retry = context.retry_context
    print(retry.retry_count, retry.max_retry_count, retry.exception.message.partition("Stack:")[0].split("\\n")[1:2])
    if retry.retry_count < {failures}: raise ValueError("again")
    return "done"
"""


async def test_a_function_is_retried_until_it_succeeds(bench: Open, caplog: pytest.LogCaptureFixture) -> None:
    policy = 'strategy="fixed_delay", max_retry_count="3", delay_interval="00:00:05"'
    app = await bench(FLAKY.format(policy=policy, failures=2))
    began = app.clock.now()
    assert (await app.call(invocation_id="first")).value == Datum("string", "done")
    assert app.clock.now() - began == timedelta(seconds=10)
    assert told(caplog, "Host.Function.Console") == [
        "0 3 []",
        "1 3 ['Exception: ValueError: again']",
        "2 3 ['Exception: ValueError: again']",
    ]
    # All attempts of an event are one invocation.
    ids = [line.partition("Id=")[2] for line in told(caplog, "Function.f") if line.startswith("Executing")]
    assert ids == ["first)"] * 3
    assert (
        "Waiting for `00:00:05` before retrying function execution. Next attempt: '1'. Max retry count: '3'."
        in told(caplog, "Function.f")
    )


async def test_a_function_that_never_succeeds_fails_at_last(bench: Open, caplog: pytest.LogCaptureFixture) -> None:
    policy = 'strategy="fixed_delay", max_retry_count="2", delay_interval="00:01:00"'
    app = await bench(FLAKY.format(policy=policy, failures=99))
    with pytest.raises(FunctionFailed):
        await app.call()
    assert len(told(caplog, "Host.Function.Console")) == 3
    assert told(caplog, "Function.f")[-1] == "Function execution failed after '2' retries."


async def test_exponential_delays_grow_to_the_maximum(bench: Open) -> None:
    policy = (
        'strategy="exponential_backoff", max_retry_count="-1", minimum_interval="00:00:02", maximum_interval="00:00:15"'
    )
    app = await bench(FLAKY.format(policy=policy, failures=5))
    began = app.clock.now()
    await app.call()
    assert app.clock.now() - began == timedelta(seconds=2 + 4 + 6 + 10 + 15)


async def test_the_policy_of_host_json_applies_to_functions_without_their_own(bench: Open) -> None:
    app = await bench(
        TRIGGER + "def f(x, context):\n    if context.retry_context.retry_count == 0: raise ValueError",
        retry=RetryPolicy("fixed_delay", 1, delay=7),
    )
    began = app.clock.now()
    await app.call()
    assert app.clock.now() - began == timedelta(seconds=7)


async def test_a_host_that_stops_ends_the_wait_for_a_retry(bench: Open, caplog: pytest.LogCaptureFixture) -> None:
    app = await bench(TRIGGER + "def f(x): raise ValueError('down')", retry=RetryPolicy("fixed_delay", 3, delay=3600))
    began = app.clock.now()
    running = asyncio.create_task(app.call())
    asyncio.get_running_loop().call_soon(app.invoker.stop_retrying)
    with pytest.raises(FunctionFailed, match="ValueError: down"):
        await running
    assert app.clock.now() == began
    assert told(caplog, "Function.f")[-1] == "Invocation cancelled - exiting retry loop."
    assert len([line for line in told(caplog, "Function.f") if line.startswith("Executing")]) == 1


async def test_a_failed_input_and_a_failed_output_are_retried(bench: Open) -> None:
    app = await bench(
        """
@app.generic_input_binding(arg_name="a", type="thing", path="a")
@app.generic_output_binding(arg_name="b", type="thing", path="b")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, a, b: func.Out[str], context):
    b.set(str(context.retry_context.retry_count))
""",
        retry=RetryPolicy("fixed_delay", 3, delay=1),
    )
    failures = iter([Gone("away"), Gone("still away")])

    async def fail_twice(context: BindingContext) -> None:
        for error in failures:
            raise error

    app.things.reading = fail_twice
    await app.call()
    assert app.things.stored["b"] == Datum("string", "2")


async def test_outputs_that_were_sent_are_noted(bench: Open) -> None:
    app = await bench("""
@app.generic_output_binding(arg_name="a", type="thing", path="nowhere")
@app.generic_output_binding(arg_name="$return", type="thing", path="out/{sys.methodname}")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, a: func.Out[str]):
    a.set("lost")
    return {"n": 1}
""")
    with pytest.raises(BindingFailed):
        await app.call(invocation_id="one")
    [output] = app.things.outputs.of("F")
    assert (output.binding, output.value, output.sent, output.properties["path"], output.invocation_id) == (
        "$return",
        {"n": 1},
        True,
        "out/f",
        "one",
    )


async def test_without_a_policy_the_retry_context_is_empty(bench: Open) -> None:
    app = await bench(TRIGGER + "def f(x, context): return context.retry_context.max_retry_count")
    assert (await app.call()).value == Datum("int", 0)


async def test_every_invocation_is_a_span_of_its_events_trace(bench: Open) -> None:
    app = await bench(TRIGGER + "def f(x, context): return context.trace_context.trace_parent")
    own = value_of(await app.call())
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", own)
    theirs = value_of(await app.call(trace_parent=f"00-{'a' * 32}-{'b' * 16}-00"))
    assert re.fullmatch(rf"00-{'a' * 32}-(?!{'b' * 16})[0-9a-f]{{16}}-00", theirs)


# Time limit -----------------------------------------------------------------------------------------------------


async def test_the_time_limit_applies_to_the_function_and_not_to_its_bindings(
    bench: Open, caplog: pytest.LogCaptureFixture
) -> None:
    app = await bench(
        """
@app.generic_input_binding(arg_name="a", type="thing", path="a")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, a): ...
""",
        timeout=timedelta(minutes=5),
    )
    app.things.reading = lambda context: app.clock.sleep(600)
    await app.call()
    assert told(caplog, "Function.f")[-1].startswith("Executed 'Functions.f' (Succeeded")


async def test_the_result_of_a_function_that_takes_too_long_is_discarded(
    bench: Open, caplog: pytest.LogCaptureFixture
) -> None:
    app = await bench(
        f"""
go_on = threading.Event()
@app.generic_output_binding(arg_name="a", type="thing", path="a")
{TRIGGER}
def f(x, a: func.Out[str]): a.set("late"); go_on.wait()
{TRIGGER}
def release(x): go_on.set()
""",
        clock=SystemClock(),  # Virtual time stands still while user code runs.
        timeout=timedelta(milliseconds=20),
    )
    with pytest.raises(FunctionTimedOut) as failed:
        await app.call(invocation_id="slow")
    assert str(failed.value) == "Timeout value of 00:00:00.0200000 was exceeded by function: Functions.f"
    said = told(caplog, "Function.f")
    assert said[1] == (
        "Timeout value of 00:00:00.0200000 exceeded by function 'Functions.f' (Id: 'slow'). Initiating cancellation."
    )
    assert said[2].startswith("Executed 'Functions.f' (Failed, Id=slow,")
    await app.call("release")
    assert app.things.stored == {}


# Draining -------------------------------------------------------------------------------------------------------


async def test_running_invocations_are_counted(bench: Open) -> None:
    app = await bench(
        "go_on = threading.Event()\n" + TRIGGER + "def f(x): go_on.wait()\n" + TRIGGER + "def release(x): go_on.set()"
    )
    assert app.invoker.running == 0
    await app.invoker.wait_until_idle()
    running = asyncio.create_task(app.call())
    await asyncio.sleep(0)
    assert app.invoker.running == 1
    await app.call("release")
    await app.invoker.wait_until_idle()
    await running
    assert app.invoker.running == 0


async def test_a_stream_is_given_to_the_function_and_closed_after_it(bench: Open) -> None:
    app = await bench("""
@app.generic_input_binding(arg_name="content", type="thing", path="in")
@app.generic_output_binding(arg_name="copy", type="thing", path="out")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, content, copy: func.Out[bytes]):
    copy.set(content.read(4) + b"|" + content.read())
""")
    stream = io.BytesIO(b"abcdefgh")

    async def enter(context: BindingContext) -> None:
        context.resources.enter_context(stream)

    app.things.reading = enter
    app.things.stored["in"] = Datum("stream", stream)
    await app.call()
    assert app.things.stored["out"] == Datum("bytes", b"abcd|efgh")
    assert stream.closed


async def test_a_stream_is_closed_when_the_function_fails(bench: Open) -> None:
    app = await bench("""
@app.generic_input_binding(arg_name="content", type="thing", path="in")
@app.generic_trigger(arg_name="x", type="thingTrigger")
def f(x, content):
    raise ValueError("boom")
""")
    stream = io.BytesIO()

    async def enter(context: BindingContext) -> None:
        context.resources.enter_context(stream)

    app.things.reading = enter
    app.things.stored["in"] = Datum("stream", stream)
    with pytest.raises(FunctionFailed):
        await app.call()
    assert stream.closed
