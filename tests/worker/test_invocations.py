"""Invocations: threads and loops that functions run on, their context, and their failures."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from emulator.virtual_time import VirtualTimeLoop
from emulator.worker.port import Datum, FunctionFailed, RetryContext, Returned, WorkerError
from tests.worker.apps import Load, WriteApp, http_request, new_invocation, new_worker, text, value_of

HEAD = """
import asyncio, contextvars, logging, os, sys, threading, time
import azure.functions as func
app = func.FunctionApp()
"""


async def test_sync_functions_run_on_threads_and_async_functions_on_the_apps_loop(load: Load) -> None:
    app = await load(
        HEAD
        + """
@app.generic_trigger(arg_name="x", type="someTrigger")
def sync(x): return threading.current_thread().name

@app.generic_trigger(arg_name="x", type="someTrigger")
async def asynchronous(x): return f"{threading.current_thread().name} {id(asyncio.get_running_loop())}"

@app.generic_trigger(arg_name="x", type="someTrigger")
async def another(x): return f"{threading.current_thread().name} {id(asyncio.get_running_loop())}"
"""
    )
    assert (await app.call("sync", x=None)).value == text("function-1")
    first = value_of(await app.call("asynchronous", x=None))
    second = value_of(await app.call("another", x=None))
    assert first == second
    assert first.split() == ["function-app", first.split()[1]]
    assert first.split()[1] != str(id(asyncio.get_running_loop()))


async def test_blocking_async_function_does_not_block_the_host_loop(load: Load) -> None:
    app = await load(
        HEAD
        + """
release = threading.Event()
@app.generic_trigger(arg_name="x", type="someTrigger")
async def block(x):
    release.wait()
    return "released"
@app.generic_trigger(arg_name="x", type="someTrigger")
def let_go(x): release.set()
"""
    )
    blocked = asyncio.create_task(app.call("block", x=None))
    await app.call("let_go", x=None)
    assert (await blocked).value == text("released")


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHON_THREADPOOL_THREAD_COUNT": "3"},
        {"PYTHON_THREADPOOL_THREAD_COUNT": "1", "FUNCTIONS_WORKER_PROCESS_COUNT": "3"},
    ],
    ids=["threads", "processes"],
)
async def test_sync_functions_run_concurrently_up_to_the_thread_limit(load: Load, settings: dict[str, str]) -> None:
    app = await load(
        HEAD
        + """
together = threading.Barrier(3)
@app.generic_trigger(arg_name="x", type="someTrigger")
def meet(x): return str(together.wait(timeout=20) >= 0)
""",
        settings=settings,
    )
    returned = await asyncio.gather(*(app.call("meet", x=None) for _ in range(6)))
    assert [result.value for result in returned] == [text("True")] * 6


@pytest.mark.parametrize("processes", ["", "-1", "two", "1"])
async def test_thread_limit_of_one_serializes_sync_functions(load: Load, processes: str) -> None:
    app = await load(
        HEAD
        + """
running = []
@app.generic_trigger(arg_name="x", type="someTrigger")
def count(x):
    running.append(x)
    seen = len(running)
    time.sleep(0.001)
    running.remove(x)
    return seen
""",
        settings={"PYTHON_THREADPOOL_THREAD_COUNT": "1", "FUNCTIONS_WORKER_PROCESS_COUNT": processes},
    )
    returned = await asyncio.gather(*(app.call("count", x=text(str(n))) for n in range(5)))
    assert [result.value for result in returned] == [Datum("int", 1)] * 5


async def test_context_has_the_attributes_of_the_invocation(load: Load) -> None:
    app = await load(
        HEAD
        + """
@app.generic_trigger(arg_name="x", type="someTrigger")
def f(x, context: func.Context):
    trace, retry = context.trace_context, context.retry_context
    return [
        context.invocation_id, context.function_name, context.function_directory == os.path.dirname(__file__),
        trace.trace_parent, trace.trace_state, trace.attributes, trace.Traceparent,
        retry.retry_count, retry.max_retry_count, retry.exception.message,
        context.thread_local_storage.invocation_id,
    ]
"""
    )
    invocation = replace(
        app.invocation("f", x=None),
        trace_parent="00-1-2-01",
        trace_state="s",
        trace_attributes={"k": "v"},
        retry=RetryContext(retry_count=1, max_retry_count=3, exception="it broke"),
    )
    returned = await app.worker.invoke(invocation)
    assert returned.value == Datum(
        "json",
        '["id-of-f", "f", true, "00-1-2-01", "s", {"k": "v"}, "00-1-2-01", 1, 3, "it broke", "id-of-f"]',
    )


async def test_context_variables_do_not_leak_into_the_next_call(load: Load) -> None:
    app = await load(
        HEAD
        + """
seen = contextvars.ContextVar("seen", default="nothing")
def note(x):
    before = seen.get(); seen.set(x); return before
