"""Tables over REST. Source: "Table Service REST API" of the Azure Storage REST reference."""

from __future__ import annotations

from collections.abc import Sequence

from emulator import bound_json as json
from emulator.storage.error_mapping import check_transaction, invalid_request, service_error
from emulator.storage.filters import Condition
from emulator.storage.port import (
    NotFound,
    Operation,
    Page,
    Row,
    TableOperation,
)
from emulator.storage.rest.batches import OperationResponse, batch_request, split_responses
from emulator.storage.rest.entities import UnsupportedValue, entity_json, row_of
from emulator.storage.rest.service import Query, StorageService, escaped, read_error

_PAGE = 1000
_KEYS = ("PartitionKey", "RowKey")

# With minimal metadata the service names the types that JSON does not show, and the ETag of each row.
_READING = {"Accept": "application/json;odata=minimalmetadata"}
_WRITING = {
    "Accept": "application/json;odata=minimalmetadata",
    "Content-Type": "application/json",
    # Without it, the response to an insert would hold the whole row.
    "Prefer": "return-no-content",
}
_CONFLICT = frozenset({409})


class RestTable:
    """Implements storage.port.Table."""

    def __init__(self, name: str, service: StorageService, *, ascii_only: bool) -> None:
        self.name = name
        self._service = service
        self._ascii_only = ascii_only

    async def create(self) -> bool:
        response = await self._service.request(
            f"create table {self.name}",
            "POST",
            "/Tables",
            headers=_WRITING,
            body=json.dumps({"TableName": self.name}).encode(),
            accept=_CONFLICT,
        )
        if response.status != 409:
            return True
        # Also 409 while a table of this name is being deleted, which is an error for callers.
        code, detail = read_error(response.body)
        if code == "TableAlreadyExists":
            return False
        raise service_error(f"create table {self.name}", status=409, code=code, detail=detail)

    async def drop(self) -> bool:
        try:
            await self._service.request(
                f"delete table {self.name}", "DELETE", f"/Tables('{escaped(self.name)}')", headers=_READING
            )
        except NotFound:
            return False
        return True

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        response = await self._service.request(
            f"read row {partition_key!r}, {row_key!r} of table {self.name}",
            "GET",
            row_path(self.name, partition_key, row_key),
            query=_selected(select),
            headers=_READING,
        )
        return row_of(json.loads(response.body))

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = _PAGE,
        continuation: str | None = None,
    ) -> Page:
        action = f"query table {self.name}"
        query: Query = _selected(select)
        if where is not None:
            query = (*query, ("$filter", where.odata()))
        # 1000 is what the service returns without $top.
        if limit != _PAGE:
            query = (*query, ("$top", str(limit)))
        if continuation is not None:
            query = (*query, *_position(action, continuation))
        response = await self._service.request(action, "GET", f"/{self.name}()", query=query, headers=_READING)
        rows = [row_of(entity) for entity in json.loads(response.body)["value"]]
        # The next row key may be absent.
        next_partition = response.headers.get("x-ms-continuation-NextPartitionKey")
        if next_partition is None:
            return Page(rows)
        return Page(rows, f"{next_partition} {response.headers.get('x-ms-continuation-NextRowKey', '')}")

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        if not operations:
            return []
        if len(operations) > 1:
            return await self._submit_batch(operations)
        # One operation is a plain request, which is much less work for client and service than a transaction of one.
        [operation] = operations
        row = operation.row
        action = f"{operation.kind.value} row {row.partition_key!r}, {row.row_key!r} of table {self.name}"
        try:
            method, path, headers, body = self._request(operation)
        except UnsupportedValue as error:
            raise invalid_request(action, "InvalidInput", str(error)) from None
        response = await self._service.request(action, method, path, headers=headers, body=body)
        return [response.headers.get("ETag") if operation.kind is not Operation.DELETE else None]

    def _request(self, operation: TableOperation) -> tuple[str, str, dict[str, str], bytes]:
        """Method, path, headers and body of one operation."""
        row = operation.row
        if operation.kind is Operation.INSERT:
            return "POST", f"/{self.name}", _WRITING, entity_json(row, ascii_only=self._ascii_only)
        path = row_path(self.name, row.partition_key, row.row_key)
        condition = {} if operation.if_match is None else {"If-Match": operation.if_match}
        if operation.kind is Operation.DELETE:
            return "DELETE", path, {**_READING, **condition}, b""
        # Without If-Match these two methods insert a row that does not exist.
        merging = operation.kind in (Operation.MERGE, Operation.INSERT_OR_MERGE)
        body = entity_json(row, ascii_only=self._ascii_only)
        return "PATCH" if merging else "PUT", path, {**_WRITING, **condition}, body

    async def _submit_batch(self, operations: Sequence[TableOperation]) -> list[str | None]:
        action = f"submit {len(operations)} operations to table {self.name}"
        # Azurite would accept rows of several partitions, and tests would pass that fail in Azure.
        check_transaction(action, operations)
        requests = []
        for index, operation in enumerate(operations):
            try:
                requests.append(self._request(operation))
            except UnsupportedValue as error:
                raise invalid_request(action, "InvalidInput", str(error), failed_index=index) from None
        content_type, body = batch_request(self._service.endpoint, requests)
        response = await self._service.request(
            action, "POST", "/$batch", headers={**_READING, "Content-Type": content_type}, body=body
        )
        responses = split_responses(response.body)
        # The batch itself is accepted (202) even if its transaction was undone.
        if any(part.status >= 300 for part in responses) or len(responses) != len(operations):
            raise _batch_error(action, responses)
        return [
            None if operation.kind is Operation.DELETE else part.etag
            for operation, part in zip(operations, responses, strict=True)
        ]


def row_path(table: str, partition_key: str, row_key: str) -> str:
    """Return the path of a row. OData doubles the quotes in a key."""
    partition_key, row_key = (escaped(key.replace("'", "''")) for key in (partition_key, row_key))
    return f"/{table}(PartitionKey='{partition_key}',RowKey='{row_key}')"


def _selected(select: Sequence[str]) -> Query:
    if not select:
        return ()
    # The service leaves out the keys, too, if they are not named.
    return (("$select", ",".join((*_KEYS, *(name for name in select if name not in _KEYS)))),)


def _position(action: str, continuation: str) -> Query:
    """Return the query parameters of a continuation token: next partition key and row key, with a space between."""
    # The service encodes both, so neither contains a space.
    partition, separator, row = continuation.partition(" ")
    if not separator or " " in row or not (partition or row):
        raise invalid_request(action, "InvalidInput", "The continuation token was not returned by this service.")
    return (("NextPartitionKey", partition), *((("NextRowKey", row),) if row else ()))


def _batch_error(action: str, responses: Sequence[OperationResponse]) -> Exception:
    failed = next((response for response in responses if response.status >= 300), None)
    if failed is None:
        detail = "The response to the transaction has no result for some of its operations."
        return service_error(action, status=500, code="InternalError", detail=detail)
    code, detail = read_error(failed.body)
    # The message begins with the index of the operation that failed: "2:The specified entity already exists."
    index, _, message = detail.partition(":")
    if index.isdecimal():
        return service_error(action, status=failed.status, code=code, detail=message, failed_index=int(index))
    return service_error(action, status=failed.status, code=code, detail=detail)
