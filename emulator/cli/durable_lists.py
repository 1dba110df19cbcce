"""Lists of the durable HTTP API: pages, and how commands print them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from emulator.cli.answers import TEXT_OR_NULL, Shape
from emulator.cli.durable_access import DurableApi, call
from emulator.cli.durable_arguments import InstanceFilter
from emulator.cli.printing import ProgressLine, Table, print_json

_PAGE: Final = 200
# Entities are stored as orchestrations, and their instance ids begin with this.
_ENTITY: Final = "@"

INSTANCE: Final[Shape] = {
    "instanceId": str,
    "name": TEXT_OR_NULL,
    "runtimeStatus": str,
    "createdTime": str,
    "lastUpdatedTime": str,
    "input": object,
    "customStatus": object,
    "output": object,
    "historyEvents?": [{"Timestamp": str, "EventType": str}],
}
"""The status of an instance, as the API returns it."""
_ENTITY_STATE: Final = {"entityId": {"name": str, "key": str}, "lastOperationTime": str, "state": object}

Item = Mapping[str, Any]
"""An instance or entity, as the API returns it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFormat:
    """How a list is printed. `member`: its name in the JSON document. `row`: the cells of an item.

    `none`: what to say if the list is empty.
    """

    member: str
    titles: Sequence[str]
    row: Callable[[Item], Sequence[str]]
    none: str


async def instance_pages(api: DurableApi, where: InstanceFilter, *, top: int = 0) -> AsyncIterator[list[Item]]:
    """Yield pages of the orchestrations that match the filter. `top`: how many are needed; 0: all."""
    query = {
        # The API has no filter by name. With it, a page may have to be much longer than what is shown of it.
        **_page_size(top if where.name is None else 0),
        "instanceIdPrefix": where.prefix,
        "createdTimeFrom": None if where.since is None else where.since.isoformat(),
        "createdTimeTo": None if where.until is None else where.until.isoformat(),
        "runtimeStatus": ",".join(where.statuses) or None,
        # Inputs may have megabytes each.
        "showInput": "false",
    }
    async for page in _pages(api, ("instances",), query, INSTANCE):
        yield [
            item
            for item in page
            if (where.name is None or (item["name"] or "").lower() == where.name.lower())
            and not item["instanceId"].startswith(_ENTITY)
        ]


def entity_pages(api: DurableApi, name: str | None, *, top: int) -> AsyncIterator[list[Item]]:
    """Yield pages of entities with their states. `name`: only of this entity function. `top`: as for instances."""
    path = ("entities", *([name] if name else ()))
    return _pages(api, path, {**_page_size(top), "fetchState": "true"}, _ENTITY_STATE)


async def print_list(pages: AsyncIterator[list[Item]], shown_as: ListFormat, *, top: int, as_json: bool) -> None:
    """Print the first `top` items (0: all) as a table, or all at once as a JSON document."""
    table = Table(*shown_as.titles)
    collected: list[Item] = []
    shown, more = 0, False
    with ProgressLine() as progress:
        async for page in pages:
            items = page[: top - shown] if top else page
            more = len(items) < len(page)
            shown += len(items)
            if as_json:
                collected += items
            else:
                # Page by page: a large hub has more pages than a user waits for.
                progress.clear()
                table.print([shown_as.row(item) for item in items])
            if more:
                break
            progress.show(f"Reading the task hub: {shown} found …")
    if as_json:
        print_json({shown_as.member: collected, "hasMore": more})
    elif not shown:
        sys.stderr.write(f"{shown_as.none}\n")
    elif more:
        sys.stderr.write(f"There are more than {top}. Show more with --top N, or all with --top 0.\n")


def _page_size(top: int) -> dict[str, str | None]:
    # One more than needed, to know whether there are more.
    return {"top": str(min(top + 1, _PAGE) if top else _PAGE)}


async def _pages(
    api: DurableApi, path: Sequence[str], query: Mapping[str, str | None], shape: Shape
) -> AsyncIterator[list[Item]]:
    continuation, first = "", True
    while first or continuation:
        response = await call(api, "GET", path, query, continuation=continuation)
        yield response.content([shape])
        # A page may be empty and still not be the last one, so only a missing token ends the list.
        continuation, first = response.headers.get("x-ms-continuation-token", ""), False
