import json
import logging

import azure.functions as func

app = func.FunctionApp()


@app.sql_trigger(arg_name="changes", table_name="dbo.Orders", connection_string_setting="SqlConnectionString")
def follow_rows(changes: str) -> None:
    """Process changed rows of a table. Locally: azemu invoke follow_rows '[{"Operation": 0, "Item": {"Id": 7}}]'."""
    for change in json.loads(changes):
        logging.info("Operation %s on row %s", change["Operation"], change["Item"])
