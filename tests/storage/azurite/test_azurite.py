"""Azurite: find, install, start, restart, stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from emulator.background import background
from emulator.clock import SystemClock
from emulator.config.connections import SERVICES, Service, StorageConnection, parse_connection
from emulator.errors import StorageUnavailable
from emulator.storage.azure import open_account
from emulator.storage.azurite import Azurite, open_azurite
from emulator.storage.azurite.connection import connect
from emulator.storage.azurite.probe import PortUser, probe
from emulator.storage.azurite.process import Launch, keep_running
from emulator.storage.azurite.program import Node, Program, find_docker, find_installed
from emulator.storage.azurite.release import VERSION
from emulator.storage.port import StorageAccount
from emulator.user_folders import cache_folder
from tests.waiting import eventually

CLOCK = SystemClock()
STAND_IN = (sys.executable, str(Path(__file__).with_name("stand_in.py")))


def free_ports() -> dict[Service, int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in SERVICES]
    ports = {service: opened.getsockname()[1] for service, opened in zip(SERVICES, sockets, strict=True)}
    for opened in sockets:
        opened.close()
    return ports


async def port_users(ports: Mapping[Service, int]) -> set[PortUser]:
    return set((await probe(ports, CLOCK)).values())


@contextmanager
def web_server(*, server: str = "Other", **headers: str) -> Iterator[int]:
    """HTTP server with given headers."""

    class Handler(BaseHTTPRequestHandler):
        server_version = server
        sys_version = ""

        def do_GET(self) -> None:
            self.send_response(400)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield http.server_port
        http.shutdown()
        thread.join()


@contextmanager
def silent_server() -> Iterator[int]:
    """Server that accepts connections and closes them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


async def test_probe_recognises_storage_services() -> None:
    with (
        web_server(server="Azurite-Blob/3.35.0") as azurite,
        web_server(x_ms_request_id="1") as other_emulator,
        web_server() as stranger,
    ):
        found = await probe({"blob": azurite, "queue": other_emulator, "table": stranger}, CLOCK)
    assert found == {"blob": PortUser.STORAGE, "queue": PortUser.STORAGE, "table": PortUser.ANOTHER_PROGRAM}


async def test_probe_recognises_other_programs_and_free_ports() -> None:
    ports = free_ports()
    with web_server(server="Azurite-Blob/3.35.0") as wrong_service, silent_server() as silent:
        found = await probe({"blob": ports["blob"], "queue": wrong_service, "table": silent}, CLOCK)
    assert found == {"blob": PortUser.NOTHING, "queue": PortUser.ANOTHER_PROGRAM, "table": PortUser.ANOTHER_PROGRAM}


# The running process, with the stand-in -----------------------------------------------------------------------


def launch(*options: str, ports: Mapping[Service, int] | None = None) -> Launch:
    program = Program(command=(*STAND_IN, *options), origin="the stand-in")
    return Launch(program=program, ports=ports or dict.fromkeys(SERVICES, 0), folder=None)


async def keep(launch: Launch) -> None:
    """Run Azurite until it is not restarted any more."""
    listening = asyncio.get_running_loop().create_future()
    await keep_running(launch, listening, clock=CLOCK, print_line=lambda line: None, restarted=asyncio.Event())


