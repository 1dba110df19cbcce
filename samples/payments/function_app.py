"""A checkout that charges a card, with and without an idempotency key."""

import azure.durable_functions as df
import azure.functions as func
import provider

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="orders", methods=["POST"])
@app.durable_client_input(client_name="client")
async def place_order(req: func.HttpRequest, client) -> func.HttpResponse:
    name = "careless_checkout" if req.params.get("careless") else "checkout"
    instance_id = await client.start_new(name, client_input=req.get_json())
    return client.create_check_status_response(req, instance_id)


@app.orchestration_trigger(context_name="context")
def careless_checkout(context: df.DurableOrchestrationContext):
    """Charge and ship. The bug: if the host crashes after the charge, the activity runs again and charges again."""
    order = context.get_input()
    payment = yield context.call_activity("charge_without_key", order)
    return (yield context.call_activity("ship", {**order, "payment": payment["id"]}))


@app.orchestration_trigger(context_name="context")
def checkout(context: df.DurableOrchestrationContext):
    """Charge and ship. The key is the same whenever the activity runs again, so the provider charges once.

    Not context.new_uuid(): Azure repeats an episode that was not stored with another time, and then it is another id.
    """
    order = context.get_input()
    payment = yield context.call_activity("charge", {**order, "key": f"charge {context.instance_id}"})
    return (yield context.call_activity("ship", {**order, "payment": payment["id"]}))


@app.activity_trigger(input_name="order")
def charge_without_key(order: dict) -> dict:
    return provider.charge(order["card"], order["amount"])


@app.activity_trigger(input_name="order")
def charge(order: dict) -> dict:
    return provider.charge(order["card"], order["amount"], idempotency_key=order["key"])


@app.activity_trigger(input_name="order")
def ship(order: dict) -> str:
    return f"{order['item']} shipped for {order['payment']}"
