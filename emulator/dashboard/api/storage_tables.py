"""Tables of the page Storage, and their rows."""

from __future__ import annotations

from aiohttp import web

from emulator.dashboard.api.storage_accounts import MAX_PAGE, PAGE, account_of, first_names
from emulator.dashboard.api.stored_values import json_value
from emulator.dashboard.parts import DashboardParts
from emulator.dashboard.routing import ApiError, number_of
from emulator.host.admin.api import json_response
from emulator.host.http.routing.routes import HttpCall
from emulator.storage.filter_parser import InvalidFilter, parse_filter


class Tables:
    """Endpoints of tables: lists and rows."""

    def __init__(self, parts: DashboardParts) -> None:
        self._parts = parts

    async def list(self, call: HttpCall) -> web.Response:
        account, _ = account_of(self._parts, call)
        names, is_complete = await first_names(account.tables())
        return json_response({"tables": [{"name": name} for name in names], "isComplete": is_complete})

    async def rows(self, call: HttpCall) -> web.Response:
        """Return one page of rows. `filter`: an OData filter; `limit`; `continuation`: from the page before."""
        account, _ = account_of(self._parts, call)
        query = call.request.query
        where = None
        if text := query.get("filter", "").strip():
            try:
                where = parse_filter(text)
            except InvalidFilter as error:
                raise ApiError(400, str(error)) from None
        # One page for one request, even if it is empty: a filter may have to search the whole table.
        page = await account.table(call.values["name"]).page(
            where,
            limit=max(number_of(call, "limit", PAGE, highest=MAX_PAGE), 1),
            continuation=query.get("continuation") or None,
        )
        rows = [
            {
                "PartitionKey": row.partition_key,
                "RowKey": row.row_key,
                "Timestamp": None if row.timestamp is None else row.timestamp.text,
                **{name: json_value(value) for name, value in row.properties.items()},
            }
            for row in page.rows
        ]
        return json_response({"rows": rows, "continuation": page.continuation})
