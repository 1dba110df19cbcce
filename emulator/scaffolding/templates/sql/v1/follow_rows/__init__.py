import json
import logging


def main(changes: str) -> None:
    """Process changed rows of a table. Locally: azemu invoke follow_rows '[{"Operation": 0, "Item": {"Id": 7}}]'."""
    for change in json.loads(changes):
        logging.info("Operation %s on row %s", change["Operation"], change["Item"])
