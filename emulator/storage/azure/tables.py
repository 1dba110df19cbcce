"""Tables over azure-data-tables."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from azure.core import MatchConditions
from azure.data.tables import EdmType, EntityProperty, TableEntity, UpdateMode
from azure.data.tables.aio import TableClient

from emulator.instant import Instant
from emulator.storage.azure.errors import Calls
from emulator.storage.error_mapping import invalid, refusal
from emulator.storage.filters import Condition
from emulator.storage.port import (
    ANY_ETAG,
    MAX_BATCH_OPERATIONS,
    AlreadyExists,
    Int64,
    Operation,
    Page,
    Row,
    TableOperation,
    Value,
)

_PAGE = 1000
_KEYS = ("PartitionKey", "RowKey")


class AzureTable:
    """See storage.api.Table."""

    def __init__(self, client: TableClient, calls: Calls) -> None:
        self._client = client
        self._calls = calls
        self.name: str = client.table_name

    async def create(self) -> bool:
        try:
            await self._calls.run(f"create table {self.name}", self._client.create_table())
        except AlreadyExists:
            return False
        return True

    async def drop(self) -> bool:
        # The client hides a 404.
        seen = _Status()
        await self._calls.run(f"delete table {self.name}", self._client.delete_table(raw_response_hook=seen))
        return seen.status != 404

    async def read(self, partition_key: str, row_key: str, *, select: Sequence[str] = ()) -> Row:
        entity = await self._calls.run(
            f"read row {partition_key!r}, {row_key!r} of table {self.name}",
            self._client.get_entity(partition_key, row_key, select=_selected(select)),
        )
        return _row(entity)

    async def page(
        self,
        where: Condition | None = None,
        *,
        select: Sequence[str] = (),
        limit: int = _PAGE,
        continuation: str | None = None,
    ) -> Page:
        doing = f"query table {self.name}"
        start = _token(doing, continuation)
        return await self._calls.run(doing, self._next_page(where, select, limit, start))

    async def _next_page(
        self, where: Condition | None, select: Sequence[str], limit: int, start: Mapping[str, str] | None
    ) -> Page:
        chosen = _selected(select)
        if where is None:
            entities = self._client.list_entities(results_per_page=limit, select=chosen)
        else:
            entities = self._client.query_entities(where.odata(), results_per_page=limit, select=chosen)
        pages = entities.by_page(continuation_token=start)  # type: ignore[arg-type]
        async for page in pages:
            rows = [_row(entity) async for entity in page]
            token: Any = pages.continuation_token  # type: ignore[attr-defined]
            return Page(rows, json.dumps(token) if token else None)
        return Page(())

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        if not operations:
            return []
        if len(operations) == 1:
            return [await self._submit_one(operations[0])]
        return await self._submit_batch(operations)

    async def _submit_one(self, operation: TableOperation) -> str | None:
        row = operation.row
        doing = f"{operation.kind.value} row {row.partition_key!r}, {row.row_key!r} of table {self.name}"
        if operation.kind is Operation.DELETE:
            await self._delete(doing, row, operation.if_match)
            return None
        entity = _entity(doing, row)
        call = self._write(operation.kind, entity, _condition(operation.if_match))
        answer = await self._calls.run(doing, call)
        return str(answer["etag"])

    def _write(self, kind: Operation, entity: dict[str, Any], condition: dict[str, Any]) -> Any:
        match kind:
            case Operation.INSERT:
                return self._client.create_entity(entity)
            case Operation.REPLACE:
                return self._client.update_entity(entity, mode=UpdateMode.REPLACE, **condition)
            case Operation.MERGE:
                return self._client.update_entity(entity, mode=UpdateMode.MERGE, **condition)
            case Operation.INSERT_OR_REPLACE:
                return self._client.upsert_entity(entity, mode=UpdateMode.REPLACE)
            case _:
                return self._client.upsert_entity(entity, mode=UpdateMode.MERGE)

    async def _delete(self, doing: str, row: Row, if_match: str | None) -> None:
        # The client hides a 404 here, too.
        seen = _Status()
        await self._calls.run(
            doing,
            self._client.delete_entity(row.partition_key, row.row_key, raw_response_hook=seen, **_condition(if_match)),
        )
        if seen.status == 404:
            raise refusal(doing, status=404, code=seen.code, detail="The row or the table does not exist.")

    async def _submit_batch(self, operations: Sequence[TableOperation]) -> list[str | None]:
        doing = f"submit {len(operations)} operations to table {self.name}"
        if len(operations) > MAX_BATCH_OPERATIONS:
            raise invalid(doing, "InvalidInput", f"A transaction takes at most {MAX_BATCH_OPERATIONS} operations.")
        for index, operation in enumerate(operations):
            if operation.row.partition_key != operations[0].row.partition_key:
                code = "CommandsInBatchActOnDifferentPartitions"
                raise invalid(doing, code, "A transaction has rows of one partition only.", failed_index=index)
        transaction = [_operation(doing, index, operation) for index, operation in enumerate(operations)]
        answers = await self._calls.run(doing, self._client.submit_transaction(transaction))
        return [
            None if operation.kind is Operation.DELETE else str(answer["etag"])
            for operation, answer in zip(operations, answers, strict=True)
        ]


class _Status:
    """A response hook that remembers the answer of a call whose client swallows it."""

    status = 0
    code = ""

    def __call__(self, response: Any) -> None:
        self.status = response.http_response.status_code
        if self.status == 404:
            try:
                self.code = json.loads(response.http_response.text())["odata.error"]["code"]
            except (ValueError, KeyError, TypeError):
                self.code = "ResourceNotFound"


def _operation(doing: str, index: int, operation: TableOperation) -> Any:
    entity = _entity(doing, operation.row, index)
    match operation.kind:
        case Operation.INSERT:
            return ("create", entity)
        case Operation.REPLACE:
            return ("update", entity, {"mode": UpdateMode.REPLACE, **_condition(operation.if_match)})
        case Operation.MERGE:
            return ("update", entity, {"mode": UpdateMode.MERGE, **_condition(operation.if_match)})
        case Operation.INSERT_OR_REPLACE:
            return ("upsert", entity, {"mode": UpdateMode.REPLACE})
        case Operation.INSERT_OR_MERGE:
            return ("upsert", entity, {"mode": UpdateMode.MERGE})
        case Operation.DELETE:
            return ("delete", entity, _condition(operation.if_match))


def _condition(if_match: str | None) -> dict[str, Any]:
    if if_match is None or if_match == ANY_ETAG:
        return {}
    return {"etag": if_match, "match_condition": MatchConditions.IfNotModified}


def _selected(select: Sequence[str]) -> list[str] | None:
    return [*_KEYS, *(name for name in select if name not in _KEYS)] if select else None


def _token(doing: str, continuation: str | None) -> Mapping[str, str] | None:
    if continuation is None:
        return None
    try:
        token = json.loads(continuation)
        return {"PartitionKey": token["PartitionKey"], "RowKey": token["RowKey"]}
    except (ValueError, KeyError, TypeError):
        raise invalid(doing, "InvalidInput", "The continuation token is not one of this service.") from None


# Values ------------------------------------------------------------------------------------------------------


def _entity(doing: str, row: Row, index: int | None = None) -> dict[str, Any]:
    entity: dict[str, Any] = {"PartitionKey": row.partition_key, "RowKey": row.row_key}
    for name, value in row.properties.items():
        entity[name] = _sendable(value)
        if type(value) is int and not -(2**31) <= value < 2**31:
            raise invalid(doing, "InvalidInput", f"{name} is beyond Int32; pass it as Int64.", failed_index=index)
    return entity


def _sendable(value: Value) -> Any:
    match value:
        case Int64():
            return EntityProperty(value.value, EdmType.INT64)
        case Instant():
            return EntityProperty(value.text7, EdmType.DATETIME)
        case _:
            return value


def _row(entity: TableEntity) -> Row:
    metadata: Any = entity.metadata
    stamp = metadata.get("timestamp")
    return Row(
        str(entity["PartitionKey"]),
        str(entity["RowKey"]),
        dict(_received(entity.items())),
        etag=metadata.get("etag"),
        timestamp=None if stamp is None else Instant.parse(stamp.tables_service_value),
    )


def _received(properties: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Value]]:
    for name, value in properties:
        if name in _KEYS or value is None:
            continue
        match value:
            case EntityProperty():
                yield name, Int64(int(value.value))
            case str() | bool() | int() | float() | uuid.UUID() | bytes():
                yield name, value
            case _:
                yield name, Instant.parse(value.tables_service_value)
