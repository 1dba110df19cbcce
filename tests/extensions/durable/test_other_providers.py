"""Apps whose host.json names a storage provider that azemu does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running_apps import DURABLE_APP, run_app
from tests.waiting import eventually

HELLO = """
@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return client.create_check_status_response(req, await client.start_new("flow"))

@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("greet", "Ada"))

@app.activity_trigger(input_name="name")
def greet(name: str):
    return f"Hello {name}"
"""


async def test_an_app_of_the_durable_task_scheduler_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    provider = {"type": "azureManaged", "connectionStringName": "DURABLE_TASK_SCHEDULER_CONNECTION_STRING"}
    host = {"extensions": {"durableTask": {"hubName": "%TASKHUB_NAME%", "storageProvider": provider}}}
    # The scheduler's connection string is not required.
    async with run_app(tmp_path, DURABLE_APP, HELLO, host=host, settings={"TASKHUB_NAME": "my_hub"}) as app:
        started = (await app.get("/api/go")).json()
        # Responses contain the name that the user knows.
        assert "taskHub=my_hub&" in started["statusQueryGetUri"]
        path = "/runtime" + started["statusQueryGetUri"].partition("/runtime")[2]

        async def output() -> object:
            return (await app.get(path)).json()["output"]

        assert await eventually(output, "end of the orchestration") == "Hello Ada"
        tables = [name async for name in app.app.accounts("Storage").tables()]
    assert {"myhube310d832Instances", "myhube310d832History"} <= set(tables)
    [line] = [record.getMessage() for record in caplog.records if "storageProvider" in record.getMessage()]
    assert line == (
        'extensions.durableTask.storageProvider.type in host.json is "azureManaged". Instead of the Durable Task '
        'Scheduler, azemu uses its own engine and the storage of AzureWebJobsStorage. Task hub: "my_hub" (stored as '
        '"myhube310d832").'
    )
