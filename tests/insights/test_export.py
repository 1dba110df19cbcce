"""Telemetry that an ingestion endpoint of Application Insights gets from a host, through Microsoft's exporter."""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path

import pytest

from emulator.insights.options import PACKAGE
from tests.insights.ingestion import KEY, Endpoint, ingesting
from tests.running_apps import DURABLE_APP, RunningApp, run_app
from tests.waiting import eventually

try:
    metadata.version(PACKAGE)
except metadata.PackageNotFoundError:
    pytest.skip(f"needs {PACKAGE}", allow_module_level=True)

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"

APP = """
@app.route(route="orders/{id}")
@app.durable_client_input(client_name="client")
async def start(req, client):
    logging.info("order %s", req.route_params["id"])
    await client.start_new("flow", instance_id=req.route_params["id"])
    return "started"

@app.orchestration_trigger(context_name="context")
def flow(context):
    return (yield context.call_activity("pay", context.instance_id))

@app.activity_trigger(input_name="order")
def pay(order: str):
    logging.warning("paying %s", order)
    if order == "bad":
        raise ValueError("no money")
    return order

@app.route(route="quiet")
def quiet(req):
    return "ok"
"""


async def order(app: RunningApp, instance_id: str) -> None:
    """Run an orchestration to its end."""
    await app.get(f"/api/orders/{instance_id}", headers={"traceparent": CALLER})

    async def has_ended() -> bool:
        status = (await app.get(f"/runtime/webhooks/durabletask/instances/{instance_id}")).json()
        return status["runtimeStatus"] in ("Completed", "Failed")

    await eventually(has_ended, f"the end of {instance_id}")


async def test_requests_dependencies_lines_and_exceptions_of_one_operation_arrive(tmp_path: Path) -> None:
    async with (
        ingesting() as endpoint,
        run_app(tmp_path / "shop", DURABLE_APP, APP, telemetry=True, settings=endpoint.settings) as app,
    ):
        assert "APPLICATIONINSIGHTS_CONNECTION_STRING" in (app.app.insights_note or "")
        assert "AZEMU_APPLICATION_INSIGHTS=off" in (app.app.insights_note or "")
        await order(app, "bad")
    assert {item.key for item in endpoint.items} == {KEY}
    request = endpoint.only("RequestData", name="GET api/orders/{id}")
    assert (request.operation, request.parent) == (TRACE, "b7ad6b7169203331")
    assert (request.data["responseCode"], request.data["success"]) == ("200", True)
    assert request.tags["ai.cloud.role"] == "shop"
    start = endpoint.only("RemoteDependencyData", name="start")
    assert (start.operation, start.parent) == (TRACE, request.data["id"])
    create = endpoint.only("RemoteDependencyData", name="create_orchestration:flow")
    assert create.parent == start.data["id"]
    assert create.properties["durabletask.task.instance_id"] == "bad"
    flow = endpoint.only("RequestData", name="orchestration:flow")
    assert (flow.operation, flow.parent, flow.data["success"]) == (TRACE, create.data["id"], False)
    activity = endpoint.only("RequestData", name="activity:pay")
    run = endpoint.only("RequestData", name="pay")
    assert (run.parent, run.data["success"]) == (activity.data["id"], False)
    # Log lines belong to the run of their function, with the names that queries for Azure Functions use.
    said = endpoint.only("MessageData", message="paying bad")
    assert (said.operation, said.parent) == (TRACE, run.data["id"])
    # A text in older releases of the exporter.
    assert int(said.data["severityLevel"]) == 2
    assert said.properties["Category"] == "Function.pay.User"
    assert said.properties["LogLevel"] == "Warning"
    assert said.properties["InvocationId"] == run.properties["InvocationId"]
    assert said.tags["ai.operation.name"] == "pay"
    began, ended = (
        next(item for item in endpoint.of("MessageData") if item.data["message"].startswith(beginning))
        for beginning in ("Executing 'Functions.start'", "Executed 'Functions.start' (Succeeded")
    )
    assert began.parent == ended.parent == start.data["id"]
    failure = next(item for item in endpoint.of("ExceptionData") if item.parent == run.data["id"])
    (details,) = failure.data["exceptions"]
    assert details["typeName"] == "ValueError"
    assert "no money" in details["message"]
    assert "function_app.py" in details["stack"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"APPINSIGHTS_INSTRUMENTATIONKEY": "no-key"}, "cannot be used: Invalid instrumentation key"),
        ({"APPLICATIONINSIGHTS_CONNECTION_STRING": "nonsense"}, "cannot be used: Invalid connection string"),
    ],
)
async def test_a_wrong_setting_costs_one_line_that_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, str], reason: str
) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, APP, telemetry=True, settings=settings) as app:
        assert (await app.get("/api/quiet")).text == "ok"
    first, *rest = warnings(caplog)
    assert first.startswith(f"Application Insights: the resource in the setting {next(iter(settings))} {reason}")
    assert len(rest) == 1
    assert "were not sent" in rest[0]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and record.getMessage().startswith("Application Insights")
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "answers with status 400 (the instrumentation key or the data is not valid). The items are dropped"),
        (206, "refuses some of the data (400, no good data). The items are dropped"),
        (429, "answers with status 429 (too many requests). The items are kept for later"),
    ],
)
async def test_an_endpoint_that_refuses_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, expected: str
) -> None:
    async with ingesting() as endpoint:
        endpoint.status = status
        async with run_app(tmp_path / "app", DURABLE_APP, APP, telemetry=True, settings=endpoint.settings) as app:
            assert (await app.get("/api/quiet")).text == "ok"
            await endpoint.changed.wait()
            endpoint.status = 200
        # What may be sent again has arrived in the end.
        assert bool(endpoint.of("RequestData", name="GET api/quiet")) is (status == 429)
    assert expected in warnings(caplog)[0]
    assert sum("answers with" in line or "refuses" in line for line in warnings(caplog)) == 1


