"""Sub-orchestrations: start an orchestration for each device of a site.

All devices are provisioned at the same time, each with its own steps and status. If one fails, the others continue.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import azure.durable_functions as df
import azure.functions as func

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

FIRMWARE = {"sensor": "2.4.1", "gateway": "5.0.0", "camera": "1.9.3"}


@app.route(route="sites/{site}", methods=["POST"])
@app.durable_client_input(client_name="client")
async def add_site(req: func.HttpRequest, client: df.DurableOrchestrationClient) -> func.HttpResponse:
    """Body: a JSON list of devices such as {"serial": "a1", "kind": "sensor"}."""
    try:
        devices = [{"serial": str(device["serial"]), "kind": str(device["kind"])} for device in req.get_json()]
    except (ValueError, KeyError, TypeError):
        devices = []
    if not devices:
        return func.HttpResponse(
            json.dumps({"error": "Send a list of devices, each with serial and kind."}),
            status_code=400,
            mimetype="application/json",
        )
    site = {"site": req.route_params["site"], "devices": devices}
    instance_id = await client.start_new("provision_site", f"site-{site['site']}", site)
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def provision_site(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    site = context.get_input()
    children = [
        context.call_sub_orchestrator("provision_device", device, f"{context.instance_id}-{device['serial']}")
        for device in site["devices"]
    ]
    results = yield context.task_all(children)
    return {
        "site": site["site"],
        "ready": sorted(result["serial"] for result in results if result["ready"]),
        "failed": {result["serial"]: result["why"] for result in results if not result["ready"]},
    }


@app.orchestration_trigger(context_name="context")
def provision_device(context: df.DurableOrchestrationContext) -> Generator[Any, Any, dict[str, Any]]:
    device = context.get_input()
    try:
        context.set_custom_status("choosing firmware")
        firmware = yield context.call_activity("choose_firmware", device["kind"])
        context.set_custom_status("registering")
        identity = yield context.call_activity("register", {**device, "firmware": firmware})
    except Exception as failure:
        return {"serial": device["serial"], "ready": False, "why": str(failure).splitlines()[0].strip()}
    return {"serial": device["serial"], "ready": True, "identity": identity}


@app.activity_trigger(input_name="kind")
def choose_firmware(kind: str) -> str:
    if kind not in FIRMWARE:
        raise LookupError(f"no firmware for a {kind}")
    return FIRMWARE[kind]


@app.activity_trigger(input_name="device")
def register(device: dict) -> str:
    return f"{device['kind']}/{device['serial']}@{device['firmware']}"
