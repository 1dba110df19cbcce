import logging

import azure.functions as func

app = func.FunctionApp()


@app.cosmos_db_trigger(
    arg_name="documents",
    connection="CosmosDbConnection",
    database_name="shop",
    container_name="orders",
    create_lease_container_if_not_exists=True,
)
def follow_changes(documents: func.DocumentList) -> None:
    """Process changed documents of a container. Locally: azemu invoke follow_changes '[{"id": "7"}]'."""
    for document in documents:
        logging.info("Document %s has changed.", document["id"])
