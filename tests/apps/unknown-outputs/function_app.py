import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.route(route="save", methods=["POST"])
@app.cosmos_db_output(arg_name="document", database_name="db", container_name="items", connection="Cosmos")
@app.service_bus_queue_output(arg_name="message", queue_name="orders", connection="ServiceBus")
@app.generic_output_binding(arg_name="row", type="sql", CommandText="dbo.Orders", ConnectionStringSetting="Sql")
def save(req: func.HttpRequest, document: func.Out[func.Document], message: func.Out[str], row: func.Out[str]):
    document.set(func.Document.from_dict({"id": "1"}))
    message.set("an order")
    row.set('{"id": 1}')
    return func.HttpResponse("saved", status_code=201)
