"""Run of `azemu start`: output, stop signals, restarts, crashes of the host process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import urllib.error
from pathlib import Path

import pytest

from emulator.listening import listening_sockets
from tests.folders import hello, write_function, write_host_json
from tests.processes import PROJECT, Running, get, get_json, started
from tests.running_apps import DURABLE_APP, HELLO, write_app
from tests.waiting import eventually_sync

POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# Without a supervisor most of the way is the same.
MODES = pytest.mark.parametrize(
    "mode", [pytest.param((), id="reload"), pytest.param(("--no-reload",), id="no-reload", marks=pytest.mark.soak)]
)

SLOW = """
import time

import azure.functions as func

app = func.FunctionApp()


@app.route(route="slow", auth_level=func.AuthLevel.ANONYMOUS)
def slow(req: func.HttpRequest) -> func.HttpResponse:
    print("in the function")
    time.sleep(float(req.params["seconds"]))
    return func.HttpResponse("done")
"""

WHO = """
import os

import azure.functions as func

app = func.FunctionApp()


@app.route(route="who", auth_level=func.AuthLevel.ANONYMOUS)
def who(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(os.getpid()))


@app.route(route="die", auth_level=func.AuthLevel.ANONYMOUS)
def die(req: func.HttpRequest) -> func.HttpResponse:
    os._exit(7)
