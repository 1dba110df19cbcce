"""`azemu start --otlp`: the spans that a collector gets from a host, and the traces that they make."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from emulator.errors import ConfigurationError
from tests.running_apps import DURABLE_APP, RunningApp, run_app
from tests.telemetry.collector import ReceivedSpan, collecting
from tests.waiting import eventually

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"

APP = """
import json

@app.route(route="orders/{id}")
@app.durable_client_input(client_name="client")
async def start(req, client, context):
    await client.start_new("flow", instance_id=req.route_params["id"])
    return context.trace_context.trace_parent

@app.orchestration_trigger(context_name="context")
def flow(context):
    if context.instance_id.startswith("bad"):
        yield context.call_activity("fail", "x")
    parents = yield context.call_activity("parent_of", "x")
    yield context.create_timer(context.current_utc_datetime)
    yield context.call_sub_orchestrator("child", None, "the-child")
    go = yield context.wait_for_external_event("go")
    return [parents, go]

@app.orchestration_trigger(context_name="context")
def child(context):
    return (yield context.call_activity("parent_of", "y"))

@app.activity_trigger(input_name="x")
def parent_of(x: str, context) -> str:
    return context.trace_context.trace_parent

@app.activity_trigger(input_name="x")
def fail(x: str):
    raise ValueError("no stock")

@app.orchestration_trigger(context_name="context")
def counting(context):
    number = context.get_input()
    yield context.call_activity("parent_of", "z")
    if number < 2:
        context.continue_as_new(number + 1)

@app.orchestration_trigger(context_name="context")
def counter_user(context):
    entity = df.EntityId("counter", "a")
    context.signal_entity(entity, "add", 1)
    yield context.call_entity(entity, "get")
    yield context.call_entity(df.EntityId("relay", "r"), "pass_on")
    try:
        yield context.call_entity(entity, "explode")
    except Exception:
        pass

# The SDK has no method for it, but the extension accepts such a response.
@app.generic_trigger(arg_name="context", type="entityTrigger")
def relay(context) -> str:
    batch = json.loads(context.body)["batch"]
    result = {"isError": False, "duration": 1, "startTime": 0, "result": "null"}
    target = {"name": "counter", "key": "far"}
    signal = {"target": target, "name": "add", "input": "1", "requestId": batch[-1]["id"]}
    members = {"entityExists": True, "entityState": "0", "results": [result for _ in batch], "signals": [signal]}
    return json.dumps(members)

@app.entity_trigger(context_name="context")
def counter(context):
    state = context.get_state(lambda: 0)
    if context.operation_name == "explode":
        raise ValueError("boom")
    if context.operation_name == "add":
        context.set_state(state + 1)
    context.set_result(state)

@app.route(route="signal")
@app.durable_client_input(client_name="client")
async def signal(req, client):
    await client.signal_entity(df.EntityId("counter", "b"), "add", 1)
    return "ok"

@app.route(route="broken")
def broken(req):
    raise RuntimeError("broken")
