"""Ctrl-C while user code does not end: azemu ends all the same, and names the lines that kept it."""

from __future__ import annotations

import signal
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from tests.processes import started
from tests.running_apps import DURABLE_APP, write_app

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

START = """
@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return await client.start_new("flow")
"""

BLOCKS: dict[str, tuple[str, str]] = {
    # Code of the app and what azemu prints about it.
    "spinning orchestrator": (
        START
        + """
@app.orchestration_trigger(context_name="context")
def flow(context):
    print("blocks now")
    while True:
        pass
    yield
""",
        r"Function 'flow' still runs \(function_app\.py, line \d+, in flow: (while True:|pass)\)",
    ),
    "sleeping activity": (
        START
        + """
@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.call_activity("rest", "")

@app.activity_trigger(input_name="nothing")
def rest(nothing: str):
    print("blocks now")
    time.sleep(1000)
""",
        r"Function 'rest' still runs \(function_app\.py, line \d+, in rest: time\.sleep\(1000\)\)",
    ),
    "activity that ignores its cancellation": (
        START
        + """
@app.orchestration_trigger(context_name="context")
def flow(context):
    yield context.call_activity("rest", "")

@app.activity_trigger(input_name="nothing")
async def rest(nothing: str):
    print("blocks now")
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
""",
        r"Function 'rest' still runs \(function_app\.py, line \d+, in rest: await asyncio\.sleep\(1000\)\)",
    ),
    "async function that blocks the loop": (
        """
@app.route(route="go")
async def go(req: func.HttpRequest):
    print("blocks now")
    time.sleep(1000)
""",
        r"Function 'go' still runs \(function_app\.py, line \d+, in go: time\.sleep\(1000\)\)",
    ),
    "function in a request": (
        """
@app.route(route="go")
def go(req: func.HttpRequest):
    print("blocks now")
    time.sleep(1000)
""",
        r"Function 'go' still runs \(function_app\.py, line \d+, in go: time\.sleep\(1000\)\)",
    ),
    "thread that is not a daemon": (
        """
import threading

def keep_on():
    time.sleep(1000)

@app.route(route="go")
def go(req: func.HttpRequest):
    threading.Thread(target=keep_on, name="keeper", daemon=False).start()
    print("blocks now")
    return ""
""",
        r"still runs on thread 'keeper' \(function_app\.py, line \d+, in keep_on: time\.sleep\(1000\)\)",
    ),
    "exit handler": (
        """
import atexit

@atexit.register
def clean_up():
    time.sleep(1000)

@app.route(route="go")
def go(req: func.HttpRequest):
    print("blocks now")
    return ""
""",
        r"still runs on thread 'MainThread' \(function_app\.py, line \d+, in clean_up: time\.sleep\(1000\)\)",
    ),
}


# Matching takes years and does not release the interpreter's lock. The line is written past Python's streams, which
# would not get the lock any more.
HOLDS_THE_LOCK = """
import os, re

# Compiled before: until the match runs, the interpreter is not locked, and its frames change while a signal reads them.
SLOW = re.compile(r"(a+)+$")

@app.route(route="go")
def go(req: func.HttpRequest):
    os.write(1, b"blocks now\\n")
    SLOW.match("a" * 64 + "b")
"""


def check(app: Path, says: str, *mode: str) -> None:
    with started(app, *mode) as azemu:
        url = azemu.url()

        def call() -> None:
            with suppress(OSError), urllib.request.urlopen(url) as response:
                response.read()

        caller = threading.Thread(target=call)
        caller.start()
        azemu.wait_for("blocks now")
        interrupted_at = monotonic()
        azemu.interrupt()
        azemu.wait_for(says)
        azemu.wait()
        assert monotonic() - interrupted_at < 10
        assert "Traceback" not in azemu.output
        caller.join()


def test_ctrl_c_ends_an_app_that_blocks(tmp_path: Path) -> None:
    code, says = BLOCKS["sleeping activity"]
    check(write_app(tmp_path, DURABLE_APP, code), says)


@pytest.mark.soak
@pytest.mark.parametrize("mode", [(), ("--no-reload",)], ids=["reload", "no-reload"])
@pytest.mark.parametrize("block", BLOCKS)
def test_ctrl_c_ends_whatever_blocks(tmp_path: Path, block: str, mode: tuple[str, ...]) -> None:
    code, says = BLOCKS[block]
    check(write_app(tmp_path, DURABLE_APP, code), says, *mode)


@pytest.mark.soak
@POSIX_ONLY
def test_ctrl_c_during_an_import_that_blocks(tmp_path: Path) -> None:
    app = write_app(tmp_path, "import time\nprint('blocks now', flush=True)\ntime.sleep(1000)\n")
    with started(app) as azemu:
        azemu.wait_for("blocks now")
        azemu.process.send_signal(signal.SIGINT)
        azemu.wait_for(r"blocks the app's event loop \(function_app\.py, line 3, in <module>: time\.sleep\(1000\)\)")
        azemu.wait()


@pytest.mark.soak
@POSIX_ONLY
def test_ctrl_c_ends_a_host_process_whose_interpreter_is_locked(tmp_path: Path) -> None:
    says = r"The host process did not react and is killed\..* is at: .*function_app\.py, line \d+, in go: SLOW\.match\("
    check(write_app(tmp_path, DURABLE_APP, HOLDS_THE_LOCK), says)


@POSIX_ONLY
def test_sigquit_ends_a_process_whose_interpreter_is_locked_and_names_its_lines(tmp_path: Path) -> None:
    with started(write_app(tmp_path, DURABLE_APP, HOLDS_THE_LOCK), "--no-reload") as azemu:
        url = azemu.url()

        def call() -> None:
            with suppress(OSError), urllib.request.urlopen(url) as response:
                response.read()

        caller = threading.Thread(target=call)
        caller.start()
        azemu.wait_for("blocks now")
        quit_signal = getattr(signal, "SIGQUIT", signal.SIGTERM)
        azemu.process.send_signal(quit_signal)
        azemu.wait_for(r'File ".*function_app\.py", line \d+ in go')
        assert azemu.wait() == -quit_signal
        caller.join()