sync = app.generic_trigger(arg_name="x", type="someTrigger")(note)
@app.function_name("asynchronous")
@app.generic_trigger(arg_name="x", type="someTrigger")
async def asynchronous(x): return note(x)
""",
        settings={"PYTHON_THREADPOOL_THREAD_COUNT": "1"},
    )
    for function in ("note", "note", "asynchronous", "asynchronous"):
        assert (await app.call(function, x=text("mine"))).value == text("nothing")


FAILURES = [
    ("raise ValueError('boom')", "ValueError", "boom"),
    ("raise SystemExit(7)", "SystemExit", "7"),
    ("sys.exit('bye')", "SystemExit", "bye"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt", ""),
    ("raise asyncio.CancelledError", "CancelledError", ""),
    ("raise BaseExceptionGroup('many', [KeyboardInterrupt()])", "BaseExceptionGroup", "many (1 sub-exception)"),
]


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(("statement", "type_name", "message"), FAILURES)
async def test_worker_survives_any_exception_of_a_function(
    load: Load, kind: str, statement: str, type_name: str, message: str
) -> None:
    app = await load(
        HEAD
        + f"""
@app.generic_trigger(arg_name="x", type="someTrigger")
{kind} f(x):
    if x == "fail":
        {statement}
    return "fine"
"""
    )
    with pytest.raises(FunctionFailed) as failed:
        await app.call("f", x=text("fail"))
    assert (failed.value.type_name, failed.value.text) == (type_name, message)
    assert type(failed.value.cause).__name__ == type_name
    assert str(failed.value).startswith(f"Result: Failure\nException: {type_name}: {message}\nStack:   File ")
    assert failed.value.stack.count("File ") == 1
    assert (await app.call("f", x=text("again"))).value == text("fine")


async def test_sys_exit_in_a_background_task_does_not_stop_other_functions(load: Load) -> None:
    app = await load(
        HEAD
        + """
async def leave(): sys.exit(1)
@app.generic_trigger(arg_name="x", type="someTrigger")
async def f(x):
    asyncio.get_running_loop().create_task(leave())
    await asyncio.sleep(0.01)
    return "here"
"""
    )
    assert (await app.call("f", x=None)).value == text("here")
    assert (await app.call("f", x=None)).value == text("here")


async def test_exception_whose_str_raises_has_the_official_text(load: Load) -> None:
    app = await load(
        HEAD
        + """
class Mute(Exception):
    def __str__(self): raise RuntimeError
@app.generic_trigger(arg_name="x", type="someTrigger")
def f(x): raise Mute
"""
    )
    with pytest.raises(FunctionFailed, match="Could not serialize original exception message"):
        await app.call("f", x=None)


async def test_unknown_function_raises_worker_error(load: Load) -> None:
    app = await load(HEAD)
    with pytest.raises(WorkerError, match='no function "nowhere"'):
        await app.call("nowhere")


async def test_missing_input_raises_type_error(load: Load) -> None:
    app = await load(HEAD + '@app.generic_trigger(arg_name="x", type="someTrigger")\ndef f(x): ...')
    with pytest.raises(FunctionFailed, match=r"missing 1 required positional argument: 'x'"):
        await app.call("f")


async def test_cancelled_invoke_does_not_stop_the_function(load: Load) -> None:
    app = await load(
        HEAD
        + """
go_on, done = threading.Event(), threading.Event()
@app.generic_trigger(arg_name="x", type="someTrigger")
def slow(x):
    go_on.wait(); done.set()
@app.generic_trigger(arg_name="x", type="someTrigger")
def see(x):
    go_on.set(); return str(done.wait(timeout=20))
"""
    )
    waiting = asyncio.create_task(app.call("slow", x=None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await app.call("see", x=None)).value == text("True")


async def test_a_function_that_cancels_all_tasks_ends(load: Load) -> None:
    app = await load(
        HEAD
        + """
import asyncio
@app.generic_trigger(arg_name="x", type="someTrigger")
async def waits(x):
    await asyncio.Event().wait()
@app.generic_trigger(arg_name="x", type="someTrigger")
async def cancel(x):
    for task in asyncio.all_tasks():
        task.cancel()
    return "done"
"""
    )
    waiting = asyncio.create_task(app.call("waits", x=None))
    await asyncio.sleep(0)
    cancelling = [asyncio.create_task(app.call("cancel", x=None)) for _ in range(2)]
    outcomes = await asyncio.gather(waiting, *cancelling, return_exceptions=True)
    assert all(isinstance(outcome, FunctionFailed) or outcome == Returned(text("done")) for outcome in outcomes)


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_function_that_never_returns_does_not_block_the_stop(write_app: WriteApp, kind: str) -> None:
    folder = write_app(
        HEAD
        + f"""
stuck = threading.Event()
@app.generic_trigger(arg_name="x", type="someTrigger")
{kind} f(x):
    print("in it")
    stuck.wait()