"""


async def ended(app: RunningApp, instance_id: str) -> dict[str, Any]:
    """Return the status of an instance when it has ended."""

    async def status_at_the_end() -> dict[str, Any] | None:
        status: dict[str, Any] = (await app.get(f"/runtime/webhooks/durabletask/instances/{instance_id}")).json()
        return status if status["runtimeStatus"] in ("Completed", "Failed") else None

    return await eventually(status_at_the_end, f"end of instance {instance_id}")


def is_child(span: ReceivedSpan, parent: ReceivedSpan) -> bool:
    return (span.trace_id, span.parent_id) == (parent.trace_id, parent.span_id)


async def test_one_trace_leads_from_the_caller_through_an_orchestration_to_its_tasks(tmp_path: Path) -> None:
    async with collecting() as collector:
        async with run_app(tmp_path / "shop", DURABLE_APP, APP, otlp=collector.url) as app:
            seen = (await app.get("/api/orders/one", headers={"traceparent": CALLER})).text
            await app.post("/runtime/webhooks/durabletask/instances/one/raiseEvent/go", json="now")
            output = (await ended(app, "one"))["output"]
        request = collector.only("GET api/orders/{id}")
        assert (request.trace_id, request.parent_id) == (TRACE, "b7ad6b7169203331")
        assert (request.scope, request.kind) == ("Microsoft.AspNetCore", SERVER)
        assert request.attributes["http.response.status_code"] == 200
        assert request.attributes["http.route"] == "api/orders/{id}"
        invocation = collector.only("start")
        assert is_child(invocation, request)
        assert invocation.attributes["faas.trigger"] == "http"
        # The function sees the span of its own invocation.
        assert seen == f"00-{TRACE}-{invocation.span_id}-01"
        create = collector.only("create_orchestration:flow")
        assert is_child(create, invocation)
        assert (create.scope, create.kind) == ("WebJobs.Extensions.DurableTask", PRODUCER)
        flow = collector.only("orchestration:flow")
        assert is_child(flow, create)
        assert (flow.scope, flow.kind, flow.status) == ("DurableTask.Core", SERVER, {})
        assert flow.attributes == {
            "durabletask.type": "orchestration",
            "durabletask.task.name": "flow",
            "durabletask.task.instance_id": "one",
            "durabletask.task.status": "Completed",
        }
        client, server = sorted(
            (span for span in collector.named("activity:parent_of") if "one" in span.attributes.values()),
            key=lambda span: -span.kind,
        )
        assert (client.kind, server.kind) == (CLIENT, SERVER)
        assert is_child(client, flow)
        assert is_child(server, client)
        assert client.start <= server.start <= server.end <= client.end
        assert server.attributes == {
            "durabletask.type": "activity",
            "durabletask.task.name": "parent_of",
            "durabletask.task.instance_id": "one",
            "durabletask.task.task_id": 0,
        }
        run = next(span for span in collector.named("parent_of") if is_child(span, server))
        assert output == [f"00-{TRACE}-{run.span_id}-01", "now"]
        timer = collector.only("orchestration:flow:timer")
        assert is_child(timer, flow)
        assert timer.kind == INTERNAL
        assert {"durabletask.fire_at", "durabletask.task.task_id"} <= set(timer.attributes)
        called, ran = sorted(collector.named("orchestration:child"), key=lambda span: -span.kind)
        assert (called.kind, ran.kind) == (CLIENT, SERVER)
        assert is_child(called, flow)
        assert is_child(ran, called)
        assert ran.attributes["durabletask.task.instance_id"] == "the-child"
        # Episodes of the orchestrator are invocations in its span.
        assert all(is_child(span, flow) for span in collector.named("flow"))
        event = collector.only("orchestration_event:go")
        assert event.kind == PRODUCER
        assert event.attributes["durabletask.event.target_instance_id"] == "one"
        assert {span.resource["service.name"] for span in collector.spans} == {"shop"}
        # Neither the admin API nor the dashboard appears, and no id is used twice.
        assert len({span.span_id for span in collector.spans}) == len(collector.spans)


async def test_failures_are_errors_of_their_spans(tmp_path: Path) -> None:
    async with collecting() as collector:
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=collector.url) as app:
            await app.get("/api/orders/bad1")
            await ended(app, "bad1")
            assert (await app.get("/api/broken")).status == 500
        for span in [*collector.named("activity:fail"), collector.only("orchestration:flow"), *collector.named("fail")]:
            assert span.status["code"] == 2
            assert "no stock" in span.status["message"]
        assert len(collector.named("activity:fail")) == 2
        assert collector.only("orchestration:flow").attributes["durabletask.task.status"] == "Failed"
        assert collector.only("GET api/broken").status["code"] == 2


async def test_calls_and_signals_of_entities_belong_to_the_trace_of_their_sender(tmp_path: Path) -> None:
    async with collecting() as collector:
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=collector.url) as app:
            await app.post("/runtime/webhooks/durabletask/orchestrators/counter_user/user", json={})
            assert (await ended(app, "user"))["runtimeStatus"] == "Completed"
            await app.get("/api/signal")

            async def are_there() -> bool:
                paths = [f"/runtime/webhooks/durabletask/entities/counter/{key}" for key in ("b", "far")]
                return all([(await app.get(path)).status == 200 for path in paths])

            await eventually(are_there, "entities b and far")
        orchestration = collector.only("orchestration:counter_user")
        adds = [span for span in collector.named("entity:counter:add") if "@counter@a" in span.attributes.values()]
        sent, processed = sorted(adds, key=lambda span: span.kind)
        assert (sent.kind, processed.kind) == (PRODUCER, CONSUMER)
        assert is_child(sent, orchestration)
        assert is_child(processed, sent)
        assert sent.attributes == {
            "durabletask.type": "entity",
            "durabletask.task.operation": "signal_entity",
            "durabletask.event.target_instance_id": "@counter@a",
        }
        served, called = sorted(collector.named("entity:counter:get"), key=lambda span: span.kind)
        assert (called.kind, served.kind) == (CLIENT, SERVER)
        assert is_child(called, orchestration)
        assert is_child(served, called)
        assert served.attributes == {
            "durabletask.type": "entity",
            "durabletask.task.operation": "call_entity",
            "durabletask.task.instance_id": "@counter@a",
        }
        failed, _ = sorted(collector.named("entity:counter:explode"), key=lambda span: span.kind)
        assert failed.status["code"] == 2
        assert "boom" in failed.attributes["durabletask.entity.error_message"]
        # A signal of a client belongs to the invocation that sends it.
        (from_client,) = [
            span for span in collector.named("entity:counter:add") if is_child(span, collector.only("signal"))
        ]
        assert from_client.kind == PRODUCER
        # A signal of an entity belongs to the operation that sends it.
        (relayed,) = [span for span in collector.named("entity:relay:pass_on") if span.kind == SERVER]
        (passed_on,) = [span for span in collector.spans if is_child(span, relayed) and span.kind == PRODUCER]
        assert (passed_on.name, passed_on.scope) == ("entity:counter:add", "WebJobs.Extensions.DurableTask")
        assert passed_on.attributes["durabletask.task.instance_id"] == "@relay@r"
        assert passed_on.attributes["durabletask.event.target_instance_id"] == "@counter@far"
        (arrived,) = [span for span in collector.spans if is_child(span, passed_on)]
        assert arrived.kind == CONSUMER
        (received,) = [span for span in collector.spans if is_child(span, from_client)]
        assert (received.name, received.kind) == ("entity:counter:add", CONSUMER)


async def test_generations_of_an_instance_are_one_span(tmp_path: Path) -> None:
    async with collecting() as collector:
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=collector.url) as app:
            await app.post("/runtime/webhooks/durabletask/orchestrators/counting/eternal", json="0")
            await ended(app, "eternal")
        span = collector.only("orchestration:counting")
        tasks = [task for task in collector.named("activity:parent_of") if task.kind == CLIENT]
        assert len(tasks) == 3
        assert all(is_child(task, span) for task in tasks)
        assert len({task.span_id for task in tasks}) == 3


async def test_headers_and_resource_come_from_the_settings(tmp_path: Path) -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_HEADERS": "x-token=a%20b, x-other=2",
        "OTEL_SERVICE_NAME": "orders",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=dev,service.name=hidden",
    }
    async with collecting() as collector:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp="", settings=settings) as app:
            await app.get("/api/broken")
        assert collector.requests[0]["x-token"] == "a b"
        assert collector.requests[0]["x-other"] == "2"
        resource = collector.spans[0].resource
        assert (resource["service.name"], resource["deployment.environment.name"]) == ("orders", "dev")


@pytest.mark.parametrize(("mode", "expected"), [({"telemetryMode": "OpenTelemetry"}, True), ({}, False)])
async def test_host_json_switches_traces_on_as_on_azure(tmp_path: Path, mode: dict[str, str], expected: bool) -> None:
    async with collecting() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        async with run_app(tmp_path / "app", DURABLE_APP, APP, host=mode, settings=settings) as app:
            await app.get("/api/broken")
        assert bool(collector.spans) is expected


@pytest.mark.parametrize(
    "url",
    ["localhost:4318", "ftp://x", "http://", "http://a:b", "http://a b/", "http://\ud800/", f"http://{'a' * 64}.com/"],
)
async def test_a_wrong_url_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--otlp: .* is not the URL of a collector"):
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=url):
            pass


@pytest.mark.parametrize("headers", ["key=s3cr3t%0d%0aX:y", "a%20b=s3cr3t", "ü=s3cr3t", "key=s3cr3t%00"])
async def test_headers_that_cannot_be_sent_are_refused_at_the_start(tmp_path: Path, headers: str) -> None:
    settings = {"OTEL_EXPORTER_OTLP_HEADERS": headers}
    with pytest.raises(
        ConfigurationError, match=r"OTEL_EXPORTER_OTLP_HEADERS: .* cannot be sent as an HTTP header"
    ) as e:
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp="", settings=settings):
            pass
    assert "s3cr3t" not in str(e.value)


@pytest.mark.parametrize(
    "address", ["ftp://user:s3cr3t@x/", "user:s3cr3t@x", "http://user:s3cr3t@", "http://u:s3cr3t@[x/"]
)
async def test_a_wrong_url_is_named_without_its_password(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the URL of a collector") as e:
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=address):
            pass
    assert "s3cr3t" not in str(e.value)


async def test_secrets_of_the_url_are_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, unused_tcp_port: int
) -> None:
    place = f"127.0.0.1:{unused_tcp_port}/v1/traces"
    async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=f"http://user:s3cr3t@{place}?key=s3cr3t") as app:
        await app.get("/api/broken")
    assert f"the collector at http://{place} does not respond" in caplog.text
    assert "s3cr3t" not in caplog.text


async def test_a_redirection_does_not_lead_the_key_to_another_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with collecting() as collector, collecting() as other:
        collector.status, collector.location = 307, f"{other.url}/?key=s3cr3t"
        settings = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=k"}
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=collector.url, settings=settings) as app:
            await app.get("/api/broken")
        assert collector.requests[0]["api-key"] == "k"
        assert other.requests == []
    assert f"redirects to {other.url}/ (status 307), which is not followed" in caplog.text
    assert "s3cr3t" not in caplog.text


async def test_a_collector_that_is_away_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with caplog.at_level(logging.WARNING, logger="emulator.telemetry"):
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=url) as app:
            await app.get("/api/orders/one")
            await app.post("/runtime/webhooks/durabletask/instances/one/raiseEvent/go", json="now")
            assert (await ended(app, "one"))["runtimeStatus"] == "Completed"
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("emulator.telemetry")]
    assert len(lines) == 2
    assert f"the collector at {url}/v1/traces does not respond" in lines[0]
    assert "port 4317 is for gRPC" in lines[0]
    assert "spans were not sent" in lines[1]


async def test_spans_wait_for_a_collector_that_is_busy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with collecting() as collector:
        collector.status = 503
        async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=collector.url) as app:
            await app.get("/api/broken")
            await collector.changed.wait()
            collector.status = 200
        assert collector.only("broken")
    assert "answers with status 503" in caplog.text


async def test_the_last_spans_are_sent_when_the_host_is_stopped(tmp_path: Path) -> None:
    async with collecting() as collector:
        asked = asyncio.Event()

        async def host() -> None:
            async with run_app(tmp_path / "app", DURABLE_APP, APP, otlp=collector.url) as app:
                await app.get("/api/broken")
                asked.set()
                await asyncio.Event().wait()

        running = asyncio.create_task(host())
        await asked.wait()
        # As `azemu start` stops its host.
        running.cancel()
        await asyncio.wait({running})
        assert collector.only("broken")


async def test_without_traces_messages_have_no_trace_context(tmp_path: Path) -> None:
    async with run_app(tmp_path / "app", DURABLE_APP, APP) as app:
        await app.get("/api/orders/bad2", headers={"traceparent": CALLER})
        await ended(app, "bad2")
        text = (await app.get("/runtime/webhooks/durabletask/instances/bad2?showHistory=true")).text
        assert CALLER not in text