def crash(port: int) -> None:
    with suppress(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/crash", timeout=10)


async def test_crashed_server_is_restarted_on_the_same_ports_with_a_message() -> None:
    listening = asyncio.get_running_loop().create_future()
    said: asyncio.Queue[str] = asyncio.Queue()
    restarted = asyncio.Event()
    async with background(
        keep_running(launch(), listening, clock=CLOCK, print_line=said.put_nowait, restarted=restarted)
    ):
        ports = await listening
        assert await port_users(ports) == {PortUser.STORAGE}
        await asyncio.to_thread(crash, ports["queue"])
        assert await said.get() == (
            "Azurite ended unexpectedly (exit code 3). Restarting it. Changes of the last five seconds may be lost. "
            "a last word"
        )
        await restarted.wait()
        assert await port_users(ports) == {PortUser.STORAGE}
    assert await port_users(ports) == {PortUser.NOTHING}


async def test_server_that_ends_again_and_again_is_an_error() -> None:
    with pytest.raises(StorageUnavailable, match=r"^Azurite ended 3 times soon after its start \(exit code 4\)"):
        await keep(launch("--short-lived"))


async def test_server_that_ends_while_starting_is_an_error() -> None:
    with pytest.raises(StorageUnavailable) as raised:
        await keep(launch("--refuse"))
    assert str(raised.value) == (
        "Azurite (the stand-in) ended while starting (exit code 5): I cannot. Repair Azurite, or start without it: "
        "--storage builtin"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell that a process was killed")
async def test_server_that_is_killed_while_starting_is_started_again(tmp_path: Path) -> None:
    listening = asyncio.get_running_loop().create_future()
    said: asyncio.Queue[str] = asyncio.Queue()
    killed = launch("--killed-once", str(tmp_path / "killed"))
    async with background(
        keep_running(killed, listening, clock=CLOCK, print_line=said.put_nowait, restarted=asyncio.Event())
    ):
        assert await port_users(await listening) == {PortUser.STORAGE}
    assert said.get_nowait().startswith("Azurite ended unexpectedly (killed by SIGTERM). Restarting it.")


async def test_missing_program_is_an_error() -> None:
    missing = Launch(
        program=Program(command=("/no/such/program",), origin="nowhere"), ports=dict.fromkeys(SERVICES, 0), folder=None
    )
    with pytest.raises(StorageUnavailable, match=r"Azurite \(nowhere\) could not be started"):
        await keep(missing)


def test_command_line(tmp_path: Path) -> None:
    program = Program(command=("azurite",), origin="", version=(3, 35, 0))
    ports: dict[Service, int] = {"blob": 1, "queue": 2, "table": 3}
    on_disk = Launch(program=program, ports=ports, folder=tmp_path).command()
    assert on_disk == [
        *("azurite", "--skipApiVersionCheck", "--silent", "--disableTelemetry"),
        *("--blobHost", "127.0.0.1", "--blobPort", "1"),
        *("--queueHost", "127.0.0.1", "--queuePort", "2"),
        *("--tableHost", "127.0.0.1", "--tablePort", "3"),
        *("--location", str(tmp_path)),
    ]
    old = Program(command=("azurite",), origin="", version=(3, 33, 0))
    in_memory = Launch(program=old, ports=ports, folder=None).command()
    assert "--disableTelemetry" not in in_memory
    assert in_memory[-1] == "--inMemoryPersistence"


def test_command_line_of_a_container(tmp_path: Path) -> None:
    program = Program(command=("docker",), origin="", in_container=True)
    command = Launch(program=program, ports={"blob": 1, "queue": 2, "table": 3}, folder=tmp_path).command()
    assert command[:4] == ["docker", "run", "--rm", "--interactive"]
    assert {"127.0.0.1:1:10000", "127.0.0.1:2:10001", "127.0.0.1:3:10002", f"{tmp_path}:/data"} <= set(command)
    assert f"mcr.microsoft.com/azure-storage/azurite:{VERSION}" in command
    assert command[command.index("--location") + 1] == "/data"


# Where a program comes from -----------------------------------------------------------------------------------


def put_package(folder: Path, version: str = "3.35.0") -> Path:
    package = folder / "node_modules" / "azurite"
    script = package / "dist" / "src" / "azurite.js"
    script.parent.mkdir(parents=True)
    script.touch()
    (package / "package.json").write_text(f'{{"version": "{version}"}}')
    return package


NODE = Node("node", None)


def test_azurite_in_node_modules_above_the_app_is_found(tmp_path: Path) -> None:
    package = put_package(tmp_path, "3.30.1-beta")
    app = tmp_path / "src" / "app"
    app.mkdir(parents=True)
    found = find_installed(app, NODE)
    assert found is not None
    assert found.command == ("node", str(package / "dist" / "src" / "azurite.js"))
    assert (found.origin, found.version) == (str(package), (3, 30, 1))


@pytest.mark.skipif(sys.platform == "win32", reason="shims are other files there")
def test_azurite_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = put_package(tmp_path / "lib")
    programs = tmp_path / "bin"
    programs.mkdir()
    (package / "dist" / "src" / "azurite.js").chmod(0o755)
    (programs / "azurite").symlink_to(package / "dist" / "src" / "azurite.js")
    monkeypatch.setenv("PATH", str(programs))
    found = find_installed(tmp_path, NODE)
    assert found is not None
    assert found.command == ("node", str((package / "dist" / "src" / "azurite.js").resolve()))
    # If azemu finds no Node.js, the shim has to find one itself.
    found = find_installed(tmp_path, None)
    assert found is not None
    assert found.command == (str(programs / "azurite"),)


def test_azemu_cache_sets_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZEMU_CACHE", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AZEMU_CACHE", "d")
    assert cache_folder() == tmp_path / "d"


@pytest.mark.parametrize(("answer", "found"), [("exit 0", True), ("exit 1", False)])
async def test_docker_is_used_if_its_daemon_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, found: bool
) -> None:
    script = tmp_path / ("docker.cmd" if sys.platform == "win32" else "docker")
    script.write_text(f"@{answer}" if sys.platform == "win32" else f"#!/bin/sh\n{answer}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    program = await find_docker(CLOCK)
    assert (program is not None) is found


async def test_docker_whose_daemon_hangs_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / ("docker.cmd" if sys.platform == "win32" else "docker")
    script.write_text("@pause <CON" if sys.platform == "win32" else "#!/bin/sh\nread -r line </dev/zero\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), os.environ["PATH"])))
    monkeypatch.setattr("emulator.storage.azurite.program._DOCKER_SECONDS", 0.1)
    assert await find_docker(CLOCK) is None


# The real one -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _account(azurite: Azurite) -> AsyncIterator[StorageAccount]:
    connection = parse_connection(azurite.connection_string, setting="S")
    assert isinstance(connection, StorageConnection)
    async with open_account(connection, CLOCK) as account:
        yield account


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of the user, only for this test."""
    monkeypatch.setenv("AZEMU_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.azurite
async def test_all_apps_share_one_server_whose_data_survives_a_restart(tmp_path: Path, data: Path) -> None:
    usual = free_ports()
    async with open_azurite(tmp_path / "a", clock=CLOCK, usual_ports=usual) as first, _account(first) as account:
        assert first.started_here
        assert (dict(first.ports), first.folder) == (usual, data / "azurite")
        await account.table("Restartable").create()
        async with open_azurite(tmp_path / "b", clock=CLOCK, usual_ports=usual) as used:
            assert not used.started_here
            assert dict(used.ports) == usual
        assert await port_users(usual) == {PortUser.STORAGE}
    assert await port_users(usual) == {PortUser.NOTHING}
    async with open_azurite(tmp_path / "b", clock=CLOCK, usual_ports=usual) as second, _account(second) as account:
        assert [name async for name in account.tables()] == ["Restartable"]
    assert not (tmp_path / "a").exists()


@pytest.mark.azurite
@pytest.mark.usefixtures("data")
async def test_other_ports_are_used_if_a_port_is_in_use(tmp_path: Path) -> None:
    usual = free_ports()
    said: list[str] = []
    with web_server() as stranger:
        usual["queue"] = stranger
        async with open_azurite(tmp_path, clock=CLOCK, usual_ports=usual, print_line=said.append) as azurite:
            assert azurite.started_here
            # The other two ports are free, so one of them may be chosen again.
            assert stranger not in azurite.ports.values()
            assert await port_users(azurite.ports) == {PortUser.STORAGE}
            where = ", ".join(f"{azurite.ports[service]} ({service})" for service in SERVICES)
            assert said == [f"Port {stranger} is used by another program. Azurite uses the ports {where} instead."]
            # A second azemu finds it, although it is at unusual ports.
            async with open_azurite(tmp_path, clock=CLOCK, usual_ports=usual) as second:
                assert (second.started_here, second.ports) == (False, azurite.ports)


@pytest.mark.azurite
@pytest.mark.usefixtures("data")
async def test_starts_at_the_same_time_share_one_server(tmp_path: Path) -> None:
    usual = free_ports()
    all_opened = asyncio.Barrier(3)

    async def use(app: str) -> tuple[bool, Mapping[Service, int]]:
        async with open_azurite(tmp_path / app, clock=CLOCK, usual_ports=usual) as azurite:
            await all_opened.wait()
            return azurite.started_here, dict(azurite.ports)

    opened = await asyncio.gather(use("a"), use("b"), use("b"))
    assert sorted(started for started, _ in opened) == [False, False, True]
    assert [ports for _, ports in opened] == [usual] * 3
    # All have left at the same time, and the server has ended.
    assert await port_users(usual) == {PortUser.NOTHING}


@pytest.mark.azurite
@pytest.mark.soak
async def test_an_app_with_data_of_its_own_keeps_them(tmp_path: Path, data: Path) -> None:
    """Version 0.1.0 stored the data of Azurite in the folder .azurite of each app."""
    usual = free_ports()
    (tmp_path / ".azurite").mkdir()
    (tmp_path / ".azurite" / "__azurite_db_table__.json").write_text("")
    said: list[str] = []
    async with (
        open_azurite(tmp_path / "other", clock=CLOCK, usual_ports=usual) as shared,
        open_azurite(tmp_path, clock=CLOCK, usual_ports=usual, print_line=said.append) as own,
    ):
        assert (shared.folder, own.folder) == (data / "azurite", tmp_path / ".azurite")
        assert not set(shared.ports.values()) & set(own.ports.values())
    assert said == [
        f"Using the Azurite data of this app in {tmp_path / '.azurite'}. Apps without such a folder share the data in "
        f"{data / 'azurite'}."
    ]
    assert (tmp_path / ".azurite" / ".gitignore").read_text() == "*\n"
    if sys.platform != "win32":
        files = [path for path in (tmp_path / ".azurite").rglob("*") if path.name != "__azurite_db_table__.json"]
        assert any(path.name.startswith("__azurite_db_blob") for path in files)
        assert [path for path in (tmp_path / ".azurite", *files) if path.stat().st_mode & 0o077] == []
    # Alone, it gets the usual ports, and the other app others.
    async with (
        open_azurite(tmp_path, clock=CLOCK, usual_ports=usual) as own,
        open_azurite(tmp_path / "other", clock=CLOCK, usual_ports=usual) as shared,
    ):
        assert dict(own.ports) == usual
        assert not set(shared.ports.values()) & set(own.ports.values())


@pytest.mark.azurite
@pytest.mark.skipif(sys.platform == "win32", reason="a killed runner holds no lock there")
async def test_killed_runner_is_replaced_at_the_same_ports(tmp_path: Path, data: Path) -> None:
    usual = free_ports()
    said: list[str] = []
    async with (
        open_azurite(tmp_path / "a", clock=CLOCK, usual_ports=usual, print_line=said.append) as one,
        open_azurite(tmp_path / "b", clock=CLOCK, usual_ports=usual) as other,
        _account(one) as account,
    ):
        await account.table("Kept").create()
        connection = await connect(data / "azurite", CLOCK)
        assert connection is not None
        os.kill(connection.process_id, signal.Signals["SIGKILL"])
        await one.restarted.wait()
        await other.restarted.wait()
        assert [name async for name in account.tables()] == ["Kept"]
        await connection.leave(CLOCK)
    assert said == [
        "The process that runs Azurite ended unexpectedly. Restarting it. Changes of the last five seconds may be lost."
    ]
    assert await port_users(usual) == {PortUser.NOTHING}


@pytest.mark.azurite
async def test_azurite_with_missing_services_is_used_with_a_warning(tmp_path: Path) -> None:
    usual = free_ports()
    said: list[str] = []
    with web_server(server="Azurite-Blob/3.35.0") as blob:
        usual["blob"] = blob
        async with open_azurite(tmp_path, clock=CLOCK, usual_ports=usual, print_line=said.append) as azurite:
            assert not azurite.started_here
    assert [line.split(":")[0] for line in said] == [
        f"Azurite answers at port {blob} (blob), but not at {usual['queue']} (queue)",
        f"Azurite answers at port {blob} (blob), but not at {usual['table']} (table)",
    ]


@pytest.mark.azurite
async def test_in_memory_starts_its_own_server(tmp_path: Path, azurite: str) -> None:
    """Beside the one of the test session, which is in memory, too."""
    async with open_azurite(tmp_path, clock=CLOCK, in_memory=True) as own:
        assert own.started_here
        assert not [port for port in own.ports.values() if f":{port}/" in azurite]
    assert list(tmp_path.iterdir()) == []


OPENER = """
import asyncio, json, pathlib, sys
from emulator.clock import SystemClock
from emulator.storage.azurite import open_azurite

async def main(folder, ports):
    kind = {"usual_ports": json.loads(ports)} if ports else {"in_memory": True}
    async with open_azurite(pathlib.Path(folder), clock=SystemClock(), **kind) as azurite:
        print(json.dumps(dict(azurite.ports)), flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def opened_by_a_killed_process(
    folder: Path, usual: Mapping[Service, int] | None = None
) -> AsyncIterator[Azurite]:
    """Open an Azurite in a process (in memory if `usual` is None). At exit kill the process."""
    opener = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OPENER, str(folder), json.dumps(usual) if usual else ""),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    assert opener.stdout is not None
    ports = json.loads(await opener.stdout.readline())
    assert await port_users(ports) == {PortUser.STORAGE}
    yield Azurite(ports=ports, started_here=False, origin="opened by another process")
    opener.kill()
    await opener.wait()


@pytest.mark.azurite
async def test_in_memory_azurite_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    async with opened_by_a_killed_process(tmp_path) as azurite:
        pass

    async def is_gone() -> bool:
        return await port_users(azurite.ports) == {PortUser.NOTHING}

    await eventually(is_gone, "end of Azurite", every=0.05)


@pytest.mark.azurite
@pytest.mark.soak
@pytest.mark.usefixtures("data")
async def test_data_is_saved_when_the_only_user_is_killed(tmp_path: Path) -> None:
    usual = free_ports()
    async with opened_by_a_killed_process(tmp_path, usual) as azurite, _account(azurite) as account:
        await account.table("Restartable").create()
        await account.queue("kept").create()
        for number in range(50):
            await account.queue("kept").put(str(number))
    # At once, while the data may still be saved.
    async with open_azurite(tmp_path, clock=CLOCK, usual_ports=usual) as azurite, _account(azurite) as account:
        assert azurite.started_here
        assert [name async for name in account.tables()] == ["Restartable"]
        assert await account.queue("kept").count() == 50


@pytest.mark.azurite
async def test_azurite_goes_on_when_the_first_user_is_killed(tmp_path: Path, data: Path) -> None:
    usual = free_ports()
    async with AsyncExitStack() as stack:
        async with opened_by_a_killed_process(tmp_path / "a", usual):
            second = await stack.enter_async_context(open_azurite(tmp_path / "b", clock=CLOCK, usual_ports=usual))
            account = await stack.enter_async_context(_account(second))
            await account.table("Kept").create()
        assert not second.started_here
        connection = await connect(data / "azurite", CLOCK)
        assert connection is not None
        await connection.leave(CLOCK)
        assert [name async for name in account.tables()] == ["Kept"]
        assert not second.restarted.is_set()
    assert await port_users(usual) == {PortUser.NOTHING}


@pytest.mark.azurite
@pytest.mark.skipif(sys.platform != "linux", reason="sets the home folder in the way of Linux")
async def test_app_folder_is_used_if_the_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZEMU_DATA")
    (tmp_path / "home").write_text("not a folder")
    monkeypatch.setenv("AZEMU_CACHE", str(cache_folder()))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    said: list[str] = []
    app = tmp_path / "app"
    app.mkdir()
    async with open_azurite(app, clock=CLOCK, usual_ports=free_ports(), print_line=said.append) as azurite:
        assert azurite.folder == app / ".azurite"
    shared = tmp_path / "home" / "azemu" / "azurite"
    assert said == [
        f"Using the Azurite data of this app in {app / '.azurite'}. The data that apps share would be in {shared}, "
        "which cannot be written."
    ]


async def test_unusable_data_folder_is_an_error(tmp_path: Path, data: Path) -> None:
    data.write_text("a file")
    with pytest.raises(StorageUnavailable, match="which cannot be used"):
        async with open_azurite(tmp_path, clock=CLOCK, usual_ports=free_ports()):
            pass
