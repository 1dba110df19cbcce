import azure.durable_functions as df
import azure.functions as func

from models import Order

app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="go")
@app.durable_client_input(client_name="client")
async def go(req: func.HttpRequest, client):
    return client.create_check_status_response(req, await client.start_new("flow", client_input=Order("book", 2)))


@app.orchestration_trigger(context_name="context")
def flow(context):
    order: Order = context.get_input()
    priced: Order = yield context.call_activity("price", order)
    return f"{priced.item} x {priced.count}: {priced.price}"


@app.activity_trigger(input_name="order")
def price(order: Order) -> Order:
    return Order(order.item, order.count, 1.5 * order.count)
