import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.service_bus_queue_trigger(arg_name="message", queue_name="orders", connection="ServiceBus")
def order(message: func.ServiceBusMessage):
    print(message.get_body())


@app.event_hub_message_trigger(arg_name="event", event_hub_name="hub", connection="EventHub")
def event(event: func.EventHubEvent):
    print(event.get_body())


@app.cosmos_db_trigger(arg_name="documents", database_name="db", container_name="items", connection="Cosmos")
def changed(documents: func.DocumentList):
    print(len(documents))


@app.generic_trigger(arg_name="record", type="kafkaTrigger", topic="t", brokerList="%Brokers%", consumerGroup="g")
def record(record: str):
    print(record)


@app.generic_trigger(arg_name="anything", type="somethingOfOursTrigger", path="x")
def custom(anything: str):
    print("custom", anything)


@app.route(route="hello")
def hello(req: func.HttpRequest):
    return "hello"
