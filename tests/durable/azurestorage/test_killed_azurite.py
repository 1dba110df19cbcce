"""Azurite that somebody else runs is killed with SIGKILL under load, and started again on its data."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from emulator.clock import SystemClock
from emulator.config.connections import SERVICES, development_connection_string
from emulator.storage.azurite.process import Ports
from emulator.storage.azurite.search import find_program
from emulator.subprocesses import kill_process_tree
from tests.processes import started
from tests.running_apps import DURABLE_APP, OPTION, write_app
from tests.storage.azurite.test_azurite import free_ports
from tests.waiting import eventually

pytestmark = [
    pytest.mark.soak,
    pytest.mark.azurite,
    # Messages that the host had locked when Azurite was killed may be hidden for five minutes.
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL"),
]

APP = """
@app.route(route="go/{id}")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return await client.start_new("flow", req.route_params["id"])

@app.orchestration_trigger(context_name="context")
def flow(context):
    for _ in range(3):
        yield context.call_activity("act", "x")
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=2))
    yield context.task_all([context.call_activity("act", str(n)) for n in range(3)])
    return "done"

@app.activity_trigger(input_name="x")
def act(x: str) -> str:
    time.sleep(0.3)
    return x
"""


class Azurite:
    """An Azurite on a folder, always at the same ports."""

    def __init__(self, folder: Path, ports: Ports, command: list[str]) -> None:
        self.ports = ports
        self._folder = folder
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        words = ["--skipApiVersionCheck", "--silent", "--location", str(self._folder)]
        for service in SERVICES:
            words += [f"--{service}Host", "127.0.0.1", f"--{service}Port", str(self.ports[service])]
        self._process = await asyncio.create_subprocess_exec(
            *self._command, *words, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
        )

        async def answers() -> bool:
            try:
                for port in self.ports.values():
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
            except OSError:
                return False
            return True

        await eventually(answers, "answer of Azurite")

    async def kill(self) -> None:
        assert self._process is not None
        await kill_process_tree(self._process)


@asynccontextmanager
async def open_azurite(folder: Path) -> AsyncIterator[Azurite]:
    program = await find_program(folder, clock=SystemClock(), print_line=print)
    folder.mkdir()
    azurite = Azurite(folder, free_ports(), list(program.command))
    await azurite.start()
    try:
        yield azurite
    finally:
        await azurite.kill()


async def test_acknowledged_starts_complete_or_are_named_after_azurite_was_killed(tmp_path: Path) -> None:
    async with open_azurite(tmp_path / "data") as azurite, aiohttp.ClientSession() as session:
        settings = {
            "AzureWebJobsStorage": development_connection_string(azurite.ports),
            f"{OPTION}storageProvider__maxQueuePollingInterval": "00:00:01",
        }
        app = write_app(tmp_path / "app", DURABLE_APP, APP, settings=settings)
        with started(app) as azemu:
            base = azemu.url().partition("/api/")[0]
            acknowledged: list[str] = []

            async def start_all(numbers: range) -> None:
                for number in numbers:
                    async with session.post(f"{base}/api/go/i{number}") as response:
                        if response.status == 200:
                            acknowledged.append(f"i{number}")
                    await asyncio.sleep(0.1)

            load = asyncio.create_task(start_all(range(150)))
            await asyncio.sleep(9)
            await azurite.kill()
            await asyncio.sleep(2)
            await azurite.start()
            await load
            assert len(acknowledged) > 100

            async def statuses() -> dict[str, str]:
                async with session.get(f"{base}/runtime/webhooks/durabletask/instances?top=1000") as response:
                    return {row["instanceId"]: row["runtimeStatus"] for row in await response.json()}

            async def unsettled() -> list[str]:
                found = await statuses()
                lost = set(re.findall(r'Instance "(i\d+)" is lost with its start', azemu.read_so_far()))
                return [id for id in acknowledged if found.get(id) != "Completed" and id not in lost]

            async def all_settled() -> bool:
                return not await unsettled()

            try:
                await eventually(all_settled, "completion of all instances", within=450, every=2)
            except AssertionError:
                print(await unsettled(), azemu.read_so_far())
                raise
            output = azemu.read_so_far()
            assert output.count("Storage does not respond") <= 2
            assert output.count("has lost writes that it had acknowledged") == 1
            azemu.process.send_signal(signal.SIGINT)
            azemu.wait()
