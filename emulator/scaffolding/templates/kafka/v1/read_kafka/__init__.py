import logging

import azure.functions as func


def main(event: func.KafkaEvent) -> None:
    """Process an event of a Kafka topic. Locally: azemu invoke read_kafka "text of the event"."""
    logging.info("Reading: %s", event.get_body().decode())
