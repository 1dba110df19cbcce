"""What user code finds in its process: the main thread, its settings, no files of the host. And how it ends with it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest

from tests.processes import get, get_json, has_ended, started
from tests.running_apps import write_app
from tests.waiting import eventually_sync

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")

FACTS = """
import json, os, signal, sys, threading, time, warnings
import azure.functions as func

AT_IMPORT = threading.current_thread() is threading.main_thread()
received = []
before = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("a-facts")
async def facts(req: func.HttpRequest) -> str:
    import asyncio

    import only_in_lib

    heard = asyncio.Event()
    number = getattr(signal, "SIGUSR1", None)
    if number is not None:
        asyncio.get_running_loop().add_signal_handler(number, heard.set)
        os.kill(os.getpid(), number)
        await heard.wait()
    return json.dumps(
        {
            "at import": AT_IMPORT,
            "async": threading.current_thread() is threading.main_thread(),
            "previous handler": before is signal.SIG_DFL,
            "own handler": signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL,
            "lib": only_in_lib.VALUE,
            "utf8": sys.flags.utf8_mode,
            "warnings": "error::UserWarning" in sys.warnoptions,
            "zone": time.tzname[0],
            "setting": os.environ["Longer"][:3],
        }
    )


@app.route("sync")
def sync(req: func.HttpRequest) -> str:
    breakpoint()
    return str(threading.current_thread() is threading.main_thread())


@app.route("received")
def how_often(req: func.HttpRequest) -> str:
    return str(len(received))
"""
VALUES = {
    "PYTHONUTF8": "1",
    "PYTHONWARNINGS": "error::UserWarning",
    "PYTHONIOENCODING": "ascii",
    "TZ": "ABC-3",
    # The system does not start a program with so long a variable.
    "Longer": "abc" * 100_000,
}
FOUND = {
    "zone": "ABC",
    "at import": True,
    "async": True,
    "previous handler": True,
    "own handler": True,
    "lib": "found",
    "utf8": 1,
    "warnings": True,
    "setting": "abc",
}


def facts_app(folder: Path) -> Path:
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "only_in_lib.py").write_text('VALUE = "found"\n')
    return write_app(folder, FACTS, settings={**VALUES, "PYTHONPATH": "lib"})


# Otherwise the values of local.settings.json would be skipped. The package is installed, so its path is not needed.
UNSET = {"PYTHONPATH": None, "PYTHONWARNINGS": None}


@POSIX_ONLY
def test_user_code_has_the_main_thread_and_the_settings_from_the_start(tmp_path: Path) -> None:
    app = facts_app(tmp_path / "app")
    with started(app, "--storage", "builtin:memory", env=UNSET) as azemu:
        url = azemu.url()
        assert get_json(url) == FOUND
        assert get(url.replace("a-facts", "sync")) == "False"
        azemu.wait_for(r"breakpoint\(\) at .*function_app\.py:\d+ is skipped: .*azemu start --no-reload")
        # A restart reads the settings again.
        values = {**VALUES, "PYTHONPATH": "lib", "TZ": "XYZ-3"}
        (app / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values}))
        get(url.replace("api/a-facts", "admin/host/restart"), method="POST")
        azemu.wait_for("^Restarting the host")
        assert get_json(url)["zone"] == "XYZ"
        azemu.interrupt()
        assert azemu.wait() == 0
    assert "already defined" not in azemu.output


@POSIX_ONLY
def test_stop_signals_stop_an_app_that_handles_them_itself(tmp_path: Path) -> None:
    """With --no-reload there is no supervisor: the signals arrive in the process of the app."""
    app = facts_app(tmp_path / "app")
    with started(
        app, "--storage", "builtin:memory", "--no-reload", env={**UNSET, "PYTHONPATH": str(app / "lib")}
    ) as azemu:
        azemu.wait_for(
            "^No effect with --no-reload have these settings.*: PYTHONIOENCODING, PYTHONUTF8, PYTHONWARNINGS"
        )
        facts = get_json(azemu.url())
        assert (facts["at import"], facts["async"], facts["own handler"], facts["zone"]) == (True, True, True, "ABC")
        azemu.process.send_signal(signal.SIGTERM)
        assert azemu.wait() == 0
    assert "Stopping the host" in azemu.output
    assert "Traceback" not in azemu.output


CHILDREN = """
import ctypes, multiprocessing, os, signal, subprocess, sys, time
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
fork = multiprocessing.get_context("fork")
kept = []


def work() -> None:
    time.sleep(600)


@app.route("a-children")
def children(req: func.HttpRequest) -> str:
    forked = fork.Process(target=work)
    forked.start()
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    kept.append((forked, started))
    return f"{os.getpid()} {forked.pid} {started.pid}"


@app.route("terminate")
def terminate(req: func.HttpRequest) -> str:
    process = fork.Process(target=work)
    process.start()
    process.terminate()
    process.join(30)
    return str(process.exitcode)


@app.route("leave")
async def leave(req: func.HttpRequest) -> str:
    os._exit(0)


@app.route("fault")
def fault(req: func.HttpRequest) -> str:
    ctypes.string_at(0)
    return "not reached"
