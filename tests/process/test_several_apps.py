"""Several apps of one user: started at the same moment, on one Azurite that outlives each of them."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from emulator.clock import SystemClock
from emulator.config.connections import DEVELOPMENT_PORTS
from emulator.storage.azurite.probe import PortUser, probe
from tests.processes import Running, get_json, started
from tests.running_apps import DURABLE_APP, write_app
from tests.storage.bench import unique
from tests.waiting import PATIENCE_SECONDS, eventually_sync

CODE = """
from azure.storage.queue import QueueServiceClient

@app.route(route="go/{id}")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    instance_id = await client.start_new("flow", req.route_params["id"])
    return client.create_check_status_response(req, instance_id)

@app.orchestration_trigger(context_name="context")
def flow(context):
    return "done"
    yield

@app.route(route="queues")
def queues(req: func.HttpRequest) -> str:
    client = QueueServiceClient.from_connection_string(os.environ["AzureWebJobsStorage"])
    return json.dumps([queue.name for queue in client.list_queues()])
"""


def run_to_the_end(azemu: Running, url: str, id: str) -> None:
    """Start an orchestration and wait for its end, also while storage is replaced."""
    # A request waits while the host restarts.
    with urllib.request.urlopen(f"{url}/api/go/{id}", timeout=PATIENCE_SECONDS) as response:
        status = json.loads(response.read())["statusQueryGetUri"].replace("localhost", "127.0.0.1")
    assert eventually_sync(lambda: get_json(status)["output"], "end of the orchestration", every=0.1) == "done"


@pytest.mark.azurite
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process in the POSIX way")
@pytest.mark.usefixtures("usual_ports")
def test_apps_without_settings_share_an_azurite_that_outlives_each(tmp_path: Path) -> None:
    if set(asyncio.run(probe(DEVELOPMENT_PORTS, SystemClock())).values()) != {PortUser.NOTHING}:
        pytest.skip("another Azurite is running at the default ports of this machine, and would be used")
    data = tmp_path / "data"
    env = {"AZEMU_DATA": str(data)}
    hubs = [unique("Several"), unique("Several")]
    one, other = (
        write_app(
            tmp_path / name, "import json\n", DURABLE_APP, CODE, host={"extensions": {"durableTask": {"hubName": hub}}}
        )
        for name, hub in zip(("one", "other"), hubs, strict=True)
    )
    with ExitStack() as stack:
        # At the same moment, on free ports.
        first, second = (stack.enter_context(started(app, env=env, default_storage=True)) for app in (one, other))
        for azemu in (first, second):
            azemu.wait_for("^AzureWebJobsStorage is not set. Using local storage")
            azemu.wait_for(r"^Storage: +Azurite at 127\.0\.0\.1, ports 10000 \(blob\), .*started by")
        urls = [azemu.url().partition("/api/")[0] for azemu in (first, second)]
        for azemu, url in zip((first, second), urls, strict=True):
            run_to_the_end(azemu, url, "before")
        assert {f"{hub.lower()}-workitems" for hub in hubs} <= set(get_json(f"{urls[0]}/api/queues"))
        # A third app takes the hub of the second one.
        third_app = write_app(
            tmp_path / "third", DURABLE_APP, CODE, host=(other / "host.json").read_text(encoding="utf-8")
        )
        with started(third_app, env=env, default_storage=True) as third:
            line = third.wait_for(r"The app in .*")[0]
            assert line.startswith(f'The app in "{other}" also runs on the task hub "{hubs[1]}" of the same storage.')
            third.interrupt()
            assert third.wait() == 0
        # The one that started Azurite, or the other one: it makes no difference.
        first.process.kill()
        first.process.wait()
        run_to_the_end(second, urls[1], "after")
        second.interrupt()
        assert second.wait() == 0
        assert "unexpectedly" not in second.output
        # Two hosts of one app are no reason for a warning.
        assert "The app in" not in second.output
    # The last azemu waits until Azurite has saved its data.
    assert not (data / "azurite" / "azemu.json").exists()
    assert hubs[1] in (data / "azurite" / "__azurite_db_table__.json").read_text(encoding="utf-8")
