"""Tables through azure-data-tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from azure.core import MatchConditions
from azure.data.tables import EdmType, EntityProperty, TableEntity, UpdateMode
from azure.data.tables.aio import TableClient

from emulator import bound_json as json
from emulator.instant import Instant
from emulator.storage.azure.sdk_calls import SdkCalls
from emulator.storage.error_mapping import check_transaction, invalid_request, service_error
from emulator.storage.filters import Condition
from emulator.storage.port import (
    ANY_ETAG,
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
    """Implements storage.port.Table."""

    def __init__(self, client: TableClient, calls: SdkCalls) -> None:
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
        # The client ignores a 404.
        response = _ResponseHook()
        await self._calls.run(f"delete table {self.name}", self._client.delete_table(raw_response_hook=response))
        return response.status != 404

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
        action = f"query table {self.name}"
        start = None if continuation is None else _token(action, continuation)
        return await self._calls.run(action, self._first_page(where, select, limit, start))

    async def _first_page(
        self, where: Condition | None, select: Sequence[str], limit: int, start: Mapping[str, str] | None
    ) -> Page:
        chosen = _selected(select)
        # The SDK has no query without a filter.
        if where is None:
            entities = self._client.list_entities(results_per_page=limit, select=chosen)
        else:
            entities = self._client.query_entities(where.odata(), results_per_page=limit, select=chosen)
        pages = entities.by_page(continuation_token=start)  # type: ignore[arg-type]
        # Only the first page: each further one would be a request of its own.
        async for page in pages:
            rows = [_row(entity) async for entity in page]
            token: Any = pages.continuation_token  # type: ignore[attr-defined]
            return Page(rows, json.dumps(token) if token else None)
        return Page(())

    async def submit(self, operations: Sequence[TableOperation]) -> list[str | None]:
        if not operations:
            return []
        if len(operations) > 1:
            return await self._submit_batch(operations)
        # One operation is a plain request, which is much less work for client and service than a transaction of one.
        [operation] = operations
        row = operation.row
        action = f"{operation.kind.value} row {row.partition_key!r}, {row.row_key!r} of table {self.name}"
        if operation.kind is Operation.DELETE:
            await self._delete(action, row, operation.if_match)
            return [None]
        entity = _entity(action, row)
        call = self._write(operation.kind, entity, _condition(operation.if_match))
        response = await self._calls.run(action, call)
        return [str(response["etag"])]

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

    async def _delete(self, action: str, row: Row, if_match: str | None) -> None:
        # The client ignores a 404 here, too.
        response = _ResponseHook()
        await self._calls.run(
            action,
            self._client.delete_entity(
                row.partition_key, row.row_key, raw_response_hook=response, **_condition(if_match)
            ),
        )
        if response.status == 404:
            raise service_error(action, status=404, code=response.code, detail="The row or the table does not exist.")

    async def _submit_batch(self, operations: Sequence[TableOperation]) -> list[str | None]:
        action = f"submit {len(operations)} operations to table {self.name}"
        # The SDK checks the partitions too, but its error does not name the operation.
        check_transaction(action, operations)
        transaction = [_operation(action, index, operation) for index, operation in enumerate(operations)]
        responses = await self._calls.run(action, self._client.submit_transaction(transaction))
        return [
            None if operation.kind is Operation.DELETE else str(response["etag"])
            for operation, response in zip(operations, responses, strict=True)
        ]


class _ResponseHook:
    """A hook that keeps status and error code of the response to a call whose client does not raise for a 404."""

    status = 0
    code = ""

    def __call__(self, response: Any) -> None:
        self.status = response.http_response.status_code
        if self.status == 404:
            try:
                self.code = json.loads(response.http_response.text())["odata.error"]["code"]
            except (ValueError, KeyError, TypeError):
                self.code = "ResourceNotFound"


def _operation(action: str, index: int, operation: TableOperation) -> Any:
    entity = _entity(action, operation.row, index)
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
    # The service leaves out the keys, too, if they are not named.
    return [*_KEYS, *(name for name in select if name not in _KEYS)] if select else None


def _token(action: str, continuation: str) -> Mapping[str, str]:
    # Checked, because the SDK would begin with the first page if the keys are missing.
    try:
        token = json.loads(continuation)
        return {"PartitionKey": token["PartitionKey"], "RowKey": token["RowKey"]}
    except (ValueError, KeyError, TypeError):
        raise invalid_request(
            action, "InvalidInput", "The continuation token was not returned by this service."
        ) from None


# Values ------------------------------------------------------------------------------------------------------


def _entity(action: str, row: Row, index: int | None = None) -> dict[str, Any]:
    entity: dict[str, Any] = {"PartitionKey": row.partition_key, "RowKey": row.row_key}
    for name, value in row.properties.items():
        match value:
            case Int64():
                entity[name] = EntityProperty(value.value, EdmType.INT64)
            case Instant():
                # As text: a datetime has microseconds, the service 100 nanoseconds.
                entity[name] = EntityProperty(value.text7, EdmType.DATETIME)
            case _:
                entity[name] = value
        # The SDK would refuse it, too, but without the index of the operation and the advice.
        if type(value) is int and not -(2**31) <= value < 2**31:
            raise invalid_request(
                action,
                "InvalidInput",
                f"The value of {name} does not fit into Int32; pass it as Int64.",
                failed_index=index,
            )
    return entity


def _row(entity: TableEntity) -> Row:
    metadata: Any = entity.metadata
    timestamp = metadata.get("timestamp")
    return Row(
        # Old releases of azure-data-tables (12.4.0 is one) leave out empty keys, such as those of the Instances table.
        str(entity.get("PartitionKey", "")),
        str(entity.get("RowKey", "")),
        dict(_received(entity.items())),
        etag=metadata.get("etag"),
        # The SDK's datetime has microseconds. The text that it was parsed from has 100 nanoseconds.
        timestamp=None if timestamp is None else Instant.parse(timestamp.tables_service_value),
    )


def _received(properties: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Value]]:
    for name, value in properties:
        if name in _KEYS or value is None:
            continue
        match value:
            case EntityProperty():  # The SDK returns only an Edm.Int64 in this form.
                yield name, Int64(int(value.value))
            case str() | bool() | int() | float() | uuid.UUID() | bytes():
                yield name, value
            case _:
                yield name, Instant.parse(value.tables_service_value)