"""


@POSIX_ONLY
def test_processes_of_user_code_end_with_the_host_and_have_not_its_port(tmp_path: Path) -> None:
    with started(write_app(tmp_path, CHILDREN), "--storage", "builtin:memory") as azemu:
        url = azemu.url()
        # A forked process must not react to signals as the host does.
        assert get(url.replace("a-children", "terminate")) == "-15"
        first = [int(number) for number in get(url).split()]
        fails(url.replace("a-children", "leave"))
        # An exit code of 0 is not an order to stop, either.
        azemu.wait_for(r"^The host ended unexpectedly \(exit code 0\)\. It will start again in 1 second")
        second = [int(number) for number in get(url).split()]
        assert all(has_ended(process) for process in first)
        fails(url.replace("a-children", "fault"))
        azemu.wait_for(r"^The host ended unexpectedly \(killed by SIGSEGV\)\. It will start again in 2 seconds")
        third = [int(number) for number in get(url).split()]
        assert all(has_ended(process) for process in second)
        if sys.platform == "linux":
            port = int(url.split(":")[2].split("/")[0])
            assert sockets(third[0]) & sockets_of_port(port)
            # The forked process closes them itself, as soon as it runs.
            eventually_sync(
                lambda: not sockets(third[1]) & sockets_of_port(port) or None,
                "a forked process without sockets of the host",
            )
        azemu.interrupt()
        assert azemu.wait() == 0
    assert all(has_ended(process) for process in third)


def sockets(process: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{process}/fd"):
        with suppress(OSError):  # It was closed at this moment.
            found.add(os.readlink(f"/proc/{process}/fd/{name}"))
    return found


def sockets_of_port(port: int) -> set[str]:
    """Sockets that listen on a port or belong to a connection to it."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return {f"socket:[{columns[9]}]" for columns in lines if columns[1].endswith(f":{port:04X}")}


def fails(url: str) -> None:
    """Call a function that ends its process."""
    with pytest.raises(OSError):  # noqa: PT011 The system decides whether the connection is reset or closed.
        get(url)


HANGING = """
import time, threading
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("hang")
async def hang(req: func.HttpRequest) -> str:
    print("hanging")
    time.sleep(600)
"""


def test_edit_is_served_although_a_function_hangs(tmp_path: Path) -> None:
    app = write_app(tmp_path, HANGING)
    with started(app, "--storage", "builtin:memory") as azemu:
        url = azemu.url()
        caller = threading.Thread(target=fails, args=(url,))
        caller.start()
        azemu.wait_for("hanging")
        (app / "function_app.py").write_text(HANGING.replace("time.sleep(600)", "return 'repaired'"))
        before = monotonic()

        def answer() -> str | None:
            # A request that the old host has accepted is lost when the host is killed.
            with suppress(OSError):
                return get(url)
            return None

        assert eventually_sync(answer, "answer of the new code") == "repaired"
        # Without waiting for the ten seconds that functions get when the user stops the host.
        assert monotonic() - before < 10
        caller.join()
        azemu.interrupt()
        assert azemu.wait() == 0


def test_start_after_the_supervisor_was_killed_gets_the_port(tmp_path: Path) -> None:
    app = write_app(tmp_path, HANGING)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with started(app, "--storage", "builtin:memory", "--port", port) as azemu:
        url = azemu.url()
        caller = threading.Thread(target=fails, args=(url,))
        caller.start()
        azemu.wait_for("hanging")
        azemu.process.kill()
        with started(app, "--storage", "builtin:memory", "--port", port) as again:
            assert again.url() == url
            again.interrupt()
            assert again.wait() == 0
        caller.join()


GENERATING = """
from pathlib import Path
import azure.functions as func

Path(__file__).with_name("models.py").write_text("FIELDS = 'id'")
import models

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route("fields")
def fields(req: func.HttpRequest) -> str:
    return models.FIELDS
"""


def test_file_that_the_app_writes_at_its_start_restarts_it_only_once(tmp_path: Path) -> None:
    app = write_app(tmp_path, GENERATING)
    with started(app, "--storage", "builtin:memory") as azemu:
        url = azemu.url()
        azemu.wait_for(r"^File change of type 'Created' detected for 'models\.py'\.$")
        azemu.wait_for("Worker process started")
        (app / "function_app.py").write_text(f"{GENERATING}\n# Edited.\n")
        # Not "(and 1 more)": the present content of models.py is the same as before.
        azemu.wait_for(r"^File change of type 'Changed' detected for 'function_app\.py'\.$")
        azemu.wait_for("Worker process started")
        assert get(url) == "id"
        azemu.interrupt()
        assert azemu.wait() == 0


@pytest.mark.soak
def test_app_that_always_ends_its_process_ends_the_command(tmp_path: Path) -> None:
    with started(write_app(tmp_path, "import os\n\nos._exit(3)\n"), "--storage", "builtin:memory") as azemu:
        for pause in ("1 second", "2 seconds", "4 seconds", "8 seconds"):
            azemu.wait_for(rf"\(exit code 3\)\. It will start again in {pause}, or when a file of the app changes\.$")
        azemu.wait_for(r"\(exit code 3\)\. It has ended 5 times in a row without completing an invocation")
        assert azemu.wait() == 1


@POSIX_ONLY
@pytest.mark.parametrize(
    # In this order they are loaded. The first one is what the command loads first.
    "module",
    ["concurrent.futures._base", "asyncio", "emulator.cli.arguments", "emulator.process.child"],
)
def test_early_ctrl_c_prints_no_traceback(tmp_path: Path, module: str) -> None:
    with started(write_app(tmp_path), "--storage", "builtin:memory", env={"PYTHONPROFILEIMPORTTIME": "1"}) as azemu:
        azemu.wait_for(rf"import time: .* {re.escape(module)}$")
        azemu.interrupt()
        azemu.wait()
    assert "Traceback" not in azemu.output