"""
    )
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with new_worker(folder) as worker:
        await worker.load()
        release = sys.modules["function_app"].stuck
        invocation = new_invocation("f", on_log=lambda record: loop.call_soon_threadsafe(entered.set))
        running = asyncio.create_task(worker.invoke(invocation))
        await entered.wait()
        running.cancel()
    release.set()


async def test_asgi_app_receives_lifespan_startup_and_shutdown(write_app: WriteApp, tmp_path: Path) -> None:
    messages = tmp_path / "messages"
    folder = write_app(
        f"""
import azure.functions as func
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            with open({str(messages)!r}, "a") as file: file.write(message["type"] + "\\n")
            await send({{"type": message["type"] + ".complete"}})
        return
    await send({{"type": "http.response.start", "status": 202, "headers": [(b"x-a", b"1")]}})
    await send({{"type": "http.response.body", "body": scope["path"].encode()}})
app = func.AsgiFunctionApp(app=asgi)
"""
    )
    async with new_worker(folder) as worker:
        await worker.load()
        call = new_invocation("http_app_func", inputs={"req": http_request(url="http://localhost:7071/api/x/y")})
        response = value_of(await worker.invoke(call))
        assert (response.status, response.body) == (202, b"/api/x/y")
    assert messages.read_text().split() == ["lifespan.startup", "lifespan.shutdown"]


async def test_worker_extensions_run_only_if_the_setting_is_on(load: Load) -> None:
    code = """
import azure.functions as func
class Hooks(func.AppExtensionBase):
    @classmethod
    def pre_invocation_app_level(cls, logger, context, func_args={}, *args, **kwargs):
        print("before", context.function_name, sorted(func_args))
    @classmethod
    def post_invocation_app_level(cls, logger, context, func_args={}, func_ret=None, *args, **kwargs):
        print("after", func_ret); raise RuntimeError("ignored")
app = func.FunctionApp()
@app.generic_trigger(arg_name="x", type="someTrigger")
def f(x): return x
"""
    with _library_hooks_restored():
        quiet = await load(code)
        await quiet.call("f", x=text("1"))
        assert quiet.lines == []
    with _library_hooks_restored():
        told = await load(code, settings={"PYTHON_ENABLE_WORKER_EXTENSIONS": "1"})
        assert (await told.call("f", x=text("1"))).value == text("1")
        assert told.lines == ["before f ['x']", "after 1", "The worker extension Hooks failed"]


@contextmanager
def _library_hooks_restored() -> Iterator[None]:
    """Remove the extensions afterwards: the library keeps them in its own class until the process ends."""
    from azure.functions import ExtensionMeta

    before = ExtensionMeta._app_exts
    try:
        yield
    finally:
        ExtensionMeta._app_exts = before


async def test_stopped_worker_leaves_no_threads(write_app: WriteApp) -> None:
    before = set(threading.enumerate())
    folder = write_app(HEAD + '@app.generic_trigger(arg_name="x", type="someTrigger")\ndef f(x): ...')
    async with new_worker(folder) as worker:
        await worker.load()
        await worker.invoke(new_invocation("f"))
    started = set(threading.enumerate()) - before
    threads = [thread for thread in started if thread.name.startswith("function")]
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)


async def test_queued_calls_are_not_run_after_the_worker_has_stopped(write_app: WriteApp, tmp_path: Path) -> None:
    folder = write_app(
        HEAD
        + f"""
go_on = threading.Event()
@app.generic_trigger(arg_name="x", type="someTrigger")
def f(x):
    with open({str(tmp_path / "calls")!r}, "a") as file: file.write(x)
    go_on.wait()
"""
    )
    settings = {"PYTHON_THREADPOOL_THREAD_COUNT": "1"}
    async with new_worker(folder, settings=settings) as worker:
        await worker.load()
        release = sys.modules["function_app"].go_on
        first, second = (
            asyncio.create_task(worker.invoke(new_invocation("f", inputs={"x": text(name)}))) for name in "12"
        )
        await asyncio.sleep(0)
    release.set()
    await first
    with pytest.raises(RuntimeError, match="the worker has stopped"):
        await second
    assert (tmp_path / "calls").read_text() == "1"


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_virtual_time_does_not_advance_while_user_code_runs(write_app: WriteApp, kind: str) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    clock = loop.clock
    wait = "await asyncio.sleep(0.02)" if kind == "async def" else "time.sleep(0.02)"
    folder = write_app(HEAD + f'@app.generic_trigger(arg_name="x", type="someTrigger")\n{kind} f(x): {wait}')
    async with new_worker(folder, clock=clock) as worker:
        with clock.running():
            began = clock.now()
            sleeping = asyncio.create_task(clock.sleep(3600))
            await worker.load()
            await worker.invoke(new_invocation("f"))
            assert clock.now() == began
            # User code has ended, so virtual time may advance to the sleeper now.
            await sleeping
    assert clock.now() - began == timedelta(hours=1)
