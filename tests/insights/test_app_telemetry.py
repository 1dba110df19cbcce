"""Apps that use OpenTelemetry themselves, beside a host that sends telemetry."""

from __future__ import annotations

import asyncio
import logging
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.insights.ingestion import ingesting
from tests.processes import get, started
from tests.running_apps import HTTP_APP, run_app, write_app

PACKAGE = "azure-monitor-opentelemetry"
SWITCH = "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"

APP = """
from opentelemetry import trace

@app.route(route="order")
def order(req):
    with trace.get_tracer("shop").start_as_current_span("pricing"):
        logging.getLogger("shop").warning("one order")
    return trace.get_current_span().get_span_context().span_id.to_bytes(8, "big").hex()
"""


def needs_package() -> None:
    try:
        metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        pytest.skip(f"needs {PACKAGE}")


@pytest.mark.parametrize("switch", [SWITCH, "PYTHON_ENABLE_OPENTELEMETRY"])
async def test_the_span_of_the_invocation_is_current_in_functions(tmp_path: Path, switch: str) -> None:
    pytest.importorskip("opentelemetry.trace")
    async with run_app(tmp_path / "app", HTTP_APP, APP, settings={switch: "true"}) as app:
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        span = (await app.get("/api/order", headers={"traceparent": trace})).text
    # A span of the invocation in this trace, and not of the caller.
    assert span != "b" * 16
    assert int(span, 16)


async def test_without_the_package_the_app_runs_and_the_host_says_what_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.trace")
    # Python's way to say that a module cannot be imported.
    monkeypatch.setitem(sys.modules, "azure.monitor.opentelemetry", None)
    async with ingesting() as endpoint:
        settings = {**endpoint.settings, SWITCH: "true"}
        async with run_app(tmp_path / "app", HTTP_APP, APP, telemetry=True, settings=settings) as app:
            assert (await app.get("/api/order")).status == 200
    (record,) = [record for record in caplog.records if SWITCH in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert f"pip install {PACKAGE}" in record.getMessage()


@pytest.mark.parametrize("own", [True, False])
async def test_lines_of_functions_arrive_once(tmp_path: Path, own: bool) -> None:
    needs_package()
    async with ingesting() as endpoint:
        # The package must not report its own use from a test.
        settings = {**endpoint.settings, "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true"}
        settings |= {"APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true"}
        if own:
            # The package's own sampler keeps five spans per second at most, by chance also fewer.
            settings |= {SWITCH: "true", "OTEL_TRACES_SAMPLER": "always_on"}
        app = write_app(tmp_path / "app", HTTP_APP, APP, settings=settings)

        def session() -> None:
            with started(app, env={"PYTHONWARNINGS": None}) as azemu:
                get(azemu.url())
                azemu.interrupt()
                assert azemu.wait() == 0, azemu.output

        await asyncio.to_thread(session)
        (line,) = endpoint.of("MessageData", message="one order")
        run = endpoint.only("RemoteDependencyData", name="order")
        assert line.operation == run.operation
        if own:
            # Within the span that the app itself has opened, which is a part of the invocation.
            span = endpoint.only("RemoteDependencyData", name="pricing")
            assert (line.parent, span.parent, span.operation) == (span.data["id"], run.data["id"], run.operation)
        else:
            assert line.parent == run.data["id"]
