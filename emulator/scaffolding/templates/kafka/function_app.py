import logging

import azure.functions as func

app = func.FunctionApp()


@app.kafka_trigger(arg_name="event", topic="readings", broker_list="KafkaBrokers", consumer_group="$Default")
def read_kafka(event: func.KafkaEvent) -> None:
    """Process an event of a Kafka topic. Locally: azemu invoke read_kafka "text of the event"."""
    logging.info("Reading: %s", event.get_body().decode())