"""

WAITS = """
@app.route(route="url")
def url(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("")


@app.orchestration_trigger(context_name="context")
def waits(context):
    yield context.wait_for_external_event("go")
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write_app(tmp_path / "app")


def stop(azemu: Running) -> None:
    azemu.interrupt()
    assert azemu.wait() == 0


def answers(url: str) -> bool:
    port = int(url.split(":")[2].split("/", maxsplit=1)[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


TELLS = """
import os
import sys


@app.route(route="input", auth_level=func.AuthLevel.ANONYMOUS)
def input(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(repr(sys.stdin.read()))


@app.route(route="variable/{name}", auth_level=func.AuthLevel.ANONYMOUS)
def variable(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(os.environ[req.route_params["name"]])
"""


def test_banner_functions_log_lines_and_surroundings_of_user_code(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", HELLO, TELLS, settings={"MyKey": "from the file"})
    with started(app, "--storage", "builtin:memory") as azemu:
        url = azemu.url()
        origin, port = url.partition("/api/")[0], url.split(":")[2].split("/", maxsplit=1)[0]
        azemu.wait_for("^For detailed output, run azemu with --verbose flag.$")

        assert get(url) == "hello"
        stamp = r"^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "
        begun = azemu.wait_for(stamp + r"Executing 'Functions\.hello' \(Reason='.*', Id=(?P<id>[0-9a-f-]{36})\)$")
        azemu.wait_for(stamp + "saying hello$")
        azemu.wait_for(stamp + rf"Executed 'Functions\.hello' \(Succeeded, Id={begun['id']}, Duration=\d+ms\)$")

        assert get(f"{origin}/api/input") == "''"
        assert get(f"{origin}/api/variable/MyKey") == "from the file"
        assert get(f"{origin}/api/variable/WEBSITE_HOSTNAME") == f"localhost:{port}"
        assert get_json(f"{origin}/admin/host/status")["state"] == "Running"
        stop(azemu)
    lines = azemu.seen
    assert lines[1] == "azemu, local Azure Functions and Durable Functions"
    assert any(line.startswith("Storage:                  built-in, in memory") for line in lines)
    begin, end = lines.index("Functions:"), lines.index("For detailed output, run azemu with --verbose flag.")
    assert lines[begin:end] == [
        "Functions:",
        "",
        f"\thello:  http://localhost:{port}/api/hello",
        "",
        f"\tinput:  http://localhost:{port}/api/input",
        "",
        f"\tvariable:  http://localhost:{port}/api/variable/{{name}}",
        "",
    ]
    assert "\x1b[" not in azemu.output


def test_verbose_prints_files_python_and_log_of_the_host(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", settings={"A": "1"})
    with started(app, "--verbose") as azemu:
        azemu.wait_for(rf"^'local.settings.json' found in root directory \({re.escape(str(app))}\)\.$")
        azemu.wait_for(r"^Found Python version \d+\.\d+\.\d+")
        azemu.wait_for("^Host configuration file read:$")
        azemu.wait_for("Host started|Job host started")
        stop(azemu)
    assert "For detailed output" not in azemu.output


def test_log_lines_as_json(app: Path) -> None:
    with started(app, "--log-format", "json") as azemu:
        assert get(azemu.url()) == "hello"
        azemu.wait_for("Executed 'Functions.hello'")
        stop(azemu)
    lines = [json.loads(line) for line in azemu.seen]
    [said] = [line for line in lines if line["message"] == "saying hello"]
    assert (said["level"], said["category"]) == ("Information", "Function.hello.User")
    assert {"timestamp", "level", "category", "message"} <= set(lines[0])


@pytest.mark.parametrize("mode", [(), ("--no-reload",)])
def test_ctrl_c_stops_the_host_and_frees_the_port(app: Path, mode: tuple[str, ...]) -> None:
    with started(app, *mode) as azemu:
        url = azemu.url()
        assert get(url) == "hello"
        azemu.interrupt()
        assert azemu.wait() == 0
    assert "Traceback" not in azemu.output
    assert not answers(url)


@POSIX_ONLY
@pytest.mark.parametrize(
    ("number", "mode"),
    [
        ("SIGTERM", ()),
        ("SIGHUP", ("--no-reload",)),
        pytest.param("SIGTERM", ("--no-reload",), marks=pytest.mark.soak),
        pytest.param("SIGHUP", (), marks=pytest.mark.soak),
    ],
)
def test_other_stop_signals_stop_the_host(app: Path, mode: tuple[str, ...], number: str) -> None:
    with started(app, *mode) as azemu:
        azemu.url()
        azemu.process.send_signal(getattr(signal, number))
        assert azemu.wait() == 0


@POSIX_ONLY
@MODES
def test_a_closed_terminal_does_not_stop_a_host_started_by_nohup(app: Path, mode: tuple[str, ...]) -> None:
    hang_up = getattr(signal, "SIGHUP", signal.SIGTERM)
    # What nohup does: the process inherits that the signal is ignored.
    previous = signal.signal(hang_up, signal.SIG_IGN)
    try:
        with started(app, *mode) as azemu:
            url = azemu.url()
            azemu.process.send_signal(hang_up)
            assert get(url) == "hello"
            azemu.interrupt()
            assert azemu.wait() == 0
    finally:
        signal.signal(hang_up, previous)


@MODES
def test_running_request_finishes_before_the_host_stops(tmp_path: Path, mode: tuple[str, ...]) -> None:
    with started(write_app(tmp_path, SLOW), *mode) as azemu:
        url = azemu.url()
        results: list[str] = []
        caller = threading.Thread(target=lambda: results.append(get(f"{url}?seconds=1")))
        caller.start()
        azemu.wait_for("in the function")
        azemu.interrupt()
        assert azemu.wait() == 0
        caller.join()
    assert results == ["done"]


@MODES
def test_second_ctrl_c_stops_at_once(tmp_path: Path, mode: tuple[str, ...]) -> None:
    with started(write_app(tmp_path, SLOW), *mode) as azemu:
        url = azemu.url()
        caller = threading.Thread(target=_expect_no_response, args=(f"{url}?seconds=50",))
        caller.start()
        azemu.wait_for("in the function")
        azemu.interrupt()
        azemu.wait_for("Ctrl-C again to exit immediately")
        azemu.interrupt()
        assert azemu.wait() == 130
        caller.join()


def _expect_no_response(url: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 The system decides whether the connection is reset or closed.
        get(url)


FEW_FILES = "import resource\n\nresource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))\n" + HELLO
# As on a busy machine. A second after an error of accept, asyncio listens again, on a socket that is closed by then.
SLOW_END = """
import asyncio

shut_down = asyncio.BaseEventLoop.shutdown_default_executor

async def shut_down_slowly(self, *arguments):
    await asyncio.sleep(1.2)
    await shut_down(self, *arguments)

asyncio.BaseEventLoop.shutdown_default_executor = shut_down_slowly
"""


@POSIX_ONLY
def test_connections_beyond_the_open_files_limit_wait(tmp_path: Path) -> None:
    with started(write_app(tmp_path, FEW_FILES), "--no-reload") as azemu:
        url = azemu.url()
        port = int(url.split(":")[2].split("/", maxsplit=1)[0])
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(120)]
        azemu.wait_for("Too many open connections .*New connections wait until others are closed.")
        for client in clients:
            client.close()
        assert get(url) == "hello"
        stop(azemu)
    assert "Traceback" not in azemu.output


@POSIX_ONLY
def test_stop_beyond_the_open_files_limit_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW_END, encoding="utf-8")
    path = os.pathsep.join((str(tmp_path / "slow"), str(PROJECT)))
    with started(write_app(tmp_path / "app", FEW_FILES), "--no-reload", env={"PYTHONPATH": path}) as azemu:
        port = int(azemu.url().split(":")[2].split("/", maxsplit=1)[0])
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(120)]
        azemu.wait_for("Too many open connections")
        stop(azemu)
        for client in clients:
            client.close()
    assert "Traceback" not in azemu.output


def test_host_process_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    with started(write_app(tmp_path, WHO)) as azemu:
        url = azemu.url()
        get(url.replace("/die", "/who"))
        azemu.process.kill()
        # The host process inherited this output pipe, which closes only when that process has ended, too.
        azemu.wait()
    # The system closes the files of a process one after the other.
    eventually_sync(lambda: not answers(url), "end of the host process")


@POSIX_ONLY
def test_a_start_waits_for_a_host_process_that_was_loading_when_its_supervisor_was_killed(tmp_path: Path) -> None:
    """It has inherited the listening sockets."""
    app = write_app(tmp_path / "app", HELLO)
    late = tmp_path / "late"
    late.mkdir()
    # Runs at the start of each interpreter, and delays the first host process.
    (late / "sitecustomize.py").write_text(f"""
import os, sys, time

if "-c" in sys.orig_argv and not os.path.exists({str(late / "done")!r}):
    open({str(late / "done")!r}, "w").close()
    print("loading", flush=True)
    time.sleep(2)
""")
    path = {"PYTHONPATH": os.pathsep.join([str(late), str(PROJECT)])}
    with listening_sockets("127.0.0.1", 0)[0] as probe:
        port = str(probe.getsockname()[1])
    with started(app, "--port", port, env=path) as azemu:
        azemu.wait_for("^loading$")
        azemu.process.kill()
        with started(app, "--port", port, env=path) as again:
            assert get(again.url()) == "hello"
            stop(again)


def test_changed_file_new_module_and_admin_api_restart_the_host_without_refused_requests(tmp_path: Path) -> None:
    app = write_app(tmp_path, WHO)
    with started(app) as azemu:
        url = azemu.url().replace("/die", "/who")
        first = get(url)
        (app / "function_app.py").write_text(WHO.replace("str(os.getpid())", "f'new code in {os.getpid()}'"))
        # No request is refused while the host restarts; `get` would raise.
        answer = eventually_sync(lambda: text if (text := get(url)) != first else "", "another answer", every=0)
        azemu.wait_for(r"^File change of type 'Changed' detected for 'function_app\.py'\.$")
        azemu.wait_for(r"^Restarting the host\.$")
        azemu.wait_for(r"^The host is ready again\. Functions: die, who\.$")
        assert first.isdecimal()
        assert answer.startswith("new code in ")

        (app / "package").mkdir()
        (app / "package" / "module.py").touch()
        path = os.path.join("package", "module.py").replace("\\", r"\\")
        azemu.wait_for(f"^File change of type 'Created' detected for '{path}'.$")
        azemu.wait_for(r"^The host is ready again\.")

        second = get(url)
        get(url.replace("/api/who", "/admin/host/restart"), method="POST")
        azemu.wait_for(r"^Restarting the host\.$")
        assert get(url) != second
        stop(azemu)


def test_changed_function_json_restarts_the_host(tmp_path: Path) -> None:
    folder = write_function(write_host_json(tmp_path), "F", hello())
    with started(tmp_path) as azemu:
        url = azemu.url()
        first = get(url)
        content = (folder / "function.json").read_text().replace('"authLevel"', '"route": "moved", "authLevel"')
        (folder / "function.json").write_text(content)
        # Until it stops, the previous host answers requests, also for a moment after the line "Restarting the host".
        azemu.wait_for(r"^The host is ready again\. Functions: F\.$")
        assert get(url.replace("/api/F", "/api/moved")) == first == "hello"
        stop(azemu)


def test_repaired_app_is_loaded_again(tmp_path: Path) -> None:
    app = write_app(tmp_path, HELLO.replace("import logging", "import loging"))
    with started(app) as azemu:
        azemu.wait_for("No module named 'loging'")
        azemu.wait_for("For detailed output")
        (app / "function_app.py").write_text(HELLO)
        azemu.wait_for("Restarting the host")
        azemu.wait_for("Worker process started and initialized")
        stop(azemu)


@POSIX_ONLY
def test_missing_app_folder_is_waited_for(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app")
    with started(app, "--storage", "builtin:memory") as azemu:
        url = azemu.url()
        app.rename(tmp_path / "away")
        azemu.wait_for(f"^Cannot change to the app folder '{re.escape(str(app.resolve()))}': ")
        azemu.wait_for("The host will start again when a file of the app changes")
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(url)
        with refused.value as response:
            assert (response.status, response.read()) == (503, b"The host cannot start. See the console of azemu.\n")
        (tmp_path / "away").rename(app)
        azemu.wait_for("Worker process started and initialized")
        assert get(url) == "hello"
        stop(azemu)
    assert "Traceback" not in azemu.output


def test_the_host_goes_on_while_host_json_or_settings_are_invalid(tmp_path: Path) -> None:
    app = write_app(tmp_path, WHO)
    settings = app / "local.settings.json"
    with started(app, "--storage", "builtin:memory") as azemu:
        url = azemu.url().replace("/die", "/who")
        first = get(url)
        (app / "host.json").write_text("{")
        azemu.wait_for("Unable to parse host configuration file")
        azemu.wait_for("^.*The host continues with the configuration and the code that it has loaded")
        assert get(url) == first
        (app / "host.json").write_text('{"version": "2.0"}')
        azemu.wait_for("^The host is ready again")
        second = get(url)
        assert second not in (first, "")

        # Changed settings alone restart nothing, as with func.
        settings.write_text("{")
        azemu.wait_for("^.*local.settings.json has changed. As with func, the running host keeps its settings.")
        assert get(url) == second
        (app / "new.py").touch()
        azemu.wait_for("^.*The host continues with the configuration and the code that it has loaded")
        # The repair is what the host waits for.
        settings.write_text('{"IsEncrypted": false, "Values": {}}')
        azemu.wait_for("^The host is ready again")
        assert get(url) not in (second, "")
        stop(azemu)


@POSIX_ONLY
def test_the_deletion_of_the_hosts_own_folder_is_named(tmp_path: Path) -> None:
    app = write_app(tmp_path, DURABLE_APP, WAITS)
    with started(app, "--storage", "builtin") as azemu:
        url = azemu.url().partition("/api/")[0] + "/runtime/webhooks/durabletask"
        get(f"{url}/orchestrators/waits/one", method="POST")
        # The host may delete one of the files, or make one, at the same moment.
        while (app / ".azemu").exists():
            shutil.rmtree(app / ".azemu", ignore_errors=True)
        get(f"{url}/orchestrators/waits/two", method="POST")
        azemu.wait_for(r"storage\.db was deleted while the host uses it. It was written again")
        azemu.wait_for(r"^.*The folder .*hosts was deleted\. The host continues")
        stop(azemu)
    with started(app, "--storage", "builtin") as azemu:
        url = azemu.url().partition("/api/")[0] + "/runtime/webhooks/durabletask"
        assert {instance["instanceId"] for instance in get_json(f"{url}/instances")} == {"one", "two"}
        stop(azemu)


@pytest.mark.azurite
@pytest.mark.usefixtures("usual_ports")
def test_azurite_is_provided_for_development_storage(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", settings={"AzureWebJobsStorage": "UseDevelopmentStorage=true"})
    with started(app) as azemu:
        # Another Azurite may be running already on this machine. Both are correct.
        azemu.wait_for(r"^Storage: +Azurite at 127\.0\.0\.1, ports \d+ \(blob\), \d+ \(queue\), \d+ \(table\)")
        assert get(azemu.url()) == "hello"
        stop(azemu)