async def test_an_endpoint_that_is_away_does_not_disturb_the_app(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, unused_tcp_port: int
) -> None:
    settings = Endpoint(url=f"http://127.0.0.1:{unused_tcp_port}").settings
    async with run_app(tmp_path / "app", DURABLE_APP, APP, telemetry=True, settings=settings) as app:
        await order(app, "good")
    first, last = warnings(caplog)
    assert "APPLICATIONINSIGHTS_CONNECTION_STRING does not respond (" in first
    assert "The items are kept for later" in first
    assert "items were not sent" in last


@pytest.mark.parametrize("mode", ["switched off", "in a test"])
async def test_nothing_is_sent_if_switched_off_and_in_tests(tmp_path: Path, mode: str) -> None:
    async with ingesting() as endpoint:
        settings = endpoint.settings
        if mode == "switched off":
            settings["AZEMU_APPLICATION_INSIGHTS"] = "off"
        async with run_app(
            tmp_path / "app", DURABLE_APP, APP, telemetry=mode == "switched off", settings=settings
        ) as app:
            assert app.app.insights_note is None
            await app.get("/api/quiet")
        assert endpoint.posts == 0


async def test_host_json_decides_which_lines_are_sent_and_how_many(tmp_path: Path) -> None:
    sampling = {"initialSamplingPercentage": 0.1, "evaluationInterval": "01:00:00", "excludedTypes": "Request"}
    host = {
        "logging": {
            "logLevel": {"Function.pay": "Warning"},
            "applicationInsights": {"samplingSettings": {**sampling, "isEnabled": False}},
        }
    }
    async with ingesting() as endpoint:
        async with run_app(
            tmp_path / "a", DURABLE_APP, APP, host=host, telemetry=True, settings=endpoint.settings
        ) as app:
            await order(app, "good")
        assert endpoint.of("MessageData", message="paying good")
        assert not [item for item in endpoint.of("MessageData") if "Functions.pay" in item.data["message"]]
    host["logging"]["applicationInsights"] = {"samplingSettings": sampling}
    async with ingesting() as endpoint:
        async with run_app(
            tmp_path / "b", DURABLE_APP, APP, host=host, telemetry=True, settings=endpoint.settings
        ) as app:
            await order(app, "good")
        # The score of this trace is not below 0.1 %.
        assert endpoint.of("RequestData", name="pay")
        assert not endpoint.of("MessageData", message="paying good")
        assert not endpoint.of("RemoteDependencyData", name="start")
