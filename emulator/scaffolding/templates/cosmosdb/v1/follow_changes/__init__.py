import logging

import azure.functions as func


def main(documents: func.DocumentList) -> None:
    """Process changed documents of a container. Locally: azemu invoke follow_changes '[{"id": "7"}]'."""
    for document in documents:
        logging.info("Document %s has changed.", document["id"])
