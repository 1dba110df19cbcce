"""Tables over REST. Facts: the Table Service part of the Azure Storage REST reference."""

from __future__ import annotations

import json
from collections.abc import Sequence

from emulator.storage.error_mapping import invalid, refusal
from emulator.storage.filters import Condition
from emulator.storage.port import (
    MAX_BATCH_OPERATIONS,
    NotFound,
    Operation,
    Page,
    Row,
    TableOperation,
)
from emulator.storage.rest.batches import Reply, batch_request, replies_in
from emulator.storage.rest.entities import NotStorable, entity_json, row_of
from emulator.storage.rest.errors import error_in
from emulator.storage.rest.http import Service, escaped

_PAGE = 1000
_KEYS = ("PartitionKey", "RowKey")

_READING = {"Accept": "application/json;odata=minimalmetadata"}
_WRITING = {
    "Accept": "application/json;odata=minimalmetadata",
    "Content-Type": "application/json",
    "Prefer": "return-no-content",
}
_CONFLICT = frozenset({409})

Query = tuple[tuple[str, str], ...]


class RestTable:
    """See storage.api.Table."""

    def __init__(self, name: str, service: Service, *, ascii_only: bool) -> None:
        self.name = name
        self._service = service
        self._ascii_only = ascii_only

    async def create(self) -> bool:
        answer = await self._service.ask(
            f"create table {self.name}",
            "POST",
            "/Tables",
            headers=_WRITING,
            body=json.dumps({"TableName": self.name}).encode(),
            accept=_CONFLICT,
        )
        if answer.status != 409:
            return True
        code, detail = error_in(answer.body)
        if code == "TableAlreadyExists":
            return False
        raise refusal(f"create table {self.name}", status=409, code=code, detail=detail)

    async def drop(self) -> bool:
        try:
            await self._service.ask(
                f"delete table {self.name}", "DELETE", f"/Tables('{escaped(self.name)}')", headers=_READING
            )
        except NotFound:
            return False
        return True

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        answer = await self._service.ask(
            f"read row {partition_key!r}, {row_key!r} of table {self.name}",
            "GET",
            row_path(self.name, partition_key, row_key),
            query=_selected(select),
            headers=_READING,
        )
        return row_of(json.loads(answer.body))

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = _PAGE,
        continuation: str | None = None,
    ) -> Page:
        doing = f"query table {self.name}"
        query: Query = _selected(select)
        if where is not None:
            query = (*query, ("$filter", where.odata()))
        if limit != _PAGE:
            query = (*query, ("$top", str(limit)))
        if continuation is not None:
            query = (*query, *_position(doing, continuation))
        answer = await self._service.ask(doing, "GET", f"/{self.name}()", query=query, headers=_READING)
        rows = [row_of(entity) for entity in json.loads(answer.body)["value"]]
        next_partition = answer.headers.get("x-ms-continuation-NextPartitionKey")
        if next_partition is None:
            return Page(rows)
        return Page(rows, f"{next_partition} {answer.headers.get('x-ms-continuation-NextRowKey', '')}")

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        if not operations:
            return []
        if len(operations) == 1:
            return [await self._submit_one(operations[0])]
        return await self._submit_batch(operations)

    async def _submit_one(self, operation: TableOperation) -> str | None:
        row = operation.row
        doing = f"{operation.kind.value} row {row.partition_key!r}, {row.row_key!r} of table {self.name}"
        try:
            method, path, headers, body = self._request(operation)
        except NotStorable as error:
            raise invalid(doing, "InvalidInput", str(error)) from None
        answer = await self._service.ask(doing, method, path, headers=headers, body=body)
        return answer.headers.get("ETag") if operation.kind is not Operation.DELETE else None

    def _request(self, operation: TableOperation) -> tuple[str, str, dict[str, str], bytes]:
        """Method, path, headers and body of one operation."""
        row = operation.row
        if operation.kind is Operation.INSERT:
            return "POST", f"/{self.name}", _WRITING, entity_json(row, ascii_only=self._ascii_only)
        path = row_path(self.name, row.partition_key, row.row_key)
        condition = {} if operation.if_match is None else {"If-Match": operation.if_match}
        if operation.kind is Operation.DELETE:
            return "DELETE", path, {**_READING, **condition}, b""
        merging = operation.kind in (Operation.MERGE, Operation.INSERT_OR_MERGE)
        body = entity_json(row, ascii_only=self._ascii_only)
        return "PATCH" if merging else "PUT", path, {**_WRITING, **condition}, body

    async def _submit_batch(self, operations: Sequence[TableOperation]) -> list[str | None]:
        doing = f"submit {len(operations)} operations to table {self.name}"
        if len(operations) > MAX_BATCH_OPERATIONS:
            raise invalid(doing, "InvalidInput", f"A transaction takes at most {MAX_BATCH_OPERATIONS} operations.")
        requests = []
        for index, operation in enumerate(operations):
            if operation.row.partition_key != operations[0].row.partition_key:
                # Azurite would take it.
                code = "CommandsInBatchActOnDifferentPartitions"
                raise invalid(doing, code, "A transaction has rows of one partition only.", failed_index=index)
            try:
                requests.append(self._request(operation))
            except NotStorable as error:
                raise invalid(doing, "InvalidInput", str(error), failed_index=index) from None
        content_type, body = batch_request(self._service.endpoint, requests)
        answer = await self._service.ask(
            doing, "POST", "/$batch", headers={**_READING, "Content-Type": content_type}, body=body
        )
        replies = replies_in(answer.body)
        if any(reply.status >= 300 for reply in replies) or len(replies) != len(operations):
            raise _batch_refusal(doing, replies)
        return [
            None if operation.kind is Operation.DELETE else reply.etag
            for operation, reply in zip(operations, replies, strict=True)
        ]


def row_path(table: str, partition_key: str, row_key: str) -> str:
    return f"/{table}(PartitionKey='{_quoted(partition_key)}',RowKey='{_quoted(row_key)}')"


def _quoted(key: str) -> str:
    return escaped(key.replace("'", "''"))


def _selected(select: Sequence[str]) -> Query:
    if not select:
        return ()
    return (("$select", ",".join((*_KEYS, *(name for name in select if name not in _KEYS)))),)


def _position(doing: str, continuation: str) -> Query:
    """Tokens look as those of the .NET client: both keys, as the service gave them, and a space between."""
    partition, separator, row = continuation.partition(" ")
    if not separator or " " in row or not (partition or row):
        raise invalid(doing, "InvalidInput", "The continuation token is not one of this service.")
    return (("NextPartitionKey", partition), *((("NextRowKey", row),) if row else ()))


def _batch_refusal(doing: str, replies: Sequence[Reply]) -> Exception:
    failed = next((reply for reply in replies if reply.status >= 300), None)
    if failed is None:
        return refusal(doing, status=500, code="InternalError", detail="The answer lacks replies to some operations.")
    code, detail = error_in(failed.body)
    # The message begins with the place of the operation that failed: "2:The specified entity already exists."
    index, _, rest = detail.partition(":")
    if index.isdecimal():
        return refusal(doing, status=failed.status, code=code, detail=rest, failed_index=int(index))
    return refusal(doing, status=failed.status, code=code, detail=detail)
