"""People of teams in a table: each team is a partition, each person a row."""

import json
import os

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

STORAGE = "AzureWebJobsStorage"
TABLE = "People"


def answer(content: object, status: int = 200) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(content), status_code=status, mimetype="application/json")


@app.route(route="teams/{team}/people/{name}", methods=["POST"])
@app.table_output(arg_name="row", connection=STORAGE, table_name=TABLE, partition_key="{team}", row_key="{name}")
def add_person(req: func.HttpRequest, row: func.Out[str]) -> func.HttpResponse:
    """Insert a row. The run fails (500) if the person exists."""
    row.set(json.dumps(req.get_json()))
    return answer({"added": req.route_params["name"]}, status=201)


@app.route(route="teams/{team}/people/{name}", methods=["PUT"])
@app.table_output(arg_name="row", connection=STORAGE, table_name=TABLE, partition_key="{team}", row_key="{name}")
def replace_person(req: func.HttpRequest, row: func.Out[str]) -> func.HttpResponse:
    """Insert or replace a row: the ETag * stands for any version of it."""
    row.set(json.dumps({**req.get_json(), "ETag": "*"}))
    return answer({"replaced": req.route_params["name"]})


@app.route(route="teams/{team}/people", methods=["GET"])
@app.table_input(arg_name="rows", connection=STORAGE, table_name=TABLE, partition_key="{team}")
def list_people(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return answer([row["RowKey"] for row in json.loads(rows)])


@app.route(route="teams/{team}/people/{name}", methods=["GET"])
@app.table_input(
    arg_name="rows", connection=STORAGE, table_name=TABLE, partition_key="{team}", filter="RowKey eq '{name}'"
)
def get_person(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    # A table input is always a list.
    people = json.loads(rows)
    return answer(people[0]) if people else answer({"error": "no such person"}, status=404)


@app.route(route="teams/{team}/older-than/{age}", methods=["GET"])
@app.table_input(
    arg_name="rows", connection=STORAGE, table_name=TABLE, partition_key="{team}", filter="age gt {age}", take=10
)
def older_than(req: func.HttpRequest, rows: str) -> func.HttpResponse:
    return answer([row["RowKey"] for row in json.loads(rows)])


@app.route(route="teams/{team}/people/{name}", methods=["DELETE"])
def delete_person(req: func.HttpRequest) -> func.HttpResponse:
    """Delete a row with the SDK: bindings cannot delete."""
    from azure.data.tables import TableClient

    with TableClient.from_connection_string(os.environ[STORAGE], TABLE) as table:
        table.delete_entity(req.route_params["team"], req.route_params["name"])
    return func.HttpResponse(status_code=204)
