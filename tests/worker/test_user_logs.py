"""Logs and prints of user code: the invocation that they belong to; those of other code are not captured."""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import replace

import pytest

from emulator.worker.port import LogRecord
from tests.worker.apps import Load

HEAD = """
import asyncio, logging, sys, threading
from concurrent.futures import ThreadPoolExecutor
import azure.functions as func
app = func.FunctionApp()
log = logging.getLogger("mine.own")
"""

TRIGGER = '\n@app.generic_trigger(arg_name="x", type="someTrigger")\n'


async def test_log_record_has_level_logger_and_traceback(load: Load) -> None:
    app = await load(
        HEAD
        + TRIGGER
        + """
def f(x):
    logging.info("plain %s", 1)
    log.warning("warned")
    log.debug("too low by default")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("failed")
"""
    )
    await app.call("f", x=None)
    assert [(record.level, record.message, record.category) for record in app.logs] == [
        (logging.INFO, "plain 1", "root"),
        (logging.WARNING, "warned", "mine.own"),
        (logging.ERROR, "failed", "mine.own"),
    ]
    assert {record.invocation_id for record in app.logs} == {"id-of-f"}
    traceback = app.logs[2].exception
    assert traceback is not None
    assert traceback.startswith("Traceback (most recent call last):")
    assert traceback.endswith("ZeroDivisionError: division by zero")


async def test_debug_logging_setting_lets_debug_records_through(load: Load) -> None:
    app = await load(HEAD + TRIGGER + "def f(x): log.debug('seen')", settings={"PYTHON_ENABLE_DEBUG_LOGGING": "True "})
    await app.call("f", x=None)
    assert app.lines == ["seen"]


WHERE = {
    "in a task": "async def f(x):\n    await asyncio.gather(say(), asyncio.create_task(say()))",
    "in to_thread": "async def f(x):\n    await asyncio.to_thread(logging.info, 'said')\n    logging.info('said')",
    "in a thread that names the invocation": """def f(x, context):
    def work():
        context.thread_local_storage.invocation_id = context.invocation_id
        logging.info('said'); print('said')
    thread = threading.Thread(target=work); thread.start(); thread.join()""",
    "in an executor that names the invocation": """def f(x, context):
    def work():
        context.thread_local_storage.invocation_id = context.invocation_id
        logging.info('said')
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: work(), range(2)))""",
}


@pytest.mark.parametrize("code", WHERE.values(), ids=list(WHERE))
async def test_logs_of_tasks_and_threads_belong_to_their_invocation(load: Load, code: str) -> None:
    app = await load(HEAD + "\nasync def say(): logging.info('said')\n" + TRIGGER + code)
    await app.call("f", x=None)
    assert [(record.message, record.invocation_id) for record in app.logs] == [("said", "id-of-f")] * 2
    assert app.outside == []


async def test_lines_of_concurrent_invocations_are_kept_separate(load: Load) -> None:
    app = await load(
        HEAD
        + TRIGGER
        + """
async def f(x):
    for n in range(3):
        print(x, n)
        await asyncio.sleep(0)
"""
        + TRIGGER
        + """
def g(x):
    for n in range(3): print(x, n)
"""
    )
    records: list[LogRecord] = []
    await asyncio.gather(
        *(
            app.worker.invoke(replace(app.invocation(name, x=None), id=f"{name}{n}", on_log=records.append))
            for name in "fg"
            for n in range(5)
        )
    )
    for name in "fg":
        for n in range(5):
            lines = [record.message for record in records if record.invocation_id == f"{name}{n}"]
            assert lines == ["None 0", "None 1", "None 2"]


async def test_logs_outside_invocations_go_to_the_workers_on_log(load: Load) -> None:
    app = await load(
        HEAD
        + "log.warning('importing')\n"
        + TRIGGER
        + """
def f(x):
    thread = threading.Thread(target=log.warning, args=("from a thread of its own",)); thread.start(); thread.join()
"""
        + TRIGGER
        + """
async def g(x):
    asyncio.get_running_loop().call_later(0.001, lambda: done.set_result(log.warning("from a callback")))
    done = asyncio.get_running_loop().create_future()
    await done
"""
    )
    await app.call("f", x=None)
    await app.call("g", x=None)
    assert [record.message for record in app.outside] == ["importing", "from a thread of its own"]
    assert app.lines == ["from a callback"]


async def test_log_after_the_end_of_its_invocation_goes_to_the_workers_on_log(load: Load) -> None:
    app = await load(
        HEAD
        + TRIGGER
        + """
async def f(x):
    async def later():
        await go.wait(); log.warning("too late"); said.set()
    global go, said, task
    go, said = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(later())
"""
        + TRIGGER
        + """
async def g(x):
    go.set(); await said.wait()
"""
    )
    await app.call("f", x=None)
    await app.call("g", x=None)
    assert app.lines == []
    assert [(r.message, r.invocation_id) for r in app.outside] == [("too late", "id-of-f")]


async def test_prints_are_logged_line_by_line(load: Load) -> None:
    app = await load(
        HEAD
        + TRIGGER
        + """
def f(x):
    print("one"); print("t", end=""); sys.stdout.flush(); print("wo")
    print("three\\nfour", end="")
    sys.stderr.write("a warning\\nAn ERROR\\nsomething\\n")
"""
    )
    await app.call("f", x=None)
    assert [(record.level, record.message, record.category) for record in app.logs] == [
        (logging.INFO, "one", None),
        (logging.INFO, "two", None),
        (logging.INFO, "three", None),
        (logging.WARNING, "a warning", None),
        (logging.ERROR, "An ERROR", None),
        (logging.INFO, "something", None),
        (logging.INFO, "four", None),
    ]


async def test_prints_and_logs_of_other_code_are_not_captured(
    load: Load, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = await load(HEAD + TRIGGER + "def f(x): print('mine'); logging.info('mine too')")
    print("not the function's")
    with caplog.at_level(logging.INFO):
        logging.getLogger("other.code").info("not the function's either")
        await app.call("f", x=None)
    assert app.lines == ["mine", "mine too"]
    assert app.outside == []
    assert "not the function's either" in caplog.messages
    # Other handlers on the root logger, such as pytest's, receive the function's records too.
    assert "mine too" in caplog.messages


async def test_debugger_output_is_not_captured(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    app = await load(
        HEAD
        + TRIGGER
        + """
def f(x):
    import io, pdb
    debugger = pdb.Pdb(stdin=io.StringIO("p 6 * 7\\ncontinue\\n"), stdout=sys.stdout)
    debugger.set_trace()
    print("printed")
"""
    )
    await app.call("f", x=None)
    assert app.lines == ["printed"]
    assert "42" in said.getvalue()
    assert "(Pdb)" in said.getvalue()
